"""Groups of actions: ``room.call(Room.users.add, "Ada")`` travels as ``users.add``.

A group gives a large actor some structure on the wire and in its code. It holds no state of its own: it
reaches everything through ``self.actor``.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast, overload

from typing_extensions import TypeVar

from rivetkit._action import Action
from rivetkit._stub import Stub

if TYPE_CHECKING:
    from rivetkit._contract import Contract

A = TypeVar("A", bound="Contract")


class ActionGroup(Generic[A]):
    """Base of a group of actions. Groups may hold groups.

    ::

        class Users(ActionGroup["Room"]):
            @action
            async def add(self, name: str) -> int:
                self.actor.state.names.append(name)
                return len(self.actor.state.names)

        @actor
        class Room(Actor):
            users = Users()

    Groups are called by reference; a stub has none of them.

    Pyright takes a group inside a group for a circular definition when both name an actor that comes later
    in the same module; write such groups in a module of their own and import the actor for type checking.
    """

    __rivet_group__: ClassVar[bool] = True
    __rivet_name__: str = ""
    __rivet_actor__: Contract | None = None

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.__rivet_name__ = name

    @property
    def actor(self) -> A:
        """The actor this group belongs to."""
        if self.__rivet_actor__ is None:
            raise AttributeError(f"{type(self).__name__} is not bound: use it through an actor")
        return cast("A", self.__rivet_actor__)

    @overload
    def __get__(self, instance: None, owner: type[ActionGroup[A]], /) -> type[Self]: ...
    @overload
    def __get__(self, instance: None, owner: type[A], /) -> type[Self]: ...
    @overload
    def __get__(self, instance: Stub, owner: Any, /) -> None: ...
    @overload
    def __get__(self, instance: A, owner: Any, /) -> Self: ...
    @overload
    def __get__(self, instance: ActionGroup[A], owner: Any, /) -> Self: ...
    def __get__(self, instance: object, owner: Any, /) -> object:
        if instance is None:
            return GroupReference(type(self), f"{self.__rivet_name__}.")
        bound = copy.copy(self)
        found = instance.__rivet_actor__ if isinstance(instance, ActionGroup) else instance
        bound.__rivet_actor__ = cast("Contract", found)
        return bound


class GroupReference:
    """A group seen on the actor class; its actions are references with dotted names."""

    def __init__(self, group: type[ActionGroup[Any]], prefix: str) -> None:
        self._group = group
        self._prefix = prefix

    def __getattr__(self, name: str) -> object:
        member = inspect.getattr_static(self._group, name, None)
        if isinstance(member, Action):
            return cast("Action[..., object, object]", member).reference(self._prefix)
        if isinstance(member, ActionGroup):
            kind = type(cast("ActionGroup[Any]", member))
            return GroupReference(kind, f"{self._prefix}{name}.")
        raise AttributeError(f"{self._group.__name__} has no action or group {name!r}")

    def __repr__(self) -> str:
        return f"<{self._group.__name__} as {self._prefix.rstrip('.')}>"
