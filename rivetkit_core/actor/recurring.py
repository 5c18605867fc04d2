"""The way in to recurring schedules: what may be asked for, in one place (actor-runtime 8.2)."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Container

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.cron import check_expression, check_interval, check_timezone
from rivetkit_core.actor.history import MAX_HISTORY
from rivetkit_core.actor.jobs import Jobs, require_action
from rivetkit_core.errors import error
from rivetkit_core.wire.cbor import EMPTY_ARRAY
from rivetkit_core.wire.schedule_records import HistoryRow, Job

DEFAULT_HISTORY = 100
_DEFAULT_LIMIT = 20
_MAX_NAME = 128


class Recurring:
    """Checks, then changes. Times and intervals are milliseconds, ``args`` a CBOR array.

    Setting a name again replaces its action, arguments and history size; the next run is kept if the times
    are the same, else counted from now. ``admit`` refuses one schedule too many.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        commit: Callable[[Callable[[Batch], None]], Awaitable[None]],
        admit: Callable[[Batch], None],
        actions: Container[str],
    ) -> None:
        self._jobs = jobs
        self._commit = commit
        self._admit = admit
        self._actions = actions

    async def set(
        self,
        name: str,
        expression: str,
        action: str,
        args: bytes = EMPTY_ARRAY,
        *,
        timezone: str = "UTC",
        max_history: int = DEFAULT_HISTORY,
    ) -> None:
        """Run an action whenever a cron expression (five fields) matches the clock of an IANA time zone.

        Raises:
            RivetError: ``schedule.*`` for what is wrong, or ``actor.action_not_found``.
            StorageError: Nothing was changed.
        """
        check_expression(expression)
        check_timezone(timezone)
        await self._put(
            Job(
                slot=0,
                name=name,
                kind="cron",
                action=action,
                args=_stored(args),
                next_at=None,
                expression=" ".join(expression.split()),
                timezone=timezone,
                max_history=max_history,
            )
        )

    async def every(
        self,
        name: str,
        interval_ms: int,
        action: str,
        args: bytes = EMPTY_ARRAY,
        *,
        max_history: int = DEFAULT_HISTORY,
    ) -> None:
        """Run an action every ``interval_ms``, first after one interval.

        Raises:
            RivetError: ``schedule.*`` for what is wrong, or ``actor.action_not_found``.
            StorageError: Nothing was changed.
        """
        check_interval(interval_ms)
        await self._put(
            Job(
                slot=0,
                name=name,
                kind="every",
                action=action,
                args=_stored(args),
                next_at=None,
                interval=interval_ms,
                max_history=max_history,
            )
        )

    def get(self, name: str) -> Job | None:
        """The schedule of that name."""
        return self._jobs.get(name)

    def list(self) -> builtins.list[Job]:
        """Every recurring schedule, by name."""
        return self._jobs.all()

    async def delete(self, name: str) -> bool:
        """Forget a schedule and its history; False if there is none. A run that is going on goes on.

        Raises:
            StorageError: It is still there.
        """
        existed = False
        lost: builtins.list[bytes] = []

        def delete(batch: Batch) -> None:
            nonlocal existed
            existed = self._jobs.get(name) is not None
            lost[:] = self._jobs.delete(batch, name)

        await self._commit(delete)
        await self._jobs.discard(lost, self._commit)
        return existed

    async def history(self, name: str, limit: int = _DEFAULT_LIMIT) -> builtins.list[HistoryRow]:
        """The latest runs, newest first; also of a schedule that ended because its action is gone.

        Raises:
            RivetError: ``schedule.invalid_history_limit``.
            StorageError: It cannot be read.
        """
        if not 1 <= limit <= MAX_HISTORY:
            raise error("schedule.invalid_history_limit", limit=limit, maximum=MAX_HISTORY)
        return await self._jobs.history(name, limit)

    async def _put(self, wanted: Job) -> None:
        _check_name(wanted.name)
        if not 0 <= wanted.max_history <= MAX_HISTORY:
            raise error("schedule.invalid_max_history", max_history=wanted.max_history, maximum=MAX_HISTORY)
        require_action(self._actions, wanted.action)
        lost: builtins.list[bytes] = []

        def put(batch: Batch) -> None:
            if self._jobs.get(wanted.name) is None:
                self._admit(batch)
            lost[:] = self._jobs.put(batch, wanted)

        await self._commit(put)
        await self._jobs.discard(lost, self._commit)


def _check_name(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise error("schedule.invalid_name", reason="it holds a lone surrogate") from None
    if not 1 <= size <= _MAX_NAME:
        raise error(
            "schedule.invalid_name", reason=f"it has {size} bytes, of at least 1 and at most {_MAX_NAME}"
        )


def _stored(args: bytes) -> bytes | None:
    return None if args == EMPTY_ARRAY else args
