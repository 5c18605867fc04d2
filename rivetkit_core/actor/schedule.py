"""What an actor has planned: the way in for its code, and for the life of its generation (actor-runtime 8).

    oneshots    due once, in the snapshot
    jobs        due again and again; cron says when, history what became of it
    firing      timer, claim, dispatch

Invariants
    Every change goes through ``_change``: stored, then the timer and the alarm follow it. What strict code
    plans is stored with its state: it fires after that. Until then the alarm knows both, the old and the new.
    Storage never holds more schedules than ``max_schedules`` because of this generation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.firing import Firing, ScheduledFire, current_fire
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.jobs import Jobs, require_action
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.oneshots import OneShots, Retries
from rivetkit_core.actor.recurring import Recurring
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.cbor import EMPTY_ARRAY
from rivetkit_core.wire.persisted import LAST_ALARM_KEY, ActorRecord, ScheduleEvent
from rivetkit_core.wire.schedule_records import SCHEDULE_INDEX_KEY

SCHEDULE_KEYS = (LAST_ALARM_KEY, SCHEDULE_INDEX_KEY)
"""What ``restore`` needs, apart from the actor's own record."""

_FAR = 8_640_000_000_000_000
"""Milliseconds from the epoch to the last moment that every RivetKit runtime can name."""

_DAY = 86_400.0
_MARGIN = 1000


class Schedule:
    """The schedules of one generation. Times are milliseconds since the Unix epoch.

    ``run`` runs an action without a connection. ``gated`` tells whether the running code is strict.
    """

    def __init__(
        self,
        *,
        storage: ActorStorage,
        saver: Saver,
        clock: Clock,
        entropy: Entropy,
        work: WorkRegistry,
        factory: ActorFactory,
        alarm: Alarm,
        gate: Gate,
        run: Callable[[str, bytes], Awaitable[object]],
        gated: Callable[[], bool],
        log: ActorLog,
    ) -> None:
        self._storage = storage
        self._saver = saver
        self._clock = clock
        self._entropy = entropy
        self._actions = factory.actions
        self._maximum = factory.config.max_schedules
        self._gated = gated
        self._work = work
        self._earliest: int | None = None
        self._oneshots = OneShots(
            stored=lambda: saver.saved.scheduled_events,
            current=lambda: saver.events,
            storage=storage,
            clock=clock,
            entropy=entropy,
            commit=self._change,
            patience=lambda action: _longest(factory, action),
            log=log,
        )
        self._jobs = Jobs(storage=storage, clock=clock, commit=self._change, actions=factory.actions, log=log)
        self.cron = Recurring(
            self._jobs, commit=self._planned, admit=self._require_room, actions=factory.actions
        )
        self._firing = Firing(
            [self._oneshots, self._jobs],
            clock=clock,
            work=work,
            commit=saver.commit,
            run=lambda name, args: gate.translated(name, run(name, args)),
            changed=alarm.changed,
            log=log,
        )
        self._alarm = alarm
        alarm.follow(self._next_alarm)
        self._found: Mapping[bytes, bytes] | None = None

    # --- one-shots ------------------------------------------------------------------------------

    async def after(
        self, delay_ms: int, action: str, args: bytes = EMPTY_ARRAY, *, retries: Retries | None = None
    ) -> str:
        """``at`` a number of milliseconds from now."""
        return await self.at(time_ms(self._clock) + delay_ms, action, args, retries=retries)

    async def at(
        self, timestamp: int, action: str, args: bytes = EMPTY_ARRAY, *, retries: Retries | None = None
    ) -> str:
        """Run an action once at ``timestamp``, or at once if that is past. ``args`` is a CBOR array.

        Returns:
            The id. The event is durable, in strict code with everything else, and fires at most once; with
            ``retries``, at least once.

        Raises:
            RivetError: ``schedule.max_schedules_exceeded``, ``schedule.invalid_time`` for a time that cannot
                be stored, ``actor.action_not_found``.
            StorageError: Nothing was scheduled.
        """
        require_action(self._actions, action)
        if not -_FAR <= timestamp < _FAR:
            raise error("schedule.invalid_time", reason=f"{timestamp} ms is too far away")
        if retries is not None:
            retries.check()
        event = self._oneshots.plan(timestamp, action, args, retries)

        def add(batch: Batch) -> None:
            self._require_room(batch)
            self._oneshots.add(batch, event, retries)

        await self._planned(add)
        return event.event_id

    async def cancel(self, event_id: str) -> bool:
        """Forget a pending one-shot; False if there is none by that id, for instance because it fired.

        Raises:
            StorageError: It is still pending.
        """
        removed = False

        def remove(batch: Batch) -> None:
            nonlocal removed
            removed = self._oneshots.remove(batch, event_id)

        await self._planned(remove)
        return removed

    def get(self, event_id: str) -> ScheduleEvent | None:
        """A pending one-shot."""
        return self._oneshots.get(event_id)

    def list(self) -> tuple[ScheduleEvent, ...]:
        """Every pending one-shot, earliest first."""
        return self._oneshots.all()

    @property
    def fire(self) -> ScheduledFire | None:
        """What the running code was fired by; None for everything a caller caused."""
        return current_fire.get()

    # --- life -----------------------------------------------------------------------------------

    def adopt(self, found: Mapping[bytes, bytes]) -> None:
        """Take over those of ``SCHEDULE_KEYS`` that exist, from whoever read them with other records."""
        self._found = found

    async def restore(self, record: ActorRecord) -> None:
        """Before the startup hooks: take up what was planned.

        Raises:
            StorageError: It cannot be read.
            ProtocolError: It is damaged.
        """
        if not record.has_initialized:
            return
        found = self._found if self._found is not None else await self._storage.load(SCHEDULE_KEYS)
        self._alarm.adopt(found.get(LAST_ALARM_KEY))
        await self._jobs.load(found.get(SCHEDULE_INDEX_KEY))

    async def begin(self) -> None:
        """After the startup hooks: fire what is overdue, then everything on time. Never raises."""
        await self._firing.begin()

    def suspend(self) -> None:
        """At the beginning of the end: claim nothing any more. Changes are still possible."""
        self._firing.suspend()

    # --- shared ---------------------------------------------------------------------------------

    async def _change(self, prepare: Callable[[Batch], None]) -> None:
        await self._saver.commit(prepare)
        self._firing.rearm()
        await self._alarm.changed()

    async def _planned(self, prepare: Callable[[Batch], None]) -> None:
        """``_change`` for what the actor's own code asks for."""
        if not self._gated():
            await self._change(prepare)
            return

        def join(batch: Batch) -> None:
            before = (self._next_known(), self._earliest)
            prepare(batch)
            self._earliest = min((at for at in before if at is not None), default=None)

        await self._saver.join(join)
        self._saver.pending.then(self._stored)
        await self._alarm.changed()

    def _stored(self) -> None:
        self._earliest = None
        self._firing.rearm()
        with contextlib.suppress(RivetError):  # at the end, the alarm is looked at again anyway
            self._work.spawn(WorkKind.SAVE, self._alarm.changed())

    def _next_known(self) -> int | None:
        times = (self._oneshots.next_known(), self._jobs.next_at())
        return min((at for at in times if at is not None), default=None)

    def _next_alarm(self) -> int | None:
        times = (self._next_known(), self._firing.next_at(), self._earliest)
        return min((at for at in times if at is not None), default=None)

    def _require_room(self, batch: Batch) -> None:
        if len(batch.events) + self._jobs.count >= self._maximum:
            raise error("schedule.max_schedules_exceeded", maximum=self._maximum)


def _longest(factory: ActorFactory, action: str) -> int:
    """Milliseconds after which an action has ended, one way or another."""
    spec = factory.actions.get(action)
    timeout = None if spec is None else spec.timeout
    return round(min(factory.config.action_timeout if timeout is None else timeout, _DAY) * 1000) + _MARGIN
