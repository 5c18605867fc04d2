"""Recurring schedules and their histories, which other runtimes find by name and this one by numbers.

The core knows a schedule by its slot, and a run by its number in the schedule's history. The tables have
neither, so a generation gives both anew when it starts: nothing outside of these records refers to them.

    index     not stored: which schedules there are, says their table
    job       a row of ``_rivet_schedule_events``; none when the schedule ended
    history   a row of ``_rivet_schedule_history``. One that ended leaves only these, and is found by them.

Invariants
    What is known here is what the tables hold: nobody else writes them while the generation lives.
    A row keeps its id, once it was given one, so that a write that is repeated changes nothing.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from rivetkit_core.errors import error
from rivetkit_core.host.engine.tables.recurring_rows import (
    COLUMNS,
    DELETE_JOB,
    DELETE_ROW,
    DELETE_ROWS,
    EVENTS,
    ROWS,
    RUNNING,
    history_row,
    job_of_history,
    job_of_row,
    put_job,
    put_row,
)
from rivetkit_core.host.engine.tables.statements import NOTHING, Query, marks, statement, text, whole
from rivetkit_core.host.port import Records, SqlResult, SqlStatement
from rivetkit_core.wire.schedule_records import (
    SCHEDULE_INDEX_KEY,
    Job,
    ScheduleIndex,
    decode_history,
    decode_job,
    encode_history,
    encode_index,
    encode_job,
    history_key,
    history_place,
    job_key,
    job_slot,
)

log = logging.getLogger("rivetkit.envoy")

OPENING = (EVENTS, ROWS)
"""What ``Recurring`` is made from."""


class Recurring:
    """A section, made from the results of ``OPENING``."""

    def __init__(self, events: SqlResult, rows: SqlResult) -> None:
        self._jobs: dict[int, Job] = {}
        self._rows: dict[tuple[int, int], int] = {}
        self._names: dict[int, str] = {}
        self._next_slot = 0
        histories = {
            schedule: list(group)
            for schedule, group in itertools.groupby(rows.rows, key=lambda row: text(row[0]))
        }
        for event in events.rows:
            job = job_of_row(event)
            if job is None:
                log.error(
                    "%s", error("schedule.invalid_schedule_row", schedule_id=str(event[0]), reason="unknown")
                )
            else:
                self._adopt(job, histories.pop(job.id, []))
        for schedule, history in histories.items():  # of schedules that ended
            job = job_of_history(schedule, history[-1])
            if job is not None:
                self._adopt(job, history)
        ids = (whole(row[1]) for row in rows.rows)
        self._next_id = max(ids, default=0) + 1

    def _adopt(self, job: Job, history: Sequence[tuple[object, ...]]) -> None:
        slot, self._next_slot = self._next_slot, self._next_slot + 1
        running: int | None = None
        for number, row in enumerate(history):
            self._rows[slot, number] = cast("int", row[1])
            running = number if row[2] == RUNNING else running
        self._jobs[slot] = replace(job, slot=slot, next_row=len(history), running=running)
        self._names[slot] = job.id

    # --- section --------------------------------------------------------------------------------

    def owns(self, key: bytes) -> bool:
        return key == SCHEDULE_INDEX_KEY or job_slot(key) is not None or history_place(key) is not None

    def read(self, keys: Sequence[bytes]) -> Query:
        known = self._known(keys)
        places = {key: place for key in keys if (place := history_place(key)) is not None}
        ids = {self._rows[place]: key for key, place in places.items() if place in self._rows}
        if not ids:
            return Query((), lambda _: known)
        sql = statement(
            f"SELECT id, {COLUMNS} FROM _rivet_schedule_history WHERE id IN ({marks(list(ids))})", *ids
        )

        def records(results: Sequence[SqlResult]) -> Records:
            rows = results[0].rows
            return known + [(ids[whole(row[0])], encode_history(history_row(row[1:]))) for row in rows]

        return Query((sql,), records)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        keys = self._within(start, end)
        return self.read(keys) if keys else NOTHING

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        statements: list[SqlStatement] = []
        for key in deletes:
            statements += self._delete(key)
        for key, value in sorted(puts.items(), key=lambda pair: job_slot(pair[0]) is None):  # names first
            statements += self._put(key, value)
        return statements

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        keys = self._within(start, end)
        statements = self.change({}, keys)
        self.changed({}, keys)
        return statements

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        for slot in (job_slot(key) for key in deletes):
            if slot is not None:
                self._jobs.pop(slot, None)
        for key, value in puts.items():
            if job_slot(key) is not None:
                job = decode_job(value)
                self._jobs[job.slot] = job
                self._next_slot = max(self._next_slot, job.slot + 1)

    def doubt(self) -> None:
        """A write is repeated by whoever wanted it, and overwrites what became of the first try."""

    # --- inside ---------------------------------------------------------------------------------

    def _known(self, keys: Iterable[bytes]) -> Records:
        records: Records = []
        for key in keys:
            slot = job_slot(key)
            if key == SCHEDULE_INDEX_KEY and self._jobs:
                records.append((key, encode_index(ScheduleIndex(self._next_slot, tuple(self._jobs)))))
            elif slot is not None and slot in self._jobs:
                records.append((key, encode_job(self._jobs[slot])))
        return records

    def _within(self, start: bytes, end: bytes) -> list[bytes]:
        keys = [SCHEDULE_INDEX_KEY] if self._jobs else []
        keys += [*map(job_key, self._jobs), *(history_key(*place) for place in self._rows)]
        return [key for key in keys if start <= key < end]

    def _put(self, key: bytes, value: bytes) -> list[SqlStatement]:
        if job_slot(key) is not None:
            job = decode_job(value)
            self._names[job.slot] = job.id
            return [statement(DELETE_JOB, job.id)] if job.next_at is None else [put_job(job)]
        place = history_place(key)
        if place is None or place[0] not in self._names:
            return []  # the index, or a run of a schedule that was never stored
        if place not in self._rows:
            self._rows[place], self._next_id = self._next_id, self._next_id + 1
        return [put_row(self._rows[place], self._names[place[0]], decode_history(value))]

    def _delete(self, key: bytes) -> list[SqlStatement]:
        slot, place = job_slot(key), history_place(key)
        if slot is not None and slot in self._names:
            return [statement(DELETE_JOB, self._names[slot]), statement(DELETE_ROWS, self._names[slot])]
        if place is not None and place in self._rows:
            return [statement(DELETE_ROW, self._rows[place])]
        return []
