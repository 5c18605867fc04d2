"""Traffic that the actor's own code answers: raw requests and websockets (actor-runtime 10.2, 10.3).

Invariants
    A request is work from its receipt until its answer was handed over; it keeps the actor awake.
    A websocket is a connection. Its handler is work except while it waits for the client.
    What a strict actor sends reflects stored state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rivetkit_core.actor.connections import Connection, Connections
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.firing import current_fire
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.asgi import Message, Receive, Scope, Send
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, error
from rivetkit_core.metrics.recorder import Recorder

log = logging.getLogger("rivetkit.actor")


class Raw:
    """Runs ``on_request`` and ``on_websocket`` of one generation.

    Args:
        open_connection: Runs the connect hooks for a request.
        touched: Told that user code ran.
    """

    def __init__(
        self,
        *,
        config: ActorConfig,
        clock: Clock,
        instance: Callable[[], ActorInstance],
        gate: Gate,
        work: WorkRegistry,
        outbox: Outbox,
        connections: Connections,
        open_connection: Callable[[bytes | None], Awaitable[Connection]],
        touched: Callable[[], None],
        metrics: Recorder,
    ) -> None:
        self._metrics = metrics
        timeout = config.on_request_timeout
        self._timeout = config.action_timeout if timeout is None else timeout
        self._clock = clock
        self._instance = instance
        self._gate = gate
        self._work = work
        self._outbox = outbox
        self._connections = connections
        self._open_connection = open_connection
        self._touched = touched

    @property
    def serves_http(self) -> bool:
        return self._instance().serves_http

    @property
    def serves_websockets(self) -> bool:
        return self._instance().serves_websockets

    def can_hibernate(self, scope: Scope) -> bool:
        """Whether a websocket may outlive this generation. If the author's answer fails, it may not."""
        if not self.serves_websockets:
            return False
        try:
            return self._instance().can_hibernate(scope)
        except Exception:
            log.exception("can_hibernate_websocket failed")
            return False

    async def request(self, params: bytes | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request in the current task, over a connection of its own.

        Raises:
            RivetError: As a client may see it; the answer may have begun.
        """
        with self._gate.accept("on_request", WorkKind.HTTP):
            current_fire.set(None)
            conn = await self._open_connection(params)
            deadline = _StartDeadline(self._clock, self._timeout)

            async def sending(message: Message) -> None:
                await self._settled()
                deadline.lift()
                await send(message)

            try:
                async with deadline:
                    await self._instance().on_request(conn, scope, receive, sending)
            except Exception:
                await self._settled()  # what failed may tell of the state as well
                raise
            finally:
                self._touched()
                self._connections.remove(conn)

    async def websocket(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the handler of an admitted connection in the current task.

        Raises:
            RivetError: As a client may see it.
        """

        async def sending(message: Message) -> None:
            await self._settled()
            await send(message)

        current_fire.set(None)
        try:
            with self._outbox.durability(None):
                handler = self._instance().on_websocket(conn, scope, receive, sending)
                await self._gate.translated("on_websocket", handler)
        finally:
            self._touched()

    def callback(self, handler: asyncio.Task[None]) -> Callback:
        """The work that a websocket's handler is."""
        return Callback(self._work, self._metrics, handler, self._touched)

    async def _settled(self) -> None:
        self._touched()
        await self._outbox.settled()


def _not_running() -> None:
    return None


class Callback:
    """Counts a websocket's handler as work whenever there is something for it to do.

    ``begin`` comes before the handler runs, so that an end which waits for work cannot miss it.
    """

    def __init__(
        self,
        work: WorkRegistry,
        metrics: Recorder,
        handler: asyncio.Task[None],
        touched: Callable[[], None],
    ) -> None:
        self._work = work
        self._metrics = metrics
        self._stopwatch: Callable[[], None] = _not_running
        self._handler = handler
        self._touched = touched
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether it does something now."""
        return self._begun

    def begin(self) -> None:
        """There is something to do. Idempotent."""
        if self._begun or self._handler.done():
            return
        try:
            self._work.enter(WorkKind.WEBSOCKET, self._handler)
        except RivetError:  # the end is past waiting; what is left is cancelled by whoever serves it
            return
        self._begun = True
        self._stopwatch = self._metrics.stopwatch(WorkKind.WEBSOCKET.label)

    def pause(self) -> None:
        """The handler waits for the client, or has ended. Idempotent."""
        if not self._begun:
            return
        self._begun = False
        self._stopwatch()
        self._touched()
        self._work.leave(self._handler, WorkKind.WEBSOCKET)


class _StartDeadline:
    """Bounds the time until an answer begins; how long it takes to be read is the client's matter.

    Raises:
        RivetError: ``actor.action_timed_out``; the block was cancelled.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._bound = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._bound.__aenter__()
        self._timer = self._clock.call_later(self._seconds, self._expire)

    async def __aexit__(self, *raised: object) -> None:
        self._timer.cancel()
        try:
            await self._bound.__aexit__(*raised)  # pyright: ignore[reportArgumentType]  # passed on as it came
        except TimeoutError:
            if not self._bound.expired():
                raise
            raise error("actor.action_timed_out") from None

    def lift(self) -> None:
        """The answer has begun."""
        self._timer.cancel()

    def _expire(self) -> None:
        self._bound.reschedule(0)  # a time long past: now
