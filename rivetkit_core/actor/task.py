"""One generation of an actor: start, dispatch, stop (actor-runtime 3, 4 and 5).

    LOADING --start--> STARTED --stop--> SLEEP_GRACE ----> SLEEP_FINALIZE --> TERMINATED
        \\                 \\------stop--> DESTROY_GRACE --> DESTROYING ------/
         \\----failed start--------------------------------------------------/

Invariants
    Only this file changes ``lifecycle``.
    No client code runs before ``has_initialized`` is durable.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Collection, Mapping

from rivetkit_core.actor.connections import Connection, ConnectionSink
from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.dispatch import Done
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.hibernation import SocketId, SocketKeeper
from rivetkit_core.actor.lifecycle import REFUSALS, Lifecycle, StopKind
from rivetkit_core.actor.parts import ActorParts
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.restoring import StoredSocket
from rivetkit_core.clock import time_ms
from rivetkit_core.errors import error
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse
from rivetkit_core.wire.persisted import ActorRecord

starting: contextvars.ContextVar[str | None] = contextvars.ContextVar("rivetkit_starting", default=None)
"""The actor whose startup hooks the current code runs in; calling it from there could never end."""


class ActorTask:
    """Owns everything one generation runs. Made by the registry, started once, stopped once."""

    def __init__(self, factory: ActorFactory, identity: ActorIdentity, ports: ActorPorts) -> None:
        self.factory = factory
        self.identity = identity
        self.lifecycle = Lifecycle.LOADING
        self._clock = ports.clock
        self._totals = ports.metrics
        self._parts = parts = ActorParts(factory, identity, ports, lifecycle=lambda: self.lifecycle)
        self.context = parts.context
        self.work = parts.work
        self.outbox = parts.outbox
        self.raw = parts.raw
        self.connections = parts.connections
        self.sleep = parts.sleep
        self.schedule = parts.schedule
        self.metrics = parts.metrics
        self.inspector_token = parts.token
        self._late_until = 0.0
        self.killed = False

    # --- start ----------------------------------------------------------------------------------

    async def start(
        self,
        input: bytes | None,
        *,
        stored: ActorRecord | None = None,
        live: Collection[SocketId] = (),
    ) -> None:
        """Load or create the state, run the startup hooks and accept dispatch (3.1).

        ``input`` counts only if storage has none. ``stored`` is what storage holds, if the caller knows it.
        ``live`` are the websockets that were kept while the actor slept; ``reattach`` must follow for each.
        On failure nothing runs any more, and storage still says "not initialized" if it did before, so that
        the next start is a first start again.

        Raises:
            RivetError: ``actor.start_failed``, or the public error a startup hook raised.
        """
        began = self._command("start")
        token = starting.set(self.identity.actor_id)
        if self._totals is not None:
            self._totals.enter(self.metrics)
        try:
            with self.metrics.phase("total"):
                await self._start(input, stored, live)
            if self._totals is not None:
                self._totals.started(self.metrics)
            self._replied("start", began, "ok")
        except BaseException as failure:
            self._replied("start", began, "error")
            await self._end_at_once()
            if isinstance(failure, asyncio.CancelledError):
                raise
            seen = self._parts.gate.explain_start(failure, self._parts.startup.stage)
            if seen is failure:
                raise
            raise seen from failure
        finally:
            starting.reset(token)

    async def _start(
        self, input: bytes | None, stored: ActorRecord | None, live: Collection[SocketId]
    ) -> None:
        phase = self.metrics.phase
        with phase("load_persisted"):
            record = stored if stored is not None else await self._parts.startup.load(input, live)
        self.metrics.is_new = not record.has_initialized
        self._parts.saver.adopt(record)
        self.context.input = record.input
        with phase("core_init"):
            if record.has_initialized:
                await self._take_up(record)
        with phase("runtime_preamble"):
            await self._parts.startup.run(self._parts.instance, record)
        with phase("post_ready"):
            await self._begin(record)

    async def _begin(self, record: ActorRecord) -> None:
        self._move(Lifecycle.STARTED)
        self.context.started = True
        if self._parts.instance.runs:
            self._parts.run.start()
        if not record.has_initialized:
            await self._parts.saver.request_and_wait()  # hooks after creation may have changed state
        self._parts.touched()
        await self.schedule.begin()
        await self._parts.alarm.begin()
        self._parts.restored.settle()
        self.sleep.begin()

    async def _take_up(self, record: ActorRecord) -> None:
        """Go on with what earlier generations planned, and have the host wake us for it from now on."""
        await self.schedule.restore(record)
        await self._parts.queue.next_due()
        await self._parts.alarm.begin(after=time_ms(self._clock))

    # --- dispatch -------------------------------------------------------------------------------

    async def open_connection(
        self, params: bytes | None, sink: ConnectionSink | None, keeper: SocketKeeper | None = None
    ) -> Connection:
        """See ``Dispatch.open_connection``."""
        return await self._parts.dispatch.open_connection(params, sink, keeper)

    def reattach(self, keeper: SocketKeeper, sink: ConnectionSink) -> Connection:
        """Give a restored connection its websocket back; no hook runs.

        Raises:
            RivetError: ``connection.restore_not_found``; ``actor.stopping`` when this generation ends.
        """
        if self.lifecycle is not Lifecycle.STARTED:
            raise error(REFUSALS.get(self.lifecycle, "actor.stopping"))
        return self._parts.restored.reattach(keeper, sink)

    @property
    def kept_sockets(self) -> Mapping[SocketId, StoredSocket]:
        """Where the websockets of connections that wait for ``reattach`` were left."""
        return self._parts.restored.waiting

    @property
    def left_sockets(self) -> Collection[SocketId]:
        """The websockets of those who left while the actor slept."""
        return self._parts.restored.left

    @property
    def defers(self) -> bool:
        """Whether what comes from kept websockets is left to the next generation, which will be soon."""
        asleep = self.lifecycle is not Lifecycle.STARTED or self.sleep.committed
        return asleep and self.connections.sockets_stay and not self.context.destroy_requested

    def close_connection(self, conn: Connection) -> None:
        """The other side is gone: let ``on_disconnect`` run in the background. Idempotent."""
        self.connections.remove(conn)

    async def subscribe(self, conn: Connection, event: str) -> None:
        """See ``Subscribing.subscribe``."""
        await self._parts.subscribing.subscribe(conn, event)

    async def run_action(
        self, name: str, args: bytes, conn: Connection, *, done: Done | None = None
    ) -> bytes:
        """See ``Dispatch.run_action``."""
        return await self._parts.dispatch.run_action(name, args, conn, done=done)

    async def call(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """See ``Dispatch.call``."""
        return await self._parts.dispatch.call(name, args, params)

    async def call_detached(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """See ``Dispatch.call_detached``."""
        return await self._parts.dispatch.call_detached(name, args, params)

    async def enqueue(self, name: str, request: QueueSendRequest, params: bytes | None) -> QueueSendResponse:
        """See ``Dispatch.enqueue``."""
        return await self._parts.dispatch.enqueue(name, request, params)

    @property
    def takes_late_work(self) -> bool:
        """Whether a caller may still be led here although the actor is going to sleep.

        In the first half of the grace period, so that what comes late can finish before the deadline.
        """
        return self.lifecycle is Lifecycle.SLEEP_GRACE and self._clock.monotonic() < self._late_until

    # --- stop -----------------------------------------------------------------------------------

    async def stop(self, kind: StopKind, *, sockets_stay: bool = True) -> None:
        """Finish accepted work within the grace period, save, and release everything (5.4 to 5.6).

        ``sockets_stay``: whether kept websockets outlive this generation, should it go to sleep.

        Raises:
            StorageError: The final state could not be saved; storage keeps the previous one.
        """
        destroying = kind is StopKind.DESTROY
        self.connections.sockets_stay = sockets_stay and not destroying
        self.context.destroy_requested = self.context.destroy_requested or destroying
        commanded = self._command("stop", kind.value)
        self._move(Lifecycle.DESTROY_GRACE if destroying else Lifecycle.SLEEP_GRACE)
        self._late_until = self._clock.monotonic() + self.factory.config.effective_sleep_grace_period() / 2
        self.sleep.end()
        self.schedule.suspend()
        self.context.abort()
        began = self._clock.monotonic()
        await self._parts.shutdown.drain(kind)
        self.metrics.observe("shutdown_wait_seconds", kind.value, seconds=self._clock.monotonic() - began)
        self._move(Lifecycle.DESTROYING if destroying else Lifecycle.SLEEP_FINALIZE)
        outcome = "error"
        try:
            with self.metrics.task("destroy_request" if destroying else "sleep_finalize"):
                await self._parts.shutdown.finalize(kind)
            outcome = "ok"
        finally:
            await self._close_storage()
            self._move(Lifecycle.TERMINATED)
            self._replied("stop", commanded, outcome, kind.value)

    async def kill(self) -> None:
        """End without hooks and without saving: this generation has no right to either any more.

        Storage keeps what it has, as after a crash. Safe after and during ``stop``.
        """
        self.killed = True
        self._parts.shutdown.close_connections(StopKind.SLEEP)
        self.connections.release()
        await self._end_at_once()
        self.outbox.discard()

    async def _end_at_once(self) -> None:
        self._move(Lifecycle.TERMINATED)
        self.sleep.end()
        self.schedule.suspend()
        self._parts.alarm.close()
        self.context.abort()
        await self._parts.shutdown.end_at_once()
        await self._close_storage()

    # --- what the log says ----------------------------------------------------------------------

    def _move(self, to: Lifecycle) -> None:
        old, self.lifecycle = self.lifecycle, to
        fields = {"old": old.value, "new": to.value}
        self.context.log.debug("lifecycle %s -> %s", old.value, to.value, extra=fields)

    def _command(self, command: str, reason: str | None = None) -> float:
        self.context.log.debug("lifecycle command received", extra={"command": command, "reason": reason})
        return self._clock.monotonic()

    def _replied(self, command: str, began: float, outcome: str, reason: str | None = None) -> None:
        fields = {"command": command, "reason": reason, "outcome": outcome}
        took = round((self._clock.monotonic() - began) * 1000, 3)
        self.context.log.debug("lifecycle command replied", extra={**fields, "elapsed_ms": took})

    async def _close_storage(self) -> None:
        self._parts.kv.close()
        await self._parts.database.close()
        if self._totals is not None:
            self._totals.leave(self.metrics)
