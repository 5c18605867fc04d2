"""Typed references to members of an actor class: what handles, connections and schedules accept.

A reference carries the member's wire name and the codecs of its types, so a client validates arguments
before it sends them and decodes results into the declared type. References are contravariant in the
actor: a base class's reference works on a handle of a subclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, ParamSpec, cast

from typing_extensions import TypeVar

from rivetkit._codecs import CallCodec, EventCodec, InputCodec

if TYPE_CHECKING:
    from rivetkit._contract import Contract

P = ParamSpec("P")
A_contra = TypeVar("A_contra", bound="Contract", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


class Ref(Generic[A_contra]):
    """Names one member of an actor class. ``name`` is what travels."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class ActionRef(Ref[A_contra], Generic[A_contra, P, R_co]):
    """An action: its parameters, and its result as it travels."""

    def __init__(self, name: str, codec: CallCodec) -> None:
        super().__init__(name)
        self._codec = codec

    def encode_args(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """The arguments of a call as a CBOR array, in declaration order.

        Raises:
            TypeError: The arguments do not match the action's parameters.
            ValidationError: A value does not fit its parameter.
        """
        return self._codec.encode_args(args, kwargs, f"action `{self.name}` arguments")

    def decode_output(self, output: bytes) -> R_co:
        """The result of a call.

        Raises:
            ValidationError: The actor answered with something of another type.
        """
        return cast("R_co", self._codec.decode_output(output, f"action `{self.name}` output"))


class EventRef(Ref[A_contra], Generic[A_contra, T_co]):
    """An event, with its payload."""

    def __init__(self, name: str, codec: EventCodec) -> None:
        super().__init__(name)
        self._codec = codec

    def decode_args(self, args: bytes) -> T_co:
        """The payload of a received event, from its CBOR array of arguments.

        Raises:
            ValidationError: The actor sent something of another type.
        """
        return cast("T_co", self._codec.decode(args, f"event `{self.name}` payload"))


class Input(Generic[A_contra]):
    """What an actor is created with. Made by calling its ``@create_state`` method on the class."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def encode(self) -> bytes:
        """One CBOR item."""
        return self._encoded


class InitialRef(Ref[A_contra], Generic[A_contra, P]):
    """An actor's ``@create_state`` method, seen from outside: calling it packs a typed ``Input``."""

    def __init__(self, name: str, codec: InputCodec) -> None:
        super().__init__(name)
        self._codec = codec

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Input[A_contra]:
        """Pack the arguments the state is made from.

        Raises:
            TypeError: The arguments do not match the parameters.
            ValidationError: A value does not fit its parameter.
        """
        return Input(self._codec.encode(args, kwargs))
