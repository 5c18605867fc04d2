"""Recurring schedules: by name, at the times of a cron expression or at an interval (actor-runtime 8.2).

Invariants
    What is in memory is what storage has: it changes right after a batch was stored.
    A tick is claimed by storing the next one. Missed ticks are one run, for the first of them.
    At most one run of a name is active; a tick that comes meanwhile is skipped, which its history says.
    A schedule whose action or time zone is gone ends at its next tick; its history stays until it is deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import replace
from functools import partial

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.cron import next_match, next_tick
from rivetkit_core.actor.firing import Claim, ScheduledFire
from rivetkit_core.actor.history import History, ended, lost_rows
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.errors import ProtocolError, RivetError, StorageError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.cbor import EMPTY_ARRAY
from rivetkit_core.wire.schedule_records import (
    SCHEDULE_INDEX_KEY,
    HistoryRow,
    Job,
    ScheduleIndex,
    decode_index,
    decode_job,
    encode_index,
    encode_job,
    job_key,
)

_CLAIM_SIZE = 40  # each is two or three records of a write

Commit = Callable[[Callable[[Batch], None]], Awaitable[None]]


class Jobs:
    """What is due again and again."""

    def __init__(
        self,
        *,
        storage: ActorStorage,
        clock: Clock,
        commit: Commit,
        actions: Container[str],
        log: ActorLog,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._commit = commit
        self._actions = actions
        self._log = log
        self._index = ScheduleIndex()
        self._jobs: dict[str, Job] = {}
        self._active: set[str] = set()
        self._history = History(storage)

    async def load(self, index: bytes | None) -> None:
        """Read them, and note for the runs that the last end cut short that it did.

        Raises:
            StorageError: They cannot be read.
            ProtocolError: The index is damaged. A schedule that is damaged is left alone, and logged.
        """
        if index is None:
            return
        self._index = decode_index(index)
        found = await self._storage.load([job_key(slot) for slot in self._index.slots])
        for slot in self._index.slots:
            self._adopt(slot, found.get(job_key(slot)))
        interrupted = [job for job in self._jobs.values() if job.running is not None]
        if interrupted:
            await self._close_interrupted(interrupted)

    async def _close_interrupted(self, interrupted: Sequence[Job]) -> None:
        """What cannot be noted is noted at a later start; it does not keep the actor from this one."""
        now = time_ms(self._clock)
        try:
            rows = [(job, await self._history.interrupted(job, now)) for job in interrupted]
            await self._commit(partial(self._interrupt, rows))
        except StorageError as failure:
            self._log.error("that runs of schedules were interrupted could not be noted: %s", failure)
            for job in interrupted:
                self._jobs[job.name] = replace(job, running=None)

    # --- asking ---------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many there are, ended ones not counted."""
        return sum(job.next_at is not None for job in self._jobs.values())

    def get(self, name: str) -> Job | None:
        """The schedule of that name, unless it ended."""
        job = self._jobs.get(name)
        return None if job is None or job.next_at is None else job

    def all(self) -> list[Job]:
        """Every schedule, by name."""
        return [job for _, job in sorted(self._jobs.items()) if job.next_at is not None]

    async def history(self, name: str, limit: int) -> list[HistoryRow]:
        """The latest runs of a name, newest first.

        Raises:
            StorageError: They cannot be read.
        """
        job = self._jobs.get(name)
        return [] if job is None else await self._history.read(job, limit)

    # --- changing -------------------------------------------------------------------------------

    def put(self, batch: Batch, wanted: Job) -> list[bytes]:
        """Make the schedule of this name be what ``wanted`` says; slot, rows and times are kept or made here.

        An unchanged cadence keeps its next tick. Returns rows to delete afterwards.
        """
        now, before = time_ms(self._clock), self._jobs.get(wanted.name)
        if before is None:
            slot = self._index.next_slot
            index = ScheduleIndex(slot + 1, (*self._index.slots, slot))
            batch.put(SCHEDULE_INDEX_KEY, encode_index(index))
            batch.then(partial(setattr, self, "_index", index))
            self._store(batch, replace(wanted, slot=slot, next_at=_following(wanted, now, now)))
            return []
        same = _cadence(before) == _cadence(wanted)
        job = replace(
            wanted,
            slot=before.slot,
            next_at=before.next_at if same and before.next_at is not None else _following(wanted, now, now),
            last_started_at=before.last_started_at,
            running=before.running,
            first_row=max(before.first_row, before.next_row - wanted.max_history),
            next_row=before.next_row,
        )
        self._store(batch, job)
        return lost_rows(before, job)

    def delete(self, batch: Batch, name: str) -> list[bytes]:
        """Forget a schedule; returns rows to delete afterwards."""
        job = self._jobs.get(name)
        if job is None:
            return []
        index = replace(self._index, slots=tuple(slot for slot in self._index.slots if slot != job.slot))
        batch.put(SCHEDULE_INDEX_KEY, encode_index(index))
        batch.delete(job_key(job.slot))
        batch.then(partial(setattr, self, "_index", index))
        batch.then(partial(self._jobs.pop, name, None))
        return lost_rows(job, None)

    # --- firing ---------------------------------------------------------------------------------

    def next_at(self) -> int | None:
        times = (job.next_at for job in self._jobs.values())
        return min((at for at in times if at is not None), default=None)

    async def prepare(self, now: int) -> None:
        return None

    def claim(self, batch: Batch, now: int) -> Sequence[Claim]:
        due = [job for job in self._jobs.values() if job.next_at is not None and job.next_at <= now]
        due.sort(key=lambda job: (job.next_at, job.id))
        claims = [self._tick(batch, job, now) for job in due[:_CLAIM_SIZE]]
        return [claim for claim in claims if claim is not None]

    def _tick(self, batch: Batch, job: Job, now: int) -> Claim | None:
        due = now if job.next_at is None else job.next_at
        row = HistoryRow(action=job.action, scheduled_at=due, fired_at=now)
        try:
            require_action(self._actions, job.action)
            job = replace(job, next_at=_following(job, due, now))
        except RivetError as failure:
            self._log.error("schedule %s ends: %s", job.name, failure)
            ending = replace(job, next_at=None)
            self._store(batch, self._history.add(batch, ending, ended(row, now, failure)))
            return None
        if job.name in self._active:
            skipped = replace(row, finished_at=now, result="skipped")
            self._store(batch, self._history.add(batch, job, skipped))
            return None
        self._store(batch, self._history.add(batch, replace(job, last_started_at=now), row))
        batch.then(partial(self._active.add, job.name))
        fire = ScheduledFire(job.kind, job.id, job.name, due, now)
        args = EMPTY_ARRAY if job.args is None else job.args
        return Claim(fire, job.action, args, partial(self._finish, job.name, job.slot, row))

    async def _finish(self, name: str, slot: int, row: HistoryRow, failure: RivetError | None) -> None:
        def end(batch: Batch) -> None:
            job = self._jobs.get(name)
            if job is not None and job.slot == slot and job.running is not None:
                self._store(batch, self._history.end(batch, job, ended(row, time_ms(self._clock), failure)))

        try:
            await self._commit(end)
            await self._prune()
        finally:
            self._active.discard(name)

    async def _prune(self) -> None:
        shorter = {job.name: job for job in self._history.excess(self._jobs.values())}
        if not shorter:
            return
        lost: list[bytes] = []

        def shorten(batch: Batch) -> None:
            for name, job in shorter.items():
                current = self._jobs.get(name)
                if current is not None and current.slot == job.slot and current.first_row < job.first_row:
                    after = replace(current, first_row=job.first_row)
                    lost.extend(lost_rows(current, after))
                    self._store(batch, after)

        await self._commit(shorten)
        await self.discard(lost, self._commit)

    async def discard(self, keys: Sequence[bytes], commit: Commit) -> None:
        """Delete rows that nobody counts any more."""

        def delete(batch: Batch) -> None:
            for key in keys:
                batch.delete(key)

        if keys:
            await commit(delete)

    def _store(self, batch: Batch, job: Job) -> None:
        batch.put(job_key(job.slot), encode_job(job))
        batch.then(partial(self._jobs.__setitem__, job.name, job))

    def _adopt(self, slot: int, data: bytes | None) -> None:
        try:
            if data is None:
                raise ProtocolError("its record is missing")
            job = decode_job(data)
        except ProtocolError as failure:
            self._log.error(
                "%s", error("schedule.invalid_schedule_row", schedule_id=str(slot), reason=failure.reason)
            )
            return
        self._jobs[job.name] = job

    def _interrupt(self, rows: Sequence[tuple[Job, HistoryRow | None]], batch: Batch) -> None:
        for job, row in rows:
            self._log.warning("a run of schedule %s was interrupted", job.name)
            closed = replace(job, running=None) if row is None else self._history.end(batch, job, row)
            self._store(batch, closed)


def require_action(actions: Container[str], action: str) -> None:
    """Refuse an action that does not exist, when it is planned rather than when it is due.

    Raises:
        RivetError: ``actor.action_not_found``.
    """
    if action not in actions:
        raise error("actor.action_not_found", name=action)


def _cadence(job: Job) -> tuple[object, ...]:
    return job.kind, job.expression, job.timezone, job.interval


def _following(job: Job, due: int, now: int) -> int:
    """The first tick later than ``now``, given that one was or will be due at ``due``."""
    if job.interval is not None:
        return next_tick(due, job.interval, now)
    return next_match(job.expression or "", job.timezone or "UTC", now)
