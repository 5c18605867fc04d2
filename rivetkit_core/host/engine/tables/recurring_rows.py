"""Rows of recurring schedules and of their histories, to and from the records of this runtime."""

from __future__ import annotations

from rivetkit_core.host.engine.tables.statements import (
    Row,
    blob_or_none,
    statement,
    text,
    text_or_none,
    upsert,
    whole,
    whole_or_none,
)
from rivetkit_core.host.port import SqlStatement
from rivetkit_core.wire.schedule_records import HistoryRow, Job, JobKind, RunError, RunResult

RUNNING = 0

_KINDS: dict[int, JobKind] = {1: "cron", 2: "every"}
_RESULTS: tuple[RunResult, ...] = ("running", "ok", "error", "skipped")
_NAMED = "cron:"

COLUMNS = (
    "action, scheduled_at, fired_at, finished_at, result,"
    " error_group, error_code, error_message, error_metadata"
)
EVENTS = statement(
    "SELECT event_id, trigger_at, action, args, kind, cron_expression, timezone, interval_ms,"
    " last_started_at, max_history FROM _rivet_schedule_events WHERE kind <> 0 ORDER BY event_id"
)
ROWS = statement(
    "SELECT schedule_id, id, result, action FROM _rivet_schedule_history ORDER BY schedule_id, fired_at, id"
)
DELETE_JOB = "DELETE FROM _rivet_schedule_events WHERE kind <> 0 AND event_id = ?"
DELETE_ROWS = "DELETE FROM _rivet_schedule_history WHERE schedule_id = ?"
DELETE_ROW = "DELETE FROM _rivet_schedule_history WHERE id = ?"

_PUT_JOB = upsert(
    "_rivet_schedule_events",
    "event_id",
    *("trigger_at", "action", "args", "kind", "cron_expression"),
    *("timezone", "interval_ms", "last_started_at", "max_history"),
)
_PUT_ROW = upsert("_rivet_schedule_history", "id", "schedule_id", *COLUMNS.split(", "))


def job_of_row(row: Row) -> Job | None:
    """A schedule without its slot and rows; None if this release does not know its kind."""
    event_id, at, action, args, kind, expression, timezone, interval, last_started_at, max_history = row
    name, known = text(event_id), _KINDS.get(whole(kind))
    if known is None or not name.startswith(_NAMED):
        return None
    return Job(
        slot=0,
        name=name.removeprefix(_NAMED),
        kind=known,
        action=text(action),
        args=blob_or_none(args),
        next_at=whole(at),
        expression=text_or_none(expression),
        timezone=text_or_none(timezone),
        interval=whole_or_none(interval),
        max_history=whole(max_history),
        last_started_at=whole_or_none(last_started_at),
    )


def job_of_history(schedule_id: str, last: Row) -> Job | None:
    """A schedule that ended, as far as its last run tells."""
    if not schedule_id.startswith(_NAMED):
        return None
    name = schedule_id.removeprefix(_NAMED)
    return Job(slot=0, name=name, kind="cron", action=text(last[3]), args=None, next_at=None)


def put_job(job: Job) -> SqlStatement:
    """Write a schedule that has not ended."""
    kind = next(number for number, known in _KINDS.items() if known == job.kind)
    cadence = (kind, job.expression, job.timezone, job.interval)
    fixed = (job.id, job.next_at, job.action, job.args)
    return statement(_PUT_JOB, *fixed, *cadence, job.last_started_at, job.max_history)


def history_row(row: Row) -> HistoryRow:
    """A run, from ``COLUMNS``."""
    action, scheduled_at, fired_at, finished_at, result, group, code, message, metadata = row
    failure = None
    if code is not None:
        failure = RunError(text(group), text(code), text_or_none(message) or "", blob_or_none(metadata))
    return HistoryRow(
        action=text(action),
        scheduled_at=whole(scheduled_at),
        fired_at=whole(fired_at),
        finished_at=whole_or_none(finished_at),
        result=_RESULTS[whole(result)],
        error=failure,
    )


def put_row(number: int, schedule_id: str, row: HistoryRow) -> SqlStatement:
    """Write a run under the id of its row."""
    times = (row.scheduled_at, row.fired_at, row.finished_at)
    failure = row.error
    reason = (None,) * 4
    if failure is not None:
        reason = (failure.group, failure.code, failure.message, failure.metadata)
    return statement(_PUT_ROW, number, schedule_id, row.action, *times, _RESULTS.index(row.result), *reason)
