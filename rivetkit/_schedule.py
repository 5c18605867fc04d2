"""``self.ctx.schedule``: actions that run later, by the same references as calls.

A thin typed view over the core's schedule: it turns seconds and datetimes into milliseconds, and
validates arguments against the action when they are given, not when they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, cast

from rivetkit._references import ActionRef
from rivetkit._validation import decode, encode
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from rivetkit_core.actor.firing import ScheduledFire as CoreFire
    from rivetkit_core.actor.schedule import Schedule as CoreSchedule
    from rivetkit_core.wire.persisted import ScheduleEvent

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """A pending one-shot. ``args`` is plain data."""

    id: str
    at: datetime
    action: str
    args: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class ScheduledFire:
    """Why the running action was started by a schedule.

    Attributes:
        kind: ``"at"`` for a one-shot, else what kind of recurring schedule.
        id: The id that scheduling returned.
        name: The recurring schedule's name; None for a one-shot.
        scheduled_at: When it was due; of several missed ticks, the first.
        fired_at: When it was taken up.
        attempt: 1, and more when a one-shot with retries is tried again.
    """

    kind: Literal["at", "cron", "every"]
    id: str
    name: str | None
    scheduled_at: datetime
    fired_at: datetime
    attempt: int


class Schedule:
    """Runs actions of this actor later, whether or not it sleeps then. What returned is stored.

    A one-shot fires at most once: it is deleted right before its action starts, so a crash in between loses
    it. An action that fails is logged and not repeated.
    """

    def __init__(self, core: CoreSchedule) -> None:
        self._core = core

    async def after(
        self, delay: float | timedelta, ref: ActionRef[Any, P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> str:
        """Run an action once, ``delay`` (seconds) from now, and return the id of the plan.

        Raises:
            TypeError: The arguments do not match the action's parameters.
            ValidationError: An argument does not fit.
            RivetError: ``schedule.max_schedules_exceeded``, ``schedule.invalid_time``.
            StorageError: Nothing was scheduled.
        """
        _require_action(ref)
        return await self._core.after(milliseconds(delay), ref.name, ref.encode_args(*args, **kwargs))

    async def at(
        self, when: datetime | float, ref: ActionRef[Any, P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> str:
        """Run an action once at an aware datetime (or seconds since 1970); at once if that is past.

        Raises:
            TypeError: The arguments do not match the action's parameters.
            ValidationError: An argument does not fit.
            RivetError: ``schedule.max_schedules_exceeded``; ``schedule.invalid_time``, also for a datetime
                without a time zone.
            StorageError: Nothing was scheduled.
        """
        _require_action(ref)
        return await self._core.at(_timestamp(when), ref.name, ref.encode_args(*args, **kwargs))

    async def after_by_name(self, delay: float | timedelta, action: str, /, *args: object) -> str:
        """``after`` without a declaration: arguments are plain data and checked when the action runs."""
        return await self._core.after(milliseconds(delay), action, plain_args(action, args))

    async def at_by_name(self, when: datetime | float, action: str, /, *args: object) -> str:
        """``at`` without a declaration: arguments are plain data and checked when the action runs."""
        return await self._core.at(_timestamp(when), action, plain_args(action, args))

    async def cancel(self, id: str) -> bool:
        """Forget a pending one-shot; False if there is none by that id, for instance because it fired.

        Raises:
            StorageError: It is still pending.
        """
        return await self._core.cancel(id)

    def get(self, id: str) -> ScheduledAction | None:
        """A pending one-shot."""
        event = self._core.get(id)
        return None if event is None else _action(event)

    def list(self) -> list[ScheduledAction]:
        """Every pending one-shot, earliest first."""
        return [_action(event) for event in self._core.list()]


def fire_of(core: CoreFire | None) -> ScheduledFire | None:
    """The core's account of a fire, with datetimes."""
    if core is None:
        return None
    scheduled, fired = instant(core.scheduled_at), instant(core.fired_at)
    return ScheduledFire(core.kind, core.id, core.name, scheduled, fired, core.attempt)


def milliseconds(delay: float | timedelta) -> int:
    """A duration in whole milliseconds.

    Raises:
        RivetError: ``schedule.invalid_time`` for what is not finite.
    """
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, bool) or not math.isfinite(seconds):
        raise error("schedule.invalid_time", reason=f"{delay!r} is no number of seconds")
    return round(seconds * 1000)


def instant(timestamp: int) -> datetime:
    """A stored time, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)


def plain_args(action: str, args: tuple[object, ...]) -> bytes:
    """Untyped arguments as CBOR."""
    return encode(list(args), f"action `{action}` arguments")


def _require_action(ref: object) -> None:
    if not isinstance(ref, ActionRef):
        raise TypeError(
            f"an action is named by its class, as in Room.post, not by {ref!r}; names go to the methods that "
            f"end in _by_name"
        )


def _timestamp(when: datetime | float) -> int:
    if not isinstance(when, datetime):
        return milliseconds(when)
    if when.utcoffset() is None:
        raise error(
            "schedule.invalid_time",
            reason=f"{when!r} has no time zone, so it could be any of several moments",
        )
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _action(event: ScheduleEvent) -> ScheduledAction:
    return ScheduledAction(event.event_id, instant(event.timestamp), event.action, decoded(event.args))


def decoded(args: bytes | None) -> tuple[object, ...]:
    """Stored arguments as plain data."""
    if args is None:
        return ()
    values = decode(args, "scheduled arguments")
    return tuple(cast("list[object]", values)) if isinstance(values, list) else (values,)
