"""Resources: what an actor holds open while it is awake, such as a pool, a client or a task group.

``@resource`` marks an async generator that yields once. What it yields is the attribute's value from the
start on; what comes after ``yield`` runs when the actor sleeps or is destroyed.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from typing_extensions import TypeVar

from rivetkit._authoring import InvalidActor

if TYPE_CHECKING:
    from rivetkit._actor import Actor

T = TypeVar("T")


class Resource(Generic[T]):
    """A declared resource. On the class it is itself, on an actor the value that was yielded.

    On an actor without a runtime (in a unit test) assign the value, or enter ``Room.pool.held(room)``.
    """

    def __init__(self, function: Callable[[Any], AsyncIterator[T]]) -> None:
        self.function = function
        self._open = asynccontextmanager(function)  # pyright: ignore[reportDeprecated]  # as authors annotate it
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(self, instance: Actor, owner: Any, /) -> T: ...
    def __get__(self, instance: Actor | None, owner: Any, /) -> object:
        if instance is None:
            return self
        try:
            return vars(instance)[self._slot]
        except KeyError:
            raise AttributeError(
                f"the resource {type(instance).__name__}.{self.name} is not open: resources open after the "
                f"state was made, in the order of their declaration, and close at the end"
            ) from None

    def __set__(self, instance: Actor, value: T) -> None:
        vars(instance)[self._slot] = value

    @asynccontextmanager
    async def held(self, instance: Actor, /) -> AsyncGenerator[T]:
        """Open the resource on an actor, and close it at the end of the block."""
        async with self._open(instance) as value:
            self.__set__(instance, value)
            try:
                yield value
            finally:
                vars(instance).pop(self._slot, None)

    @property
    def _slot(self) -> str:
        return self.name


def resource(function: Callable[[Any], AsyncIterator[T]], /) -> Resource[T]:
    """Mark an async generator method that yields one value, for as long as the actor is awake.

    Resources open on every start, after the state and before ``on_create`` and ``create_vars``, each within
    ``create_vars_timeout``. They close in reverse, after all work has ended and before the state is saved.
    If the actor cannot start or is lost, they are cancelled at their ``yield``, where only ``finally`` and
    ``async with`` run. Each lives in a task of its own, so cancel scopes and task groups may be held.
    """
    if not inspect.isasyncgenfunction(function):
        name = getattr(function, "__name__", "resource")
        raise InvalidActor(
            f"{name} is not an async generator: write `async def {name}(self) -> AsyncGenerator[...]` "
            f"with one `yield` of the resource"
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise InvalidActor(
            f"{function.__name__} takes more than self, and nobody would give it: write "
            f"`async def {function.__name__}(self)`, and read what it needs from self"
        ) from None
    return Resource(function)
