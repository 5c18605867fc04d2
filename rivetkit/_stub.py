"""Method-style access to a remote actor: ``class RoomStub(Stub, RoomContract): ...``.

A stub turns declared members into remote ones; the descriptors themselves do the work. What a stub needs
of a handle is written here as protocols, so that declarations do not import the client.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, Self, runtime_checkable

from typing_extensions import TypeVar

if TYPE_CHECKING:
    from rivetkit._job import QueueRef
    from rivetkit._references import ActionRef, EventRef

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")
Q = TypeVar("Q", default=None)
T_co = TypeVar("T_co", covariant=True)


class Subscription(Protocol[T_co]):
    """One subscription: iterate it; leave its ``async with`` block to unsubscribe."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...

    async def __anext__(self) -> T_co: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


class CallsActions(Protocol):
    """What a stub needs of a handle."""

    def action(
        self, ref: ActionRef[Any, P, R], /, *, timeout: float | None = None
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        """Bind an action, to be called with its own arguments."""
        ...


@runtime_checkable
class SendsMessages(Protocol):
    """What a queue of a stub needs of a handle."""

    async def send(self, ref: QueueRef[Any, B, Any], body: B, /) -> None:
        """Send a message to a queue."""
        ...

    async def send_and_wait(self, ref: QueueRef[Any, B, Q], body: B, /, *, timeout: float | None = None) -> Q:
        """Send a message and wait for its reply."""
        ...


class RemoteQueue(Generic[B, Q]):
    """A queue of a remote actor: messages can be sent to it."""

    def __init__(self, handle: SendsMessages, ref: QueueRef[Any, B, Q]) -> None:
        self._handle = handle
        self._ref = ref

    async def send(self, body: B, /) -> None:
        """Send a message; see ``ActorHandle.send``."""
        await self._handle.send(self._ref, body)

    async def send_and_wait(self, body: B, /, *, timeout: float | None = None) -> Q:
        """Send a message and wait for its reply; see ``ActorHandle.send_and_wait``."""
        return await self._handle.send_and_wait(self._ref, body, timeout=timeout)


class ReceivesEvents(CallsActions, Protocol):
    """What a live stub needs of a connection."""

    def events(self, ref: EventRef[Any, T], /) -> Subscription[T]:
        """Subscribe to an event."""
        ...


class NotConnected:
    """Stands where an event stream would be on a stateless stub, so that iterating it is a type error."""


class Stub:
    """Put in front of a contract or an actor class, makes its actions remote.

    Actions are awaited whether they were declared with ``def`` or ``async def``. Anything that is not
    declared as an action, an event or a queue is refused with ``AttributeError``.
    """

    def __init__(self, handle: CallsActions) -> None:
        self.__rivet_handle__ = handle

    if not TYPE_CHECKING:  # a checker would take this for "every attribute exists"

        def __getattribute__(self, name: str) -> object:
            if name.startswith("__"):
                return object.__getattribute__(self, name)
            member = inspect.getattr_static(type(self), name, None)
            if not getattr(type(member), "__rivet_remote__", False):
                raise AttributeError(f"{type(self).__name__} has no action, event or queue {name!r}")
            return object.__getattribute__(self, name)


class LiveStub(Stub):
    """A stub over a connection: its events can be iterated as well."""

    def __init__(self, connection: ReceivesEvents) -> None:
        super().__init__(connection)
        self.__rivet_connection__ = connection
