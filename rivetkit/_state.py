"""The state of an actor: how it is first made, and what assigning it means.

``state: RoomState`` on a class is a plain annotation to its author. At run time a slot stands in its
place, so that assigning the root inside ``on_state_change`` is refused; on an actor without a runtime it
is an ordinary attribute.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, overload

from typing_extensions import TypeVar

from rivetkit._codecs import InputCodec
from rivetkit._references import InitialRef
from rivetkit._validation import UNSET

if TYPE_CHECKING:
    from rivetkit._actor import Actor

P = ParamSpec("P")
R = TypeVar("R")
L_co = TypeVar("L_co", covariant=True)
A = TypeVar("A", bound="Actor")


class Initial(Generic[P, L_co]):
    """A declared state factory. On the class it packs a typed ``Input``; on an actor it is the method."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    @cached_property
    def codec(self) -> InputCodec:
        """The bytes of its input; reads the function's annotations on first use."""
        return InputCodec(self.function)

    @overload
    def __get__(self, instance: None, owner: type[A], /) -> InitialRef[A, P]: ...
    @overload
    def __get__(self, instance: Actor, owner: Any, /) -> Callable[P, L_co]: ...
    def __get__(self, instance: Actor | None, owner: Any, /) -> object:
        if instance is None:
            return InitialRef[Any, P](self.function.__name__, self.codec)
        return MethodType(self.function, instance)


@overload
def create_state(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> Initial[P, Coroutine[Any, Any, R]]: ...
@overload
def create_state(function: Callable[Concatenate[Any, P], R], /) -> Initial[P, R]: ...
def create_state(function: Callable[..., object], /) -> object:
    """Mark the method that makes the first state. ``def`` and ``async def`` both work.

    It runs once in the life of an actor. Its parameters are the actor's input: a single parameter receives
    it whole, several receive it by name. ``Room.initial(title="General")`` packs one for ``get_or_create``.
    """
    return Initial[..., object](function)


class StateSlot:
    """Stands for an actor's ``state`` annotation; ``default`` is copied for each actor."""

    def __init__(self, default: object = UNSET) -> None:
        self.default = default

    def __get__(self, instance: Actor | None, owner: type[object] | None = None) -> object:
        if instance is None:
            return self
        attributes = vars(instance)
        if "state" not in attributes:
            if self.default is UNSET:
                raise AttributeError(f"the state of {type(instance).__name__} has not been made yet")
            attributes["state"] = copy.deepcopy(self.default)
        return attributes["state"]

    def __set__(self, instance: Actor, value: object) -> None:
        context = instance.__rivet_context__
        if context is not None:
            context.__rivet_core__.check_state_assignment()
        vars(instance)["state"] = value
