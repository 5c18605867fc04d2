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

from rivetkit_core.actor.access import GatedAccess
from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.connections import Connection, Connections, ConnectionSink
from rivetkit_core.actor.context import ActorContext, ActorIdentity
from rivetkit_core.actor.database import Database
from rivetkit_core.actor.dispatch import Dispatch
from rivetkit_core.actor.factory import ActorFactory, ActorInstance
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.kv import KeyValues
from rivetkit_core.actor.lifecycle import REFUSALS, Lifecycle, StopKind
from rivetkit_core.actor.observer import StateObserver
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.resources import Resources
from rivetkit_core.actor.run import RunHandler
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.schedule import Schedule
from rivetkit_core.actor.shutdown import Shutdown
from rivetkit_core.actor.sleep import Sleep
from rivetkit_core.actor.startup import Startup
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.port import ActorAccess, ActorDatabase, ActorHost, ActorStorage
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse
from rivetkit_core.wire.persisted import ActorRecord

starting: contextvars.ContextVar[str | None] = contextvars.ContextVar("rivetkit_starting", default=None)
"""The actor whose startup hooks the current code runs in; calling it from there could never end."""


class ActorTask:
    """Owns everything one generation runs. Made by the registry, started once, stopped once."""

    def __init__(
        self,
        factory: ActorFactory,
        identity: ActorIdentity,
        *,
        storage: ActorStorage,
        access: ActorAccess,
        clock: Clock,
        entropy: Entropy,
        host: ActorHost,
        database: ActorDatabase | None = None,
        expose_errors: bool = False,
    ) -> None:
        self.factory = factory
        self.identity = identity
        self.lifecycle = Lifecycle.LOADING
        self._config = config = factory.config
        self._clock = clock
        self._host = host
        self.work = WorkRegistry()
        self._saver = self._make_saver(storage)
        self.outbox = Outbox(self._saver, strict=config.durability == "strict")
        self.connections = self._make_connections(entropy)
        self._run = self._make_run()
        self.sleep = self._make_sleep()
        self.work.on_quiet = self.sleep.touch
        self._alarm = Alarm(storage=storage, set_alarm=host.set_alarm, log=identity.log)
        self._gate = self._make_gate(expose_errors)
        self.schedule = self._make_schedule(storage, entropy)
        self._queue = self._make_queue(storage)
        self._kv = KeyValues(storage, saver=self._saver, gated=self._gated, clock=clock, log=identity.log)
        self._database = Database(database, clock=clock, log=identity.log)
        self._resources = Resources(clock, timeout=config.create_vars_timeout)
        self.context = ActorContext(
            identity=identity,
            config=config,
            clock=clock,
            entropy=entropy,
            access=GatedAccess(access, self.outbox),
            connections=self.connections,
            queue=self._queue,
            saver=self._saver,
            schedule=self.schedule,
            alarm=self._alarm,
            observer=lambda: self._observer,
            host=host,
            work=self.work,
            run=self._run,
            sleep=self.sleep,
            kv=self._kv,
            database=self._database,
        )
        self.context.abort_signal.add_callback(self._queue.abort)
        self._startup = self._make_startup(storage)
        self._shutdown = self._make_shutdown()
        self._dispatch = self._make_dispatch()
        self._late_until = 0.0
        self._observer: StateObserver | None = None
        self._instance: ActorInstance = factory.create(self.context)
        self._observe()

    # --- start ----------------------------------------------------------------------------------

    async def start(self, input: bytes | None, *, stored: ActorRecord | None = None) -> None:
        """Load or create the state, run the startup hooks and accept dispatch (3.1).

        ``input`` counts only if storage has none. ``stored`` is what storage holds, if the caller knows it.
        On failure nothing runs any more, and storage still says "not initialized" if it did before, so that
        the next start is a first start again.

        Raises:
            RivetError: ``actor.start_failed``, or the public error a startup hook raised.
        """
        token = starting.set(self.identity.actor_id)
        try:
            await self._start(input, stored)
        except BaseException as failure:
            await self._end_at_once()
            if isinstance(failure, asyncio.CancelledError):
                raise
            seen = self._gate.explain_start(failure)
            if seen is failure:
                raise
            raise seen from failure
        finally:
            starting.reset(token)

    async def _start(self, input: bytes | None, stored: ActorRecord | None) -> None:
        record = stored if stored is not None else await self._startup.load(input)
        self._saver.adopt(record)
        self.context.input = record.input
        if record.has_initialized:
            await self._take_up(record)
        await self._startup.run(self._instance, record)
        self.lifecycle = Lifecycle.STARTED
        self.context.started = True
        if self._instance.runs:
            self._run.start()
        if not record.has_initialized:
            await self._saver.request_and_wait()  # hooks after creation may have changed state
        self._touched()
        await self._alarm.begin(after=time_ms(self._clock))
        await self.schedule.begin()
        self.sleep.begin()

    async def _take_up(self, record: ActorRecord) -> None:
        """Go on with what earlier generations planned, and have the host wake us for it from now on."""
        await self.schedule.restore(record)
        await self._queue.next_due()
        await self._alarm.begin(after=time_ms(self._clock))

    # --- dispatch -------------------------------------------------------------------------------

    async def open_connection(self, params: bytes | None, sink: ConnectionSink | None) -> Connection:
        """See ``Dispatch.open_connection``."""
        return await self._dispatch.open_connection(params, sink)

    def close_connection(self, conn: Connection) -> None:
        """The other side is gone: let ``on_disconnect`` run in the background. Idempotent."""
        self.connections.remove(conn)

    async def run_action(self, name: str, args: bytes, conn: Connection) -> bytes:
        """See ``Dispatch.run_action``."""
        return await self._dispatch.run_action(name, args, conn)

    async def call(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """See ``Dispatch.call``."""
        return await self._dispatch.call(name, args, params)

    async def call_detached(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """See ``Dispatch.call_detached``."""
        return await self._dispatch.call_detached(name, args, params)

    async def enqueue(self, name: str, request: QueueSendRequest, params: bytes | None) -> QueueSendResponse:
        """See ``Dispatch.enqueue``."""
        return await self._dispatch.enqueue(name, request, params)

    def _refusal(self) -> str | None:
        return "actor.destroying" if self.context.destroy_requested else REFUSALS.get(self.lifecycle)

    @property
    def takes_late_work(self) -> bool:
        """Whether a caller may still be led here although the actor is going to sleep.

        In the first half of the grace period, so that what comes late can finish before the deadline.
        """
        return self.lifecycle is Lifecycle.SLEEP_GRACE and self._clock.monotonic() < self._late_until

    # --- stop -----------------------------------------------------------------------------------

    async def stop(self, kind: StopKind) -> None:
        """Finish accepted work within the grace period, save, and release everything (5.4 to 5.6).

        Raises:
            StorageError: The final state could not be saved; storage keeps the previous one.
        """
        destroying = kind is StopKind.DESTROY
        self.context.destroy_requested = self.context.destroy_requested or destroying
        self.lifecycle = Lifecycle.DESTROY_GRACE if destroying else Lifecycle.SLEEP_GRACE
        self._late_until = self._clock.monotonic() + self._config.effective_sleep_grace_period() / 2
        self.sleep.end()
        self.schedule.suspend()
        self.context.abort()
        await self._shutdown.drain(kind)
        self.lifecycle = Lifecycle.DESTROYING if destroying else Lifecycle.SLEEP_FINALIZE
        try:
            await self._shutdown.finalize(kind)
        finally:
            await self._close_storage()
            self.lifecycle = Lifecycle.TERMINATED

    async def kill(self) -> None:
        """End without hooks and without saving: this generation has no right to either any more.

        Storage keeps what it has, as after a crash. Safe after and during ``stop``.
        """
        self._shutdown.close_connections(StopKind.SLEEP)
        await self._end_at_once()
        self.outbox.discard()

    async def _end_at_once(self) -> None:
        self.lifecycle = Lifecycle.TERMINATED
        self.sleep.end()
        self.schedule.suspend()
        self._alarm.close()
        self.context.abort()
        await self._shutdown.end_at_once()
        await self._close_storage()

    async def _close_storage(self) -> None:
        self._kv.close()
        await self._database.close()

    def _run_failed(self, failure: Exception) -> None:
        self.context.log.error("run failed", exc_info=failure)
        if self._config.run_error_policy == "crash" and not self.context.aborted:
            self._host.report_crash(f"run failed: {failure}")

    def _run_ended(self) -> None:
        self._touched()
        self.work.nudge()
        self.sleep.touch()

    def _gated(self) -> bool:
        """Whether effects wait for the state's next save; during the start there may be none yet."""
        return self.lifecycle is not Lifecycle.LOADING and self.outbox.gated

    def _capture(self) -> bytes:
        return self._instance.encode_state() if self._instance.has_state else b""

    def _touched(self) -> None:
        """User code ran, so state may have changed; whether it did is found out when it matters."""
        if not self._instance.has_state:
            return
        self._saver.request()
        if self._observer is not None:
            self._observer.look()

    def _observe(self) -> None:
        if self._instance.has_state and self._instance.observes_state:
            self._observer = StateObserver(
                work=self.work, capture=self._capture, callback=self._instance.on_state_change
            )

    def _reset_observer(self) -> None:
        if self._observer is not None:
            self._observer.reset()

    # --- parts ----------------------------------------------------------------------------------

    def _make_saver(self, storage: ActorStorage) -> Saver:
        return Saver(
            storage=storage,
            clock=self._clock,
            work=self.work,
            interval=self._config.state_save_interval,
            capture=self._capture,
            busy=lambda: self.work.active > 0 or (self._run.active and not self.work.queue_waits),
        )

    def _make_connections(self, entropy: Entropy) -> Connections:
        return Connections(
            instance=lambda: self._instance,
            config=self._config,
            clock=self._clock,
            entropy=entropy,
            work=self.work,
            outbox=self.outbox,
            touched=self._touched,
            emptied=lambda: self.sleep.touch(),
        )

    def _make_run(self) -> RunHandler:
        return RunHandler(
            lambda: self._instance.run(),
            clock=self._clock,
            aborted=lambda: self.context.aborted,
            failed=self._run_failed,
            ended=self._run_ended,
        )

    def _make_sleep(self) -> Sleep:
        return Sleep(
            clock=self._clock,
            config=self._config,
            work=self.work,
            ready=lambda: self.lifecycle is Lifecycle.STARTED,
            connections=lambda: len(self.connections),
            running=lambda: self._run.active,
            request=self._host.request_sleep,
        )

    def _make_queue(self, storage: ActorStorage) -> ActorQueue:
        return ActorQueue(
            storage,
            self._clock,
            self.factory,
            queue_wait=self.work.queue_wait,
            touched=self._touched,
            used=self.sleep.touch,
            alarm=self._alarm,
        )

    def _make_gate(self, expose_errors: bool) -> Gate:
        return Gate(
            identity=self.identity,
            capacity=self._config.dispatch_inbox_capacity,
            work=self.work,
            log=self.identity.log,
            refusal=self._refusal,
            expose_errors=expose_errors,
        )

    def _make_schedule(self, storage: ActorStorage, entropy: Entropy) -> Schedule:
        return Schedule(
            storage=storage,
            saver=self._saver,
            clock=self._clock,
            entropy=entropy,
            work=self.work,
            factory=self.factory,
            alarm=self._alarm,
            gate=self._gate,
            run=lambda name, args: self._dispatch.run_scheduled(name, args),
            log=self.identity.log,
        )

    def _make_startup(self, storage: ActorStorage) -> Startup:
        return Startup(
            config=self._config,
            clock=self._clock,
            storage=storage,
            saver=self._saver,
            schedule=self.schedule,
            resources=self._resources,
            capture=self._capture,
            made=self._reset_observer,
        )

    def _make_dispatch(self) -> Dispatch:
        return Dispatch(
            factory=self.factory,
            context=self.context,
            instance=lambda: self._instance,
            gate=self._gate,
            work=self.work,
            outbox=self.outbox,
            connections=self.connections,
            touched=self._touched,
            sleeping=lambda: self.lifecycle is Lifecycle.SLEEP_GRACE,
        )

    def _make_shutdown(self) -> Shutdown:
        return Shutdown(
            config=self._config,
            clock=self._clock,
            work=self.work,
            run=self._run,
            connections=self.connections,
            queue=self._queue,
            resources=self._resources,
            outbox=self.outbox,
            saver=self._saver,
            alarm=self._alarm,
            prevented=lambda: self.sleep.prevented,
            instance=lambda: self._instance,
            log=self.context.log,
        )
