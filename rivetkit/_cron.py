"""``self.ctx.schedule.cron``: actions that run again and again, by name."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from rivetkit._planning import decoded_args, instant, milliseconds, plain_args, require_action
from rivetkit._references import ActionRef
from rivetkit._validation import decode
from rivetkit_core.errors import RivetError, rebuild

if TYPE_CHECKING:
    from rivetkit_core.actor.recurring import Recurring
    from rivetkit_core.wire.schedule_records import HistoryRow, Job

P = ParamSpec("P")

_UTC = "UTC"
_MAX_HISTORY = 100


@dataclass(frozen=True, slots=True)
class RecurringAction:
    """A recurring schedule: ``expression`` with ``timezone``, or ``interval``. ``args`` is plain data."""

    name: str
    action: str
    args: tuple[object, ...]
    next_at: datetime
    expression: str | None
    timezone: str | None
    interval: timedelta | None
    max_history: int
    last_started_at: datetime | None


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One run of a recurring schedule. ``error`` is set when ``result`` is ``"error"``, as clients see it.

    ``"skipped"``: it was due while the run before was still going on. An error ``schedule.interrupted``: the
    process died during it.
    """

    action: str
    scheduled_at: datetime
    fired_at: datetime
    finished_at: datetime | None
    result: Literal["running", "ok", "error", "skipped"]
    error: RivetError | None


class Cron:
    """Recurring schedules of this actor. What returned is stored, and goes on in later lives of the actor.

    Setting a name again replaces its action and arguments; if the times are the same, the next run stays
    where it was. A run is claimed before it starts, so a crash loses it rather than repeating it. Ticks that
    were missed are made up for by one run. One run at a time: a tick that comes meanwhile is skipped.
    """

    def __init__(self, core: Recurring, timezone: str = _UTC, max_history: int = _MAX_HISTORY) -> None:
        self._core = core
        self._timezone = timezone
        self._max_history = max_history

    def with_options(self, *, timezone: str = _UTC, max_history: int = _MAX_HISTORY) -> Cron:
        """The same schedules, with options for what is set through it.

        Args:
            timezone: The IANA time zone of cron expressions.
            max_history: How many runs to remember, at most 1000; 0 for none.
        """
        return Cron(self._core, timezone, max_history)

    async def set(
        self,
        name: str,
        expression: str,
        ref: ActionRef[Any, P, Any],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run an action whenever a cron expression matches: minute, hour, day of month, month, day of week.

        A wall time that does not exist, because clocks go forward, is skipped; one that comes twice counts
        the first time.

        Raises:
            TypeError: The arguments do not match the action's parameters.
            ValidationError: An argument does not fit.
            RivetError: ``schedule.invalid_name``, ``.invalid_cron_expression``, ``.invalid_timezone``,
                ``.invalid_max_history``, ``.max_schedules_exceeded``.
            StorageError: Nothing was changed.
        """
        require_action(ref)
        await self._set(name, expression, ref.name, ref.encode_args(*args, **kwargs))

    async def every(
        self,
        name: str,
        interval: float | timedelta,
        ref: ActionRef[Any, P, Any],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run an action every ``interval`` (seconds, at least 5), the first time after one interval.

        Runs stay on the grid that begins now, however long they take and whatever was missed.

        Raises:
            TypeError: The arguments do not match the action's parameters.
            ValidationError: An argument does not fit.
            RivetError: ``schedule.invalid_name``, ``.invalid_interval``, ``.invalid_max_history``,
                ``.max_schedules_exceeded``.
            StorageError: Nothing was changed.
        """
        require_action(ref)
        await self._every(name, interval, ref.name, ref.encode_args(*args, **kwargs))

    async def set_by_name(self, name: str, expression: str, action: str, /, *args: object) -> None:
        """``set`` without a declaration: arguments are plain data and checked when the action runs."""
        await self._set(name, expression, action, plain_args(action, args))

    async def every_by_name(
        self, name: str, interval: float | timedelta, action: str, /, *args: object
    ) -> None:
        """``every`` without a declaration: arguments are plain data and checked when the action runs."""
        await self._every(name, interval, action, plain_args(action, args))

    def get(self, name: str) -> RecurringAction | None:
        """The schedule of that name."""
        job = self._core.get(name)
        return None if job is None else _recurring(job)

    def list(self) -> builtins.list[RecurringAction]:
        """Every recurring schedule, by name."""
        return [_recurring(job) for job in self._core.list()]

    async def delete(self, name: str) -> bool:
        """Forget a schedule and its history; False if there is none. A run that is going on goes on.

        Raises:
            StorageError: It is still there.
        """
        return await self._core.delete(name)

    async def history(self, name: str, limit: int = 20) -> builtins.list[ScheduledRun]:
        """The latest runs, newest first; ``limit`` is at most 1000.

        Raises:
            RivetError: ``schedule.invalid_history_limit``.
            StorageError: It cannot be read.
        """
        return [_run(row) for row in await self._core.history(name, limit)]

    async def _set(self, name: str, expression: str, action: str, args: bytes) -> None:
        zone, rows = self._timezone, self._max_history
        await self._core.set(name, expression, action, args, timezone=zone, max_history=rows)

    async def _every(self, name: str, interval: float | timedelta, action: str, args: bytes) -> None:
        await self._core.every(name, milliseconds(interval), action, args, max_history=self._max_history)


def _recurring(job: Job) -> RecurringAction:
    return RecurringAction(
        name=job.name,
        action=job.action,
        args=decoded_args(job.args),
        next_at=instant(job.next_at or 0),
        expression=job.expression,
        timezone=job.timezone,
        interval=None if job.interval is None else timedelta(milliseconds=job.interval),
        max_history=job.max_history,
        last_started_at=None if job.last_started_at is None else instant(job.last_started_at),
    )


def _run(row: HistoryRow) -> ScheduledRun:
    failure = row.error
    error = None
    if failure is not None:
        metadata = None if failure.metadata is None else decode(failure.metadata, "error metadata")
        error = rebuild(failure.group, failure.code, failure.message, metadata)
    finished = None if row.finished_at is None else instant(row.finished_at)
    scheduled, fired = instant(row.scheduled_at), instant(row.fired_at)
    return ScheduledRun(row.action, scheduled, fired, finished, row.result, error)
