"""How a generation ends: grace, deadline, final save (actor-runtime 5.4 to 5.6).

    drain      abort signal given: hooks run beside what was accepted, sockets close behind it
    deadline   the grace period is over: what still runs is cancelled
    finalize   nothing runs: resources are left, the state is saved, nothing is started any more

Invariants
    ``on_sleep`` or ``on_destroy`` runs once, whatever else happens.
    A socket is closed only when what its client asked for has been answered, or at the deadline.
    A socket that is kept for the next generation is let go after the final save, of which it has to hear.
    No failure of user code keeps the final save from happening.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.budget import bounded
from rivetkit_core.actor.connections import Connections
from rivetkit_core.actor.database import Database
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.resources import Resources
from rivetkit_core.actor.run import RunHandler
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.metrics.recorder import Recorder

_CANCELLED_WORK_LIMIT = 5.0
_LONG_DRAIN = 1.0


class Shutdown:
    """Ends one generation, orderly or at once. The task decides when, and moves the lifecycle."""

    def __init__(
        self,
        *,
        config: ActorConfig,
        clock: Clock,
        work: WorkRegistry,
        run: RunHandler,
        connections: Connections,
        database: Database,
        queue: ActorQueue,
        resources: Resources,
        outbox: Outbox,
        saver: Saver,
        alarm: Alarm,
        prevented: Callable[[], bool],
        instance: Callable[[], ActorInstance],
        log: ActorLog,
        metrics: Recorder,
    ) -> None:
        self._config = config
        self._clock = clock
        self._work = work
        self._run = run
        self._connections = connections
        self._database = database
        self._queue = queue
        self._resources = resources
        self._outbox = outbox
        self._saver = saver
        self._alarm = alarm
        self._prevented = prevented
        self._instance = instance
        self._log = log
        self._metrics = metrics

    async def drain(self, kind: StopKind) -> None:
        """Run the hook and let everything finish; at the deadline, cancel it. Never raises."""
        grace = self._config.effective_sleep_grace_period()
        self._log.debug("grace started", extra={"reason": kind.value, "grace_ms": round(grace * 1000)})
        hook = self._work.spawn(WorkKind.HOOK, self._hook(kind))
        warning = self._clock.call_later(_LONG_DRAIN, lambda: self._warn_of_long_drain(kind))
        try:
            async with self._clock.timeout(grace):
                await self._finish_work(kind)
        except TimeoutError:
            await self._cut_short(kind, hook)
        finally:
            warning.cancel()

    async def finalize(self, kind: StopKind) -> None:
        """Stop what is left, leave the resources and save.

        Raises:
            StorageError: The final state could not be saved; storage keeps the previous one.
        """
        self._run.cancel()
        self._work.close()
        self._queue.drop_waiters()
        if not await self._join():
            await self._cancel_rest()
        await self._saver.sql.end()
        self._step("work ended", kind)
        await self._resources.close()
        await self._database.settle()
        self._step("resources closed", kind)
        if kind is StopKind.DESTROY:
            self._saver.abandon()
            await self._alarm.clear()
        else:
            try:
                await self._save()
            finally:
                await self._alarm.finish()
        self._step("storage settled", kind)
        lost = self._outbox.discard()
        if lost:
            self._log.warning(
                "%d outgoing messages were dropped: their state was not stored",
                lost,
                extra={"reason": kind.value, "dropped": lost},
            )

    async def _save(self) -> None:
        connections = self._connections
        connections.records.capture_later(connections.values())
        try:
            await self._saver.finish()
        finally:
            connections.release()

    async def end_at_once(self) -> None:
        """Cancel everything, without hooks and without saving. Safe at any time, more than once."""
        self._saver.abandon()
        self._work.close()
        self._queue.drop_waiters()
        self._run.cancel()
        await self._cancel_rest()
        await self._resources.abandon()

    def close_connections(self, kind: StopKind) -> None:
        """Close every socket that is not kept. Clients take ws.going_away as a reason to come back."""
        code, reason = (1000, "") if kind is StopKind.DESTROY else (1001, "ws.going_away")
        self._connections.close_leaving(code, reason)

    async def _finish_work(self, kind: StopKind) -> None:
        while not self._done(kind):
            if self._work.idle and self._connections.leaving:
                self.close_connections(kind)
            else:
                await self._work.changed()

    def _done(self, kind: StopKind) -> bool:
        runs_on = self._run.active and kind is StopKind.SLEEP
        return self._work.idle and not (self._connections.leaving or self._prevented() or runs_on)

    async def _cut_short(self, kind: StopKind, hook: asyncio.Task[None]) -> None:
        self._metrics.count("shutdown_timeout_total", kind.value)
        own_budget = self._config.on_destroy_timeout if kind is StopKind.DESTROY else None
        cancelled = self._work.cancel_all(at_deadline=True, sparing=[] if own_budget is None else [hook])
        self._log.warning(
            "shutdown grace period is over, cancelled %d tasks",
            cancelled,
            extra=self._left(kind),
        )
        self._run.cancel()
        if own_budget is not None:
            await self._ended(hook, own_budget)
        await self._join()
        self.close_connections(kind)

    async def _hook(self, kind: StopKind) -> None:
        config, instance = self._config, self._instance()
        if kind is StopKind.DESTROY:
            await self._attempt("on_destroy", config.on_destroy_timeout, instance.on_destroy())
        else:
            await self._attempt("on_sleep", config.on_sleep_timeout, instance.on_sleep())

    async def _attempt(self, name: str, timeout: float | None, hook: Awaitable[None]) -> None:
        try:
            with self._outbox.durability(None):
                if timeout is None:
                    await hook
                else:
                    await bounded(self._clock, name, timeout, hook)
        except Exception:  # noqa: BLE001 - the log has it, and nothing may keep the actor from its end
            self._log.exception("%s failed", name, extra={"operation": name})

    async def _cancel_rest(self) -> None:
        self._work.cancel_all()
        if not await self._join():
            self._metrics.count("direct_subsystem_shutdown_warning_total", "work", "cancel")
            self._log.error("work ignored its cancellation and was left behind")

    async def _join(self) -> bool:
        """Wait briefly for the end of everything; whether there was one."""
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(_CANCELLED_WORK_LIMIT):
                await self._work.wait_idle()
                await self._run.wait()
        return self._work.idle and not self._run.active

    def _step(self, step: str, kind: StopKind) -> None:
        self._log.debug("shutdown: %s", step, extra={"operation": step, "reason": kind.value})

    def _warn_of_long_drain(self, kind: StopKind) -> None:
        self._log.warning("the actor takes long to finish its work", extra=self._left(kind))

    def _left(self, kind: StopKind) -> dict[str, object]:
        """What still runs, for the log."""
        return {
            "reason": kind.value,
            "work": {work.label: count for work, count in self._work.counts().items()},
            "run": self._run.active,
            "connections": len(self._connections),
        }

    async def _ended(self, hook: asyncio.Task[None], budget: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(budget + _CANCELLED_WORK_LIMIT):
                await asyncio.wait([hook])
