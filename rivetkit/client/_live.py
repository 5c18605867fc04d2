"""A connection that stays: opened, watched, and opened again by one task, the supervisor.

Knows names and bytes; values and declared types are the business of ``_connection``.

Invariants
    Every call settles: with its answer, with ``client.connection_lost`` when the link it was sent over
    ends, with the error that ended the connection, or with its caller's timeout. None is sent twice.
    A link is used by the supervisor alone, and closed by it however it ends.
    After ``closed`` nothing changes any more, and everybody who waited has been told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from rivetkit.client._bounds import bounded, limit, timed_out
from rivetkit.client._failures import closed_failure, failure_of, lost_call
from rivetkit.client._pending import PendingCall, PendingCalls, twin
from rivetkit.client._retry import Backoff, ends_connection, ends_opening
from rivetkit.client._scope import describe
from rivetkit.client._status import ConnectionStatus, Watchers
from rivetkit.client._streams import EventBuffer
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.port import ActorAccess, Link, LinkClosed, Target
from rivetkit_core.wire.messages import (
    ActionResponse,
    ErrorMessage,
    Event,
    Init,
    SubscriptionRequest,
    ToClient,
)

log = logging.getLogger("rivetkit.client")

OPEN_TIMEOUT = 45.0
"""Seconds for one attempt; a gateway may hold it for 30 while the actor starts."""

CLOSE_TIMEOUT = 5.0
STABLE_AFTER = 5.0
"""A connection that lasted this many seconds is opened again at once; a shorter one after a delay."""

FIRST_DELAY, LONGEST_DELAY = 0.25, 30.0

ParamsSource = Callable[[], Awaitable[bytes | None]]


class LiveConnection:
    """Calls and subscriptions over a link that comes and goes."""

    def __init__(
        self, access: ActorAccess, target: Target, params: ParamsSource, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.status = ConnectionStatus.IDLE
        self.actor_id: str | None = None
        self.connection_id: str | None = None
        self.status_watchers = Watchers[ConnectionStatus]()
        self.error_watchers = Watchers[RivetError]()
        self._access = access
        self._target = target
        self._shown = describe(target)
        self._params = params
        self._clock = clock
        self._backoff = Backoff(entropy, first=FIRST_DELAY, longest=LONGEST_DELAY)
        self._may_hurry = True
        self._link: Link | None = None
        self._calls = PendingCalls()
        self._streams: dict[str, list[EventBuffer]] = {}
        self._opened = asyncio.Event()
        self._end_reason: RivetError | None = None
        self._last_trouble: RivetError | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect. ``close`` must follow."""
        if self._supervisor is not None or self.status is not ConnectionStatus.IDLE:
            raise error("actor.invalid_operation", operation="opening", reason="a connection opens once")
        self._supervisor = asyncio.create_task(
            self._supervise(), name=f"rivetkit connection to {self._shown}"
        )

    async def wait_opened(self, timeout: float) -> None:
        """Wait for the first ``Init``.

        Raises:
            RivetError: What ended the connection, or the last failed attempt when ``timeout`` passed.
        """
        bound = self._clock.timeout(limit(timeout))
        try:
            async with bound:
                await self._opened.wait()
        except TimeoutError as expiry:
            if not bound.expired():
                raise
            raise (self._last_trouble or timed_out(timeout)) from expiry
        if self._end_reason is not None:
            raise twin(self._end_reason)

    async def call(self, name: str, args: bytes) -> bytes:
        """Run an action, once the connection is up. Cancelling drops the answer, not the action.

        Raises:
            ConnectionLost: The link broke after the request was sent.
            Overloaded: Too many calls wait; nothing was sent.
            RivetError: The actor's answer, or what ended the connection.
        """
        self._require_alive()
        call = self._calls.add(name, args)
        try:
            if self._link is not None:
                self._send(self._link, call)
            return await call.answer
        finally:
            self._calls.forget(call)

    def subscribe(self, buffer: EventBuffer) -> None:
        """Deliver events to ``buffer``, now and after every reconnect, until ``unsubscribe``."""
        if self._end_reason is not None:
            buffer.end(self._reason_for_readers())
            return
        readers = self._streams.setdefault(buffer.event, [])
        readers.append(buffer)
        if len(readers) == 1:
            self._tell_subscription(buffer.event, subscribe=True)

    def unsubscribe(self, buffer: EventBuffer) -> None:
        """Stop delivering. Idempotent."""
        readers = self._streams.get(buffer.event, [])
        if buffer not in readers:
            return
        readers.remove(buffer)
        if not readers:
            del self._streams[buffer.event]
            self._tell_subscription(buffer.event, subscribe=False)

    def end_reason(self) -> RivetError:
        """What ended the connection, as an error to raise."""
        return error("client.disposed") if self._end_reason is None else twin(self._end_reason)

    async def close(self) -> None:
        """End the connection for good; calls fail with ``client.disposed``, streams end. Idempotent."""
        self._end(error("client.disposed"))
        supervisor = self._supervisor
        if supervisor is None:
            return
        supervisor.cancel()
        await asyncio.wait([supervisor])
        if not supervisor.cancelled() and (bug := supervisor.exception()) is not None:
            raise bug

    async def _supervise(self) -> None:
        try:
            while self._end_reason is None:
                self._change(ConnectionStatus.CONNECTING)
                delay = await self._attempt()
                if self._end_reason is None:
                    self._change(ConnectionStatus.DISCONNECTED)
                    await self._clock.sleep(delay)
        except Exception:
            self._end(error("rivetkit.internal_error"))
            raise

    async def _attempt(self) -> float:
        """One link from opening to its end. Returns how long to wait before the next."""
        try:
            link, init = await bounded(self._clock, OPEN_TIMEOUT, self._open())
        except RivetError as failure:
            self._note_failed_opening(failure)
            return self._backoff.delay()
        began = self._clock.monotonic()
        try:
            self._adopt(link, init)
            failure = await self._pump(link)
            self._note_lost(failure)
        finally:
            self._link = None
            await self._hang_up(link)
        return self._reconnect_delay(self._clock.monotonic() - began)

    async def _open(self) -> tuple[Link, Init]:
        params = await self._params()
        link = await self._access.connect(self._target, params=params)
        try:
            return link, _first(await link.receive())
        except LinkClosed as closed:
            await self._hang_up(link)
            raise closed_failure(closed) from closed
        except BaseException:
            await self._hang_up(link)
            raise

    def _adopt(self, link: Link, init: Init) -> None:
        self._link = link
        self._last_trouble = None
        self.actor_id, self.connection_id = init.actor_id, init.connection_id
        self._opened.set()
        self._change(ConnectionStatus.CONNECTED)
        for event in list(self._streams):
            self._tell_subscription(event, subscribe=True)
        for call in self._calls.waiting():
            try:
                self._send(link, call)
            except RivetError as failure:
                call.fail(failure)

    async def _pump(self, link: Link) -> RivetError:
        try:
            while True:
                self._dispatch(await link.receive())
        except LinkClosed as closed:
            return closed_failure(closed)
        except RivetError as failure:
            return failure

    def _dispatch(self, message: ToClient) -> None:
        match message:
            case ActionResponse(action_id, output):
                self._calls.succeed(action_id, output)
            case ErrorMessage(action_id=int() as action_id):
                self._calls.fail(action_id, failure_of(message))
            case ErrorMessage():
                raise failure_of(message)
            case Event(name, args):
                self._deliver(name, args)
            case Init():
                raise ProtocolError("a second Init")

    def _deliver(self, name: str, args: bytes) -> None:
        for buffer in list(self._streams.get(name, ())):
            buffer.put(args)
            if buffer.ended:
                self.unsubscribe(buffer)

    def _send(self, link: Link, call: PendingCall) -> None:
        """Send a call, or leave it waiting if the link has just ended."""
        with suppress(LinkClosed):
            link.send(call.request)
            call.sent = True

    def _tell_subscription(self, event: str, *, subscribe: bool) -> None:
        if self._link is not None:
            with suppress(LinkClosed):  # the next link begins with every subscription
                self._link.send(SubscriptionRequest(event, subscribe))

    def _note_failed_opening(self, failure: RivetError) -> None:
        if ends_opening(failure, self._target):
            self._end(failure)
            return
        level = logging.WARNING if self._last_trouble is None else logging.DEBUG
        log.log(level, "cannot connect to %s: %s; trying again", self._shown, failure)
        self._last_trouble = failure
        self.error_watchers.tell(failure)

    def _note_lost(self, failure: RivetError) -> None:
        self._link = None
        if ends_connection(failure, self._target):
            self._end(failure)
            return
        log.info("connection to %s lost: %s; connecting again", self._shown, failure)
        self._calls.lose(lost_call(failure))
        self.error_watchers.tell(failure)

    def _reconnect_delay(self, lasted: float) -> float:
        if lasted >= STABLE_AFTER:
            self._backoff.reset()
            self._may_hurry = True
        hurry, self._may_hurry = self._may_hurry, False
        return 0.0 if hurry else self._backoff.delay()

    async def _hang_up(self, link: Link) -> None:
        try:
            async with self._clock.timeout(CLOSE_TIMEOUT):
                await link.close(1000, "Disposed")
        except TimeoutError:
            log.debug("a link to %s did not close in time", self._shown)

    def _end(self, reason: RivetError) -> None:
        if self._end_reason is not None:
            return
        self._end_reason = reason
        self._calls.end(reason)
        for buffer in [buffer for readers in self._streams.values() for buffer in readers]:
            buffer.end(self._reason_for_readers())
        self._streams.clear()
        self._opened.set()
        self._change(ConnectionStatus.CLOSED)
        if not _is_disposal(reason):
            self.error_watchers.tell(reason)

    def _reason_for_readers(self) -> RivetError | None:
        reason = self._end_reason
        return None if reason is None or _is_disposal(reason) else twin(reason)

    def _require_alive(self) -> None:
        if self._end_reason is not None:
            raise twin(self._end_reason)
        if self.status is ConnectionStatus.IDLE and self._supervisor is None:
            reason = "enter the connection with `async with` first"
            raise error("actor.invalid_operation", operation="a call", reason=reason)

    def _change(self, status: ConnectionStatus) -> None:
        if self.status not in (status, ConnectionStatus.CLOSED):
            self.status = status
            self.status_watchers.tell(status)


def _first(message: ToClient) -> Init:
    match message:
        case Init():
            return message
        case ErrorMessage():
            raise failure_of(message)
        case _:
            raise ProtocolError("the first message is not Init")


def _is_disposal(reason: RivetError) -> bool:
    return (reason.group, reason.code) == ("client", "disposed")
