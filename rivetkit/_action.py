"""Actions: what clients and other actors may call.

A declared action has three faces. On the class it is a reference, on an actor it is the plain method, on
a stub it is a remote call. ``self`` is dropped when the decorator runs, never in ``__get__``: checkers
lose the parameter list when ``__get__`` takes a ParamSpec apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import cached_property, partial
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, cast, overload

from typing_extensions import TypeVar

from rivetkit._codecs import CallCodec
from rivetkit._references import ActionRef
from rivetkit._stub import Stub
from rivetkit_core.config import Durability

if TYPE_CHECKING:
    from rivetkit._action_group import ActionGroup
    from rivetkit._actor import Actor
    from rivetkit._contract import Contract

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
L_co = TypeVar("L_co", covariant=True)
A = TypeVar("A", bound="Contract")


class Action(Generic[P, R_co, L_co]):
    """A declared action. ``R_co`` is the result as it travels, ``L_co`` what a local call gives."""

    __rivet_remote__: ClassVar[bool] = True

    def __init__(
        self,
        function: Callable[..., object],
        *,
        name: str | None = None,
        durability: Durability | None = None,
        timeout: float | None = None,
    ) -> None:
        if isinstance(function, str):
            raise TypeError(f"@action takes options by name: write `@action(name={function!r})`")
        if not inspect.isfunction(function):
            raise TypeError(f"@action goes on a method that takes self; {function!r} is none")
        self.function = function
        self.name: str = name or function.__name__
        self.durability: Durability | None = durability
        self.timeout = timeout
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    @cached_property
    def codec(self) -> CallCodec:
        """The bytes of its calls; reads the function's annotations on first use."""
        return CallCodec(self.function)

    def reference(self, prefix: str = "") -> ActionRef[Any, P, R_co]:
        """A reference under the name clients use: ``prefix`` is the dotted path of its groups."""
        return ActionRef(f"{prefix}{self.name}", self.codec)

    @overload
    def __get__(self, instance: None, owner: type[ActionGroup[A]], /) -> ActionRef[A, P, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type[A], /) -> ActionRef[A, P, R_co]: ...
    @overload
    def __get__(self, instance: Stub, owner: Any, /) -> Callable[P, Coroutine[Any, Any, R_co]]: ...
    @overload
    def __get__(self, instance: Actor | ActionGroup[Any], owner: Any, /) -> Callable[P, L_co]: ...
    def __get__(self, instance: object, owner: Any, /) -> object:
        if isinstance(instance, Stub):
            return instance.__rivet_handle__.action(self.reference())
        if instance is not None:
            return MethodType(self.function, instance)
        if hasattr(cast("object", owner), "__rivet_group__"):
            raise AttributeError(
                f"{owner.__name__}.{self.function.__name__} has no name of its own: reach it "
                f"through the actor class that has the group"
            )
        return self.reference()


class _ActionDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Action[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Action[P, R, R]: ...


@overload
def action(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> Action[P, R, Coroutine[Any, Any, R]]: ...
@overload
def action(function: Callable[Concatenate[Any, P], R], /) -> Action[P, R, R]: ...
@overload
def action(
    *, name: str | None = None, durability: Durability | None = None, timeout: float | None = None
) -> _ActionDecorator: ...
def action(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    durability: Durability | None = None,
    timeout: float | None = None,
) -> object:
    """Expose a method to clients and to other actors. ``def`` and ``async def`` both work.

    A ``def`` action runs without interleaving with anything else, which suits small mutations. Calling an
    action on ``self`` is a plain method call.

    Args:
        name: What clients call it; the method's name if not given.
        durability: ``"strict"`` holds the reply until the state it reflects is stored; the actor's own
            setting if not given.
        timeout: Seconds it may run before its caller gets ``actor.action_timed_out``; the actor's
            ``action_timeout`` if not given.
    """
    if function is None:
        return partial(Action[..., object, object], name=name, durability=durability, timeout=timeout)
    return Action[..., object, object](function)
