"""A live connection to an actor (client-protocol 4; our choices where 4.7 and 10 recommend them).

    IDLE --enter--> CONNECTING --Init--> CONNECTED --link lost--> DISCONNECTED --> CONNECTING ...
    any --exit, or a failure that cannot pass--> CLOSED

Invariants
    One task supervises: it opens links, reads them, and is the only one to change the status.
    Every call is settled: by its answer, by the loss of its link (never sent twice), by its timeout, or by
    the end of the connection.
    Subscriptions belong to the connection, not to a link: each new link subscribes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, cast

from typing_extensions import TypeVar

from rivetkit._contract import Contract
from rivetkit._validation import load_anything
from rivetkit.client._events import EventStream, WhenFull
from rivetkit.client._handle import CallsActor, encode_params, timed_out
from rivetkit.client._retry import backoff, may_reconnect
from rivetkit_core.clock import within
from rivetkit_core.errors import RivetError, error, rebuild
from rivetkit_core.host.port import ActorAccess, Link, LinkClosed, Target
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    ErrorMessage,
    Event,
    Init,
    SubscriptionRequest,
)
from rivetkit_core.wire.subprotocols import parse_close_reason

if TYPE_CHECKING:
    from rivetkit._references import EventRef
    from rivetkit.client._settings import Settings

log = logging.getLogger("rivetkit.client")

A = TypeVar("A", bound=Contract)
T = TypeVar("T")

_FIRST_DELAY = 0.25
_LONGEST_DELAY = 30.0
_INIT_TIMEOUT = 20.0
_WAITING_CALLS = 1024
_DEFAULT_BUFFER = 1024


class ConnectionStatus(enum.Enum):
    """Where a live connection stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class _Waiting:
    """A call without an answer yet. ``request`` is None once it was sent."""

    __slots__ = ("answer", "request")

    def __init__(self, request: ActionRequest, answer: asyncio.Future[bytes]) -> None:
        self.request: ActionRequest | None = request
        self.answer = answer

    def fail(self, failure: RivetError) -> None:
        if not self.answer.done():
            self.answer.set_exception(failure)


class ActorConnection(CallsActor[A], Generic[A]):
    """Everything a handle does over one websocket, and events. Open it with ``async with``.

    It reconnects by itself: at once, then after 0.25 s, doubling to 30 s. Calls made meanwhile wait; calls
    that were in flight fail with ``ConnectionLost``.
    """

    def __init__(
        self, access: ActorAccess, target: Target, settings: Settings, params: object = None
    ) -> None:
        super().__init__(settings)
        self._access = access
        self._target = target
        self._params = params
        self._status = ConnectionStatus.IDLE
        self._status_callbacks: list[Callable[[ConnectionStatus], object]] = []
        self._error_callbacks: list[Callable[[RivetError], object]] = []
        self._streams: dict[str, list[EventStream[object]]] = {}
        self._calls: dict[int, _Waiting] = {}
        self._next_id = 0
        self._link: Link | None = None
        self._failure: RivetError | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._first_outcome = asyncio.Event()
        self.actor_id: str | None = None
        self.connection_id: str | None = None

    @property
    def status(self) -> ConnectionStatus:
        return self._status

    async def __aenter__(self) -> Self:
        """Connect; returns when the actor has accepted.

        Raises:
            RivetError: The actor or the gateway refused, or ``client.timed_out``.
        """
        if self._supervisor is not None:
            raise error(
                "client.disposed", "A connection can be opened only once; make another with connect()"
            )
        self._supervisor = asyncio.create_task(self._supervise())
        budget, outcome = self._settings.timeout, self._first_outcome.wait()
        try:
            await within(self._settings.clock, budget, outcome, lambda: timed_out(budget))
        except BaseException:
            await self.close()
            raise
        if self._failure is not None:
            await self.close()
            raise self._failure
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection: calls in flight fail with ``client.disposed``, streams end. Idempotent."""
        supervisor = self._supervisor
        if supervisor is not None and not supervisor.done():
            supervisor.cancel()
            await asyncio.wait([supervisor])
        self._finish(None)

    def events(
        self, ref: EventRef[A, T], /, *, buffer: int = _DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> EventStream[T]:
        """Subscribe to an event; the subscription starts when the stream is entered or first iterated.

        Args:
            buffer: How many events may wait for a slow reader.
            when_full: ``fail`` ends the stream with an error, ``drop_oldest`` and ``drop_newest`` lose events
                and count them in ``stream.dropped``.
        """
        return self._stream(ref.name, ref.decode_args, buffer, when_full)

    def events_by_name(
        self, name: str, /, *, buffer: int = _DEFAULT_BUFFER, when_full: WhenFull = "fail"
    ) -> EventStream[list[object]]:
        """Subscribe to an event known only by name; yields its arguments as plain data."""
        return self._stream(name, lambda args: _plain_args(name, args), buffer, when_full)

    async def once(self, ref: EventRef[A, T], /, *, timeout: float | None = None) -> T:
        """Wait for the next such event, then unsubscribe.

        Raises:
            RivetError: ``client.timed_out`` after ``timeout`` seconds (default: the client's), or why the
                connection ended.
        """
        budget = self._settings.timeout if timeout is None else timeout
        return await within(self._settings.clock, budget, self._next(ref), lambda: timed_out(budget))

    def on_status_change(self, callback: Callable[[ConnectionStatus], object], /) -> Callable[[], None]:
        """Call back on every change of status; returns a function that stops it."""
        self._status_callbacks.append(callback)
        return lambda: _remove(self._status_callbacks, callback)

    def on_error(self, callback: Callable[[RivetError], object], /) -> Callable[[], None]:
        """Call back for failures of the connection itself, once each; returns a function that stops it."""
        self._error_callbacks.append(callback)
        return lambda: _remove(self._error_callbacks, callback)

    async def _next(self, ref: EventRef[A, T]) -> T:
        async with self.events(ref) as stream:
            async for payload in stream:
                return payload
        raise error("client.disposed")

    # --- calls ----------------------------------------------------------------------------------

    async def _run(self, name: str, args: bytes) -> bytes:
        if self._failure is not None:
            raise self._failure
        if self._supervisor is None or self._status is ConnectionStatus.CLOSED:
            raise error("client.disposed", "The connection is not open: use it inside its async with block")
        if len(self._calls) >= _WAITING_CALLS:
            raise error("actor.overloaded", channel="connection", capacity=_WAITING_CALLS, operation=name)
        request = ActionRequest(self._next_id, name, args)
        self._next_id += 1
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._calls[request.id] = waiting
        try:
            if self._status is ConnectionStatus.CONNECTED and self._link is not None:
                self._transmit(self._link, waiting)
            return await waiting.answer
        finally:
            # A late answer to a call nobody waits for any more finds nothing here and is dropped.
            self._calls.pop(request.id, None)

    def _transmit(self, link: Link, waiting: _Waiting) -> None:
        request, waiting.request = waiting.request, None
        if request is None:
            return
        try:
            link.send(request)
        except LinkClosed as closed:
            waiting.fail(_lost(closed))
        except RivetError as failure:
            waiting.fail(failure)

    # --- supervision ----------------------------------------------------------------------------

    async def _supervise(self) -> None:
        attempt = 0
        try:
            while True:
                self._set_status(ConnectionStatus.CONNECTING)
                failure, was_open = await self._one_link()
                if was_open:
                    attempt = 0
                    self._set_status(ConnectionStatus.DISCONNECTED)
                self._report(failure)
                if not (may_reconnect(failure) or (was_open and not _is_final(failure))):
                    self._finish(failure)
                    return
                if not was_open or attempt > 0:
                    delay = backoff(
                        attempt, self._settings.entropy, first=_FIRST_DELAY, longest=_LONGEST_DELAY
                    )
                    await self._settings.clock.sleep(delay)
                attempt += 1
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the connection's supervisor failed")
            self._finish(error("core.internal_error"))

    async def _one_link(self) -> tuple[RivetError, bool]:
        """Open a link and read it until it ends; why it ended, and whether it had been open."""
        opened = False
        try:
            params = encode_params(await self._make_params())
            link = await self._access.connect(self._target, params=params)
            try:
                await self._handshake(link)
                opened = True
                self._resume(link)
                while True:
                    self._receive(await link.receive())
            finally:
                self._link = None
                self._fail_sent(error("client.connection_lost"))
                await link.close()
        except LinkClosed as closed:
            return _lost(closed), opened
        except RivetError as failure:
            return failure, opened

    async def _make_params(self) -> object:
        params = self._params
        if not callable(params) or isinstance(params, type):
            return params
        try:
            made = params()
            return await made if inspect.isawaitable(made) else made
        except RivetError:
            raise
        except Exception as failure:
            log.exception("making the connection parameters failed")
            message = "The function that makes the connection parameters failed"
            raise RivetError("client", "params_failed", message) from failure

    async def _handshake(self, link: Link) -> None:
        try:
            async with self._settings.clock.timeout(_INIT_TIMEOUT):
                first = await link.receive()
        except TimeoutError:
            raise error("client.connection_lost", "The actor did not accept the connection in time") from None
        match first:
            case Init(actor_id, connection_id):
                self.actor_id, self.connection_id = actor_id, connection_id
            case ErrorMessage():
                raise _received(first)
            case _:
                raise error("client.connection_lost", "The connection began with something else than Init")

    def _resume(self, link: Link) -> None:
        self._link = link
        self._set_status(ConnectionStatus.CONNECTED)
        self._first_outcome.set()
        for name in self._streams:
            link.send(SubscriptionRequest(name, subscribe=True))
        for waiting in tuple(self._calls.values()):
            self._transmit(link, waiting)

    def _receive(self, message: object) -> None:
        match message:
            case ActionResponse(id, output):
                waiting = self._calls.get(id)
                if waiting is not None and not waiting.answer.done():
                    waiting.answer.set_result(output)
            case Event(name, args):
                for stream in tuple(self._streams.get(name, ())):
                    stream.put(args)
            case ErrorMessage(action_id=None):
                raise _received(message)
            case ErrorMessage(action_id=int(action_id)):
                waiting = self._calls.get(action_id)
                if waiting is not None:
                    waiting.fail(_received(message))
            case _:
                raise error("client.connection_lost", "The actor sent an unexpected message")

    def _fail_sent(self, failure: RivetError) -> None:
        for waiting in tuple(self._calls.values()):
            if waiting.request is None:
                waiting.fail(failure)

    def _finish(self, failure: RivetError | None) -> None:
        if self._status is ConnectionStatus.CLOSED:
            return
        self._failure = failure
        self._set_status(ConnectionStatus.CLOSED)
        for waiting in tuple(self._calls.values()):
            waiting.fail(failure or error("client.disposed"))
        for streams in tuple(self._streams.values()):
            for stream in tuple(streams):
                stream.end(failure)
        self._first_outcome.set()

    def _set_status(self, status: ConnectionStatus) -> None:
        if status is self._status:
            return
        self._status = status
        for callback in tuple(self._status_callbacks):
            _guarded(callback, status)

    def _report(self, failure: RivetError) -> None:
        for callback in tuple(self._error_callbacks):
            _guarded(callback, failure)

    # --- subscriptions --------------------------------------------------------------------------

    def _stream(
        self, name: str, decode: Callable[[bytes], T], buffer: int, when_full: WhenFull
    ) -> EventStream[T]:
        return EventStream(
            name, decode, buffer=buffer, when_full=when_full, attach=self._attach, detach=self._detach
        )

    def _attach(self, stream: EventStream[T]) -> None:
        if self._status is ConnectionStatus.CLOSED:
            stream.end(self._failure)
            return
        streams = self._streams.setdefault(stream.name, [])
        streams.append(cast("EventStream[object]", stream))
        if len(streams) == 1:
            self._subscribe(stream.name, subscribe=True)

    def _detach(self, stream: EventStream[T]) -> None:
        streams = self._streams.get(stream.name, [])
        with contextlib.suppress(ValueError):
            streams.remove(cast("EventStream[object]", stream))
        if not streams and self._streams.pop(stream.name, None) is not None:
            self._subscribe(stream.name, subscribe=False)

    def _subscribe(self, name: str, *, subscribe: bool) -> None:
        if self._link is not None:
            # A link that is just ending: the next one subscribes anew.
            with contextlib.suppress(LinkClosed):
                self._link.send(SubscriptionRequest(name, subscribe=subscribe))


def _received(message: ErrorMessage) -> RivetError:
    metadata = None if message.metadata is None else cbor.decode(message.metadata)
    return rebuild(message.group, message.code, message.message, metadata, message.actor)


def _lost(closed: LinkClosed) -> RivetError:
    """A close frame as an error: the reason's identity if it has one."""
    reason = parse_close_reason(closed.reason)
    if reason is None:
        detail = f"code {closed.code}" + (f", {closed.reason}" if closed.reason else "")
        return error("client.connection_lost", f"The connection was lost ({detail})")
    group, code, _ray = reason
    return rebuild(group, code, f"The connection was closed: {closed.reason}")


def _is_final(failure: RivetError) -> bool:
    """Closing reasons after which coming back would only end the same way (client-protocol 10, no. 7)."""
    return (failure.group, failure.code) in {("auth", "forbidden"), ("client", "disposed")}


def _plain_args(name: str, args: bytes) -> list[object]:
    value = load_anything(args, f"event `{name}` payload")
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _guarded(callback: Callable[[T], object], value: T) -> None:
    try:
        callback(value)
    except Exception:
        log.exception("a callback of the connection failed")


def _remove(callbacks: list[T], callback: T) -> None:
    with contextlib.suppress(ValueError):
        callbacks.remove(callback)
