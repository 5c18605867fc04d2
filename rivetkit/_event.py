"""Events: what an actor tells its connections.

``posted = Event[Message]()`` is a reference on the class, an emitter on an actor and a stream on a live
stub. An event carries one payload; a tuple travels as several arguments, anything else as one.
"""

from __future__ import annotations

import typing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, overload

from typing_extensions import TypeVar

from rivetkit._authoring import InvalidActor
from rivetkit._codecs import EventCodec
from rivetkit._references import EventRef
from rivetkit._stub import LiveStub, NotConnected, Stub, Subscription

if TYPE_CHECKING:
    from rivetkit._actor import Actor
    from rivetkit._connection import Conn
    from rivetkit._contract import Contract

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
A = TypeVar("A", bound="Contract")


class Emitter(Generic[T_contra]):
    """Sends one event. On an actor without a runtime (in a unit test) it validates and sends nothing."""

    def __init__(self, actor: Actor, name: str, codec: EventCodec) -> None:
        self._actor = actor
        self._name = name
        self._codec = codec

    def broadcast(self, payload: T_contra, /) -> None:
        """Send to every connection that subscribed. Never waits.

        Raises:
            ValidationError: The payload does not fit the declared type.
        """
        args = self._encode(payload)
        context = self._actor.__rivet_context__
        if context is not None:
            context.__rivet_core__.broadcast(self._name, args)

    def send(self, conn: Conn[Any, Any], payload: T_contra, /) -> None:
        """Send to one connection, whether it subscribed or not. Never waits.

        Raises:
            ValidationError: The payload does not fit the declared type.
        """
        conn.__rivet_core__.send(self._name, self._encode(payload))

    def _encode(self, payload: T_contra) -> bytes:
        return self._codec.encode(payload, f"event `{self._name}` payload")


class Event(Generic[T]):
    """A declared event: ``changed = Event[int]()``. ``name`` is what clients subscribe to."""

    __rivet_remote__: ClassVar[bool] = True

    def __init__(self, *, name: str = "") -> None:
        self.name: str = name
        self._owner: type[object] | None = None

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = self.name or name
        self._owner = self._owner or owner

    @cached_property
    def codec(self) -> EventCodec:
        """The bytes of its payload.

        Raises:
            InvalidActor: It was declared without a payload type.
        """
        owner = self._owner or type(self)
        where = f"event {owner.__name__}.{self.name}"
        declared: tuple[object, ...] = typing.get_args(getattr(self, "__orig_class__", None))
        if not declared:
            raise InvalidActor(
                f"{owner.__name__}.{self.name} does not say what it carries: "
                f"write `{self.name} = Event[str]()`, with the type of its payload."
            )
        return EventCodec(declared[0], owner.__module__, where)

    @overload
    def __get__(self, instance: None, owner: type[A], /) -> EventRef[A, T]: ...
    @overload
    def __get__(self, instance: LiveStub, owner: Any, /) -> Subscription[T]: ...
    @overload
    def __get__(self, instance: Stub, owner: Any, /) -> NotConnected: ...
    @overload
    def __get__(self, instance: Actor, owner: Any, /) -> Emitter[T]: ...
    def __get__(self, instance: Actor | Stub | None, owner: Any, /) -> object:
        if instance is None:
            return self.reference()
        if isinstance(instance, LiveStub):
            return instance.__rivet_connection__.events(self.reference())
        if isinstance(instance, Stub):
            return NotConnected()
        return Emitter[T](instance, self.name, self.codec)

    def reference(self) -> EventRef[Any, T]:
        """What connections and access hooks know it by."""
        return EventRef(self.name, self.codec)
