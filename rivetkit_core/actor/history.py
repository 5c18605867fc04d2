"""What became of the runs of recurring schedules (actor-runtime 8.2).

A schedule's rows are numbered; its record says which numbers exist. So nothing is searched: a row is read
by its key, and the oldest ones are known without reading.

Invariants
    A schedule keeps at most ``max_history`` rows, all schedules together about ``TOTAL_ROWS``. Beyond that
    the longest histories lose their oldest rows first.
    A row is written in the same batch as the record that counts it. Rows that nobody counts are garbage.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

from rivetkit_core.actor.batch import Batch
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire import cbor
from rivetkit_core.wire.schedule_records import (
    HistoryRow,
    Job,
    RunError,
    decode_history,
    encode_history,
    history_key,
)

MAX_HISTORY = 1000
TOTAL_ROWS = 10_000
_PRUNED_ROWS = 9_900
_PRUNE_EVERY = 100


class History:
    """The rows of one actor's recurring schedules."""

    def __init__(self, storage: ActorStorage) -> None:
        self._storage = storage
        self._added = 0

    def add(self, batch: Batch, job: Job, row: HistoryRow) -> Job:
        """Write the schedule's next row; returns the schedule that counts it."""
        if job.max_history == 0:
            return job
        number = job.next_row
        batch.put(history_key(job.slot, number), encode_history(row))
        job = replace(job, next_row=number + 1, running=number if row.result == "running" else job.running)
        while job.next_row - job.first_row > job.max_history:
            batch.delete(history_key(job.slot, job.first_row))
            job = replace(job, first_row=job.first_row + 1)
        self._added += 1
        return job

    def end(self, batch: Batch, job: Job, row: HistoryRow) -> Job:
        """Write how the running run ended, unless its row is gone already."""
        if job.running is None:
            return job
        if job.running >= job.first_row:
            batch.put(history_key(job.slot, job.running), encode_history(row))
        return replace(job, running=None)

    async def interrupted(self, job: Job, now: int) -> HistoryRow | None:
        """How the row of a run reads that the actor's end cut short.

        Raises:
            StorageError: It cannot be read.
        """
        if job.running is None:
            return None
        rows = await self._load(job, [job.running])
        reason = error("schedule.interrupted")
        return next((ended(row, now, reason) for row in rows), None)

    async def read(self, job: Job, limit: int) -> list[HistoryRow]:
        """The latest rows, newest first.

        Raises:
            StorageError: They cannot be read.
        """
        oldest = max(job.first_row, job.next_row - limit)
        return await self._load(job, range(job.next_row - 1, oldest - 1, -1))

    def excess(self, jobs: Iterable[Job]) -> list[Job]:
        """Schedules with the rows they may keep; only those that lose some, and only now and then."""
        if self._added < _PRUNE_EVERY:
            return []
        self._added = 0
        longest = [(job.first_row - job.next_row, job.slot, job) for job in jobs]
        surplus = -sum(length for length, _, _ in longest)
        if surplus <= TOTAL_ROWS:
            return []
        surplus -= _PRUNED_ROWS
        heapq.heapify(longest)
        lost: dict[int, Job] = {}
        for _ in range(surplus):
            length, slot, job = longest[0]
            lost[slot] = shorter = replace(job, first_row=job.first_row + 1)
            heapq.heapreplace(longest, (length + 1, slot, shorter))
        return list(lost.values())

    async def _load(self, job: Job, numbers: Iterable[int]) -> list[HistoryRow]:
        keys = [history_key(job.slot, number) for number in numbers]
        found = await self._storage.load(keys) if keys else {}
        return [decode_history(found[key]) for key in keys if key in found]


def lost_rows(before: Job, after: Job | None) -> list[bytes]:
    """Keys of the rows that a schedule no longer counts."""
    end = before.next_row if after is None else after.first_row
    return [history_key(before.slot, number) for number in range(before.first_row, end)]


def ended(row: HistoryRow, now: int, failure: RivetError | None) -> HistoryRow:
    """The row of a run that is over."""
    if failure is None:
        return replace(row, finished_at=now, result="ok")
    metadata = None if failure.metadata is None else cbor.encode(failure.metadata)
    reason = RunError(failure.group, failure.code, failure.message, metadata)
    return replace(row, finished_at=now, result="error", error=reason)
