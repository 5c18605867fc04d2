"""One generation of an actor: start, dispatch, stop (actor-runtime 3, 4 and 5).

    LOADING --start--> STARTED --stop--> SLEEP_GRACE ----> SLEEP_FINALIZE --> TERMINATED
        \\                 \\------stop--> DESTROY_GRACE --> DESTROYING ------/
         \\----failed start--------------------------------------------------/

Invariants
    Only this file changes ``lifecycle``.
    No client code runs before ``has_initialized`` is durable.
    Every accepted dispatch gets exactly one answer, and errors leave here as clients may see them.
    Actions run concurrently, with no lock: a lock would deadlock an action that another one must release.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from rivetkit_core.actor.access import GatedAccess
from rivetkit_core.actor.alarm import SetAlarm, no_alarm
from rivetkit_core.actor.budget import bounded
from rivetkit_core.actor.connections import Connection, Connections, ConnectionSink
from rivetkit_core.actor.context import ActorContext, ActorIdentity
from rivetkit_core.actor.detached import detached
from rivetkit_core.actor.factory import ActionSpec, ActorFactory, ActorInstance
from rivetkit_core.actor.firing import current_fire
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.lifecycle import REFUSALS, Lifecycle, StopKind
from rivetkit_core.actor.observer import StateObserver
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.schedule import SCHEDULE_KEYS, Schedule
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.clock import Clock, within
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorAccess, ActorStorage
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, decode_actor

_T = TypeVar("_T")

_CANCELLED_WORK_LIMIT = 5.0

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
        request_destroy: Callable[[], None],
        set_alarm: SetAlarm = no_alarm,
        expose_errors: bool = False,
    ) -> None:
        self.factory = factory
        self.identity = identity
        self.lifecycle = Lifecycle.LOADING
        self._config = config = factory.config
        self._clock = clock
        self._storage = storage
        self.work = WorkRegistry()
        self._saver = Saver(
            storage=storage,
            clock=clock,
            work=self.work,
            interval=config.state_save_interval,
            capture=self._capture,
            busy=lambda: self.work.active > 0,
        )
        self.outbox = Outbox(self._saver, strict=config.durability == "strict")
        self.connections = Connections(
            instance=lambda: self._instance,
            config=config,
            clock=clock,
            entropy=entropy,
            work=self.work,
            outbox=self.outbox,
            touched=self._touched,
        )
        self._gate = self._make_gate(expose_errors)
        self.schedule = self._make_schedule(storage, entropy, set_alarm)
        self.context = ActorContext(
            identity=identity,
            config=config,
            clock=clock,
            entropy=entropy,
            access=GatedAccess(access, self.outbox),
            connections=self.connections,
            saver=self._saver,
            schedule=self.schedule,
            observer=lambda: self._observer,
            request_destroy=request_destroy,
        )
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
        instance, config = self._instance, self._config
        record = stored if stored is not None else await self._load(input)
        self._saver.adopt(record)
        self.context.input = record.input
        await self.schedule.restore(record)
        if record.has_initialized:
            await self._restore(record)
        else:
            await self._create(record)
        await bounded(self._clock, "create_vars", config.create_vars_timeout, instance.create_vars())
        await bounded(self._clock, "on_wake", config.on_wake_timeout, instance.on_wake())
        self.lifecycle = Lifecycle.STARTED
        self.context.started = True
        if not record.has_initialized:
            await self._saver.request_and_wait()  # hooks after creation may have changed state
        self._touched()
        await self.schedule.begin()

    async def _load(self, input: bytes | None) -> ActorRecord:
        found = await self._storage.load([ACTOR_KEY, *SCHEDULE_KEYS])  # a start costs one read
        self.schedule.adopt(found)
        stored = found.get(ACTOR_KEY)
        return ActorRecord(input=input) if stored is None else decode_actor(stored)

    async def _create(self, record: ActorRecord) -> None:
        instance, config = self._instance, self._config
        if instance.has_state:
            created = instance.create_state(record.input)
            await bounded(self._clock, "create_state", config.create_state_timeout, created)
            self._reset_observer()
        await bounded(self._clock, "on_create", config.on_create_timeout, instance.on_create(record.input))
        await self._saver.write(replace(record, has_initialized=True, state=self._capture()))

    async def _restore(self, record: ActorRecord) -> None:
        instance = self._instance
        if not instance.has_state:
            return
        if record.state:
            instance.restore_state(record.state)
        else:  # an earlier generation was initialized while its class had no state
            created = instance.create_state(record.input)
            await bounded(self._clock, "create_state", self._config.create_state_timeout, created)
            await self._saver.write(replace(record, state=self._capture()))
        self._reset_observer()

    # --- dispatch -------------------------------------------------------------------------------

    async def open_connection(self, params: bytes | None, sink: ConnectionSink | None) -> Connection:
        """Run the connect hooks in the current task and admit the connection (9.2).

        Raises:
            RivetError: As a client may see it: refused, timed out, or the actor takes no connections.
        """
        with self._gate.accept("connect"):
            return await self._open(params, sink)

    def close_connection(self, conn: Connection) -> None:
        """The other side is gone: let ``on_disconnect`` run in the background. Idempotent."""
        self.connections.remove(conn)

    async def run_action(self, name: str, args: bytes, conn: Connection) -> bytes:
        """Run an action in the current task and return its output when it may be seen (4.7).

        Raises:
            RivetError: As a client may see it. The traceback of anything unexpected is in the log.
        """
        with self._gate.accept(name):
            return await self._run(name, args, conn)

    async def call(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """Run an action over a connection of its own, as HTTP and in-process callers do.

        Raises:
            RivetError: As a client may see it.
        """
        with self._gate.accept(name):  # one admission: what was accepted is not refused halfway
            conn = await self._open(params, None)
            try:
                return await self._run(name, args, conn)
            finally:
                self.close_connection(conn)

    async def call_detached(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """``call`` in a task of this actor: cancelling the caller does not stop the action."""
        self._gate.admit(name)
        call = self.call(name, args, params)
        return await detached(self.work, call, lambda: self._gate.stamped(error("actor.dropped_reply")))

    async def _open(self, params: bytes | None, sink: ConnectionSink | None) -> Connection:
        conn = await self._shown(self.connections.open(params, sink))
        if self._instance.connection_hooks:  # otherwise nothing ran that anybody could see
            try:
                await self.outbox.settled()
            except BaseException:
                self.close_connection(conn)
                raise
        return conn

    async def _run(self, name: str, args: bytes, conn: Connection | None) -> bytes:
        if conn is not None:
            current_fire.set(None)  # a call that a scheduled action made is a call like any other
        spec = self.factory.actions.get(name)
        if spec is None:
            raise error("actor.action_not_found", name=name)
        if spec.durability is None:
            return await self._finished(name, args, conn, spec)
        with self.outbox.durability(spec.durability == "strict"):
            return await self._finished(name, args, conn, spec)

    async def _finished(self, name: str, args: bytes, conn: Connection | None, spec: ActionSpec) -> bytes:
        try:
            output = await self._shown(self._budgeted(name, args, conn, spec))
        finally:
            self._touched()
        await self.outbox.settled()
        return output

    async def _shown(self, work: Awaitable[_T]) -> _T:
        """Hold back a failure until it may be seen. A cancellation tells nobody anything, so it goes on."""
        try:
            return await work
        except Exception:
            self._touched()
            await self.outbox.settled()
            raise

    async def _budgeted(self, name: str, args: bytes, conn: Connection | None, spec: ActionSpec) -> bytes:
        budget = self._config.action_timeout if spec.timeout is None else spec.timeout
        running = self._instance.run_action(name, args, conn)
        return await within(self._clock, budget, running, lambda: error("actor.action_timed_out"))

    def _refusal(self) -> str | None:
        if self.context.destroy_requested:
            return "actor.destroying"
        return None if self.lifecycle is Lifecycle.STARTED else REFUSALS[self.lifecycle]

    async def stop(self, kind: StopKind) -> None:
        """Finish accepted work within the grace period, save, and release everything (5.4 to 5.6).

        Raises:
            StorageError: The final state could not be saved; storage keeps the previous one.
        """
        destroying = kind is StopKind.DESTROY
        self.context.destroy_requested = self.context.destroy_requested or destroying
        self.schedule.suspend()
        self.lifecycle = Lifecycle.DESTROY_GRACE if destroying else Lifecycle.SLEEP_GRACE
        self.context.abort()
        try:
            async with self._clock.timeout(self._config.shutdown_grace_period):
                if destroying:
                    await self._run_on_destroy()
                await self.work.wait_idle()
                self._close_connections(kind)
                await self.work.wait_idle()
        except TimeoutError:
            cancelled = self.work.cancel_all()
            self.context.log.warning("shutdown grace period is over, cancelled %d tasks", cancelled)
            await self._join_cancelled()
            self._close_connections(kind)
        self.lifecycle = Lifecycle.DESTROYING if destroying else Lifecycle.SLEEP_FINALIZE
        try:
            await self._finalize(destroying)
        finally:
            self.lifecycle = Lifecycle.TERMINATED

    async def kill(self) -> None:
        """End without hooks and without saving: this generation has no right to either any more.

        Storage keeps what it has, as after a crash. Safe after and during ``stop``.
        """
        self._close_connections(StopKind.SLEEP)
        await self._end_at_once()
        self.outbox.discard()

    async def _end_at_once(self) -> None:
        self.lifecycle = Lifecycle.TERMINATED
        self.context.abort()
        self.schedule.abandon()
        self._saver.abandon()
        self.work.close()
        self.work.cancel_all()
        await self._join_cancelled()

    def _close_connections(self, kind: StopKind) -> None:
        # Clients take ws.going_away as a reason to come back, and an empty one after destroy.
        code, reason = (1000, "") if kind is StopKind.DESTROY else (1001, "ws.going_away")
        self.connections.close_all(code, reason)

    async def _run_on_destroy(self) -> None:
        budget = self._config.on_destroy_timeout or self._config.shutdown_grace_period
        try:
            with self.outbox.durability(None):
                await bounded(self._clock, "on_destroy", budget, self._instance.on_destroy())
        except Exception:
            self.context.log.exception("on_destroy failed")

    async def _finalize(self, destroying: bool) -> None:
        self.work.close()
        await self._join_cancelled()
        try:
            if destroying:
                self._saver.abandon()
            else:
                await self._saver.finish()
        finally:
            await self.schedule.finish(destroying=destroying)
        if lost := self.outbox.discard():
            self.context.log.warning("%d outgoing messages were dropped: their state was not stored", lost)

    async def _join_cancelled(self) -> None:
        try:
            async with self._clock.timeout(_CANCELLED_WORK_LIMIT):
                await self.work.wait_idle()
        except TimeoutError:
            self.context.log.error("work ignored its cancellation and was left behind")

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

    def _make_gate(self, expose_errors: bool) -> Gate:
        return Gate(
            identity=self.identity,
            capacity=self._config.dispatch_inbox_capacity,
            work=self.work,
            log=self.identity.log,
            refusal=self._refusal,
            expose_errors=expose_errors,
        )

    def _make_schedule(self, storage: ActorStorage, entropy: Entropy, set_alarm: SetAlarm) -> Schedule:
        return Schedule(
            storage=storage,
            saver=self._saver,
            clock=self._clock,
            entropy=entropy,
            work=self.work,
            factory=self.factory,
            set_alarm=set_alarm,
            gate=self._gate,
            run=partial(self._run, conn=None),
            log=self.identity.log,
        )
