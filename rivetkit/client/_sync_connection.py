"""Blocking handles, connections and event streams: the asynchronous ones behind a ``Portal``."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self

from typing_extensions import TypeVar

from rivetkit.client._connection import ActorConnection
from rivetkit.client._handle import UNCHANGED, ActorHandle
from rivetkit.client._portal import Portal
from rivetkit.client._status import ConnectionStatus
from rivetkit.client._streams import DEFAULT_BUFFER, EventStream, WhenFull
from rivetkit.client._sync_web import SyncReachesWeb
from rivetkit_core.errors import RivetError

if TYPE_CHECKING:
    from rivetkit._contract import Contract
    from rivetkit._job import QueueRef
    from rivetkit._references import ActionRef, EventRef

A = TypeVar("A", bound="Contract")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")
Q = TypeVar("Q", default=None)
T_co = TypeVar("T_co", covariant=True)


class SyncEventStream(Generic[T_co]):
    """One subscription; like ``EventStream``, with ``with`` and ``for``."""

    def __init__(self, portal: Portal, stream: EventStream[T_co]) -> None:
        self._portal = portal
        self._stream = stream

    def close(self) -> None:
        """Unsubscribe, from any thread; a reader that waits comes to its end. Idempotent."""
        if not self._portal.closed:
            self._portal.run(self._stream.aclose)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        try:
            return self._portal.run(self._stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        self._portal.run(self._stream.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()


class SyncActorConnection(Generic[A]):
    """A live connection; like ``ActorConnection``, blocking. Several threads may use it."""

    def __init__(self, portal: Portal, connection: ActorConnection[A]) -> None:
        self._portal = portal
        self._connection = connection

    def __enter__(self) -> Self:
        self._portal.run(self._connection.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close for good, from any thread: open calls fail with ``client.disposed``, streams end."""
        if not self._portal.closed:
            self._portal.run(self._connection.aclose)

    @property
    def status(self) -> ConnectionStatus:
        return self._connection.status

    @property
    def actor_id(self) -> str | None:
        """The actor's id, known from the first connection on."""
        return self._connection.actor_id

    @property
    def connection_id(self) -> str | None:
        """The id the actor knows this connection by; another one after a reconnect."""
        return self._connection.connection_id

    def on_status_change(self, callback: Callable[[ConnectionStatus], object]) -> Callable[[], None]:
        """Like ``ActorConnection.on_status_change``; the callback runs in the client's thread."""
        return self._connection.on_status_change(callback)

    def on_error(self, callback: Callable[[RivetError], object]) -> Callable[[], None]:
        """Like ``ActorConnection.on_error``; the callback runs in the client's thread."""
        return self._connection.on_error(callback)

    def call(self, ref: ActionRef[A, P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an action and return its result; raises as ``ActorConnection.call`` does."""
        return self._portal.run(lambda: self._connection.call(ref, *args, **kwargs))

    def action(self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None) -> Callable[P, R]:
        """Bind an action with its options, to be called with its own arguments."""
        bound = self._connection.action(ref, timeout=timeout)

        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._portal.run(lambda: bound(*args, **kwargs))

        return blocking

    def call_by_name(self, name: str, /, *args: object, timeout: float | None = None) -> object:
        """Run an action without a declaration: plain data in, plain data out."""
        return self._portal.run(lambda: self._connection.call_by_name(name, *args, timeout=timeout))

    def send(self, ref: QueueRef[A, B, Any], body: B, /) -> None:
        """Send a message to a queue; raises as ``ActorHandle.send`` does."""
        self._portal.run(lambda: self._connection.send(ref, body))

    def send_and_wait(self, ref: QueueRef[A, B, Q], body: B, /, *, timeout: float | None = None) -> Q:
        """Send a message and return its reply, None if none came in time; see ``ActorHandle``."""
        return self._portal.run(lambda: self._connection.send_and_wait(ref, body, timeout=timeout))

    def send_by_name(self, name: str, body: object, /) -> None:
        """Send a message to a queue without a declaration."""
        self._portal.run(lambda: self._connection.send_by_name(name, body))

    def events(
        self, ref: EventRef[A, T], /, *, buffer: int = DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> SyncEventStream[T]:
        """A stream of one event; options as for ``ActorConnection.events``."""
        return SyncEventStream(self._portal, self._connection.events(ref, buffer=buffer, when_full=when_full))

    def events_by_name(
        self, name: str, /, *, buffer: int = DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> SyncEventStream[tuple[object, ...]]:
        """A stream of an event without a declaration: its arguments as plain data."""
        stream = self._connection.events_by_name(name, buffer=buffer, when_full=when_full)
        return SyncEventStream(self._portal, stream)

    def once(self, ref: EventRef[A, T], /, *, timeout: float | None = None) -> T:
        """Wait for the next occurrence of an event, then unsubscribe."""
        return self._portal.run(lambda: self._connection.once(ref, timeout=timeout))


class SyncActorHandle(SyncReachesWeb, Generic[A]):
    """Calls one actor; like ``ActorHandle``, blocking. Several threads may use it."""

    def __init__(self, portal: Portal, handle: ActorHandle[A]) -> None:
        self._portal = portal
        self._handle = handle

    def call(self, ref: ActionRef[A, P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an action and return its result; raises as ``ActorHandle.call`` does."""
        return self._portal.run(lambda: self._handle.call(ref, *args, **kwargs))

    def action(
        self, ref: ActionRef[A, P, R], /, *, timeout: float | None = None, params: object = UNCHANGED
    ) -> Callable[P, R]:
        """Bind an action with its options, to be called with its own arguments."""
        bound = self._handle.action(ref, timeout=timeout, params=params)

        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._portal.run(lambda: bound(*args, **kwargs))

        return blocking

    def call_by_name(self, name: str, /, *args: object, timeout: float | None = None) -> object:
        """Run an action without a declaration: plain data in, plain data out."""
        return self._portal.run(lambda: self._handle.call_by_name(name, *args, timeout=timeout))

    def send(self, ref: QueueRef[A, B, Any], body: B, /) -> None:
        """Send a message to a queue; raises as ``ActorHandle.send`` does."""
        self._portal.run(lambda: self._handle.send(ref, body))

    def send_and_wait(self, ref: QueueRef[A, B, Q], body: B, /, *, timeout: float | None = None) -> Q:
        """Send a message and return its reply, None if none came in time; see ``ActorHandle``."""
        return self._portal.run(lambda: self._handle.send_and_wait(ref, body, timeout=timeout))

    def send_by_name(self, name: str, body: object, /) -> None:
        """Send a message to a queue without a declaration."""
        self._portal.run(lambda: self._handle.send_by_name(name, body))

    def resolve(self, *, timeout: float | None = None) -> str:
        """The actor's id. Makes the actor first if this is a ``get_or_create`` handle."""
        return self._portal.run(lambda: self._handle.resolve(timeout=timeout))

    def gateway_url(self) -> str:
        """The URL under which others reach this actor; it may contain the client's token."""
        return self._portal.run(self._handle.gateway_url)

    def connect(self, *, params: object = None, timeout: float | None = None) -> SyncActorConnection[A]:
        """A live connection, for ``with``; a callable ``params`` runs in the client's thread."""
        return SyncActorConnection(self._portal, self._handle.connect(params=params, timeout=timeout))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._handle}>"
