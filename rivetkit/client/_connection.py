"""``ActorConnection``: a live connection with declared types on top of ``_live``."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from typing_extensions import TypeVar

from rivetkit.client._bounds import bounded
from rivetkit.client._calling import CallsActions, require_event
from rivetkit.client._live import LiveConnection
from rivetkit.client._payload import decode_event, encode_params
from rivetkit.client._scope import ClientScope, describe
from rivetkit.client._sending import SendsMessages, deliver
from rivetkit.client._status import ConnectionStatus
from rivetkit.client._streams import DEFAULT_BUFFER, EventBuffer, EventStream, WhenFull
from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import Target
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

if TYPE_CHECKING:
    from rivetkit._contract import Contract
    from rivetkit._references import EventRef

A = TypeVar("A", bound="Contract")
T = TypeVar("T")


class ActorConnection(CallsActions[A], SendsMessages[A]):
    """A live connection to one actor: actions with less overhead, and events.

    Entering it waits for the first connection, trying again while the server cannot be reached; a refusal
    is raised at once. From then on it reconnects by itself with growing delays. Calls made meanwhile wait for
    it. Calls in flight when a link breaks fail with ``ConnectionLost`` and are never sent twice. A refusal
    later on, for instance ``auth.forbidden``, ends the connection: every call and every stream raises it.
    """

    def __init__(self, scope: ClientScope, target: Target, params: object, timeout: float | None) -> None:
        self._scope = scope
        self._target = target
        self._params = params
        self._timeout = scope.seconds(timeout)
        self._live = LiveConnection(
            scope.access,
            target,
            lambda: encode_params(params),
            clock=scope.clock,
            entropy=scope.entropy,
        )

    async def __aenter__(self) -> Self:
        self._scope.require_open()
        self._live.start()
        self._scope.connections.add(self._live)
        try:
            await self._live.wait_opened(self._timeout)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close for good: open calls fail with ``client.disposed``, streams end. Idempotent."""
        self._scope.connections.discard(self._live)
        await self._live.close()

    @property
    def status(self) -> ConnectionStatus:
        return self._live.status

    @property
    def actor_id(self) -> str | None:
        """The actor's id, known from the first connection on."""
        return self._live.actor_id

    @property
    def connection_id(self) -> str | None:
        """The id the actor knows this connection by; another one after a reconnect."""
        return self._live.connection_id

    def on_status_change(self, callback: Callable[[ConnectionStatus], object]) -> Callable[[], None]:
        """Call ``callback`` with every new status. Returns a function that removes it."""
        return self._live.status_watchers.add(callback)

    def on_error(self, callback: Callable[[RivetError], object]) -> Callable[[], None]:
        """Call ``callback`` once with every failure of the connection: those it recovers from, and the last.

        Failures of single calls are raised there and not reported here. Returns a function that removes it.
        """
        return self._live.error_watchers.add(callback)

    def events(
        self, ref: EventRef[A, T], /, *, buffer: int = DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> EventStream[T]:
        """A stream of one event, to be entered with ``async with`` and iterated.

        Args:
            ref: The event.
            buffer: How many events are held for a reader that falls behind.
            when_full: ``fail`` ends the stream with ``client.reader_too_slow``, after the events that are
                held; ``drop_oldest`` and ``drop_newest`` lose events.
        """
        require_event(ref)
        return EventStream(self._live, EventBuffer(ref.name, buffer, when_full), ref.decode_args)

    def events_by_name(
        self, name: str, /, *, buffer: int = DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> EventStream[tuple[object, ...]]:
        """A stream of an event without a declaration: its arguments as plain data."""
        return EventStream(
            self._live, EventBuffer(name, buffer, when_full), lambda args: decode_event(args, name)
        )

    async def once(self, ref: EventRef[A, T], /, *, timeout: float | None = None) -> T:
        """Wait for the next occurrence of an event, then unsubscribe.

        Raises:
            RivetError: ``client.timed_out``, or what ended the connection.
        """
        async with self.events(ref, buffer=1, when_full="drop_newest") as stream:
            seconds = self._timeout if timeout is None else timeout
            try:
                return await bounded(self._scope.clock, seconds, stream.__anext__())
            except StopAsyncIteration:
                raise self._live.end_reason() from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} to {describe(self._target)}>"

    async def _enqueue(self, name: str, request: QueueSendRequest) -> QueueSendResponse:
        return await deliver(self._scope, self._target, self._params, name, request)

    async def _invoke(self, name: str, args: bytes, timeout: float | None) -> bytes:
        seconds = self._timeout if timeout is None else timeout
        return await bounded(self._scope.clock, seconds, self._live.call(name, args))
