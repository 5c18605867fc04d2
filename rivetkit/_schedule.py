"""``self.ctx.schedule``: actions that run later, by the same references as calls.

A thin typed view over the core's schedule. Arguments are validated against the action when they are given,
not when they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, cast

from rivetkit._amounts import is_seconds
from rivetkit._cron import Cron
from rivetkit._planning import decoded_args, instant, milliseconds, plain_args, require_action, timestamp
from rivetkit._references import ActionRef
from rivetkit_core.actor.oneshots import Retries as CoreRetries

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


@dataclass(frozen=True, slots=True)
class Retries:
    """How a one-shot that fails is tried again. Delays are seconds and double after every failure.

    Attributes:
        times: How many tries may follow the first one.
        delay: Before the second try.
        max_delay: No delay is longer.
    """

    times: int
    delay: float = 1.0
    max_delay: float = 300.0

    def __post_init__(self) -> None:
        whole = isinstance(cast("object", self.times), int) and self.times >= 0
        timed = is_seconds(self.delay) and is_seconds(self.max_delay)
        if not whole or not timed or self.max_delay < self.delay:
            raise ValueError(f"{self}: times is at least 0, delay at least 0, max_delay at least delay")


class Schedule:
    """Runs actions of this actor later, whether or not it sleeps then. What returned is stored.

    A one-shot fires at most once: it is deleted right before its action starts, so a crash in between loses
    it. An action that fails is logged and not repeated. ``with_options(retries=...)`` turns that around.
    """

    def __init__(self, core: CoreSchedule, retries: Retries | None = None) -> None:
        self._core = core
        self._retries = _core_retries(retries)

    @property
    def cron(self) -> Cron:
        """Actions that run again and again."""
        return Cron(self._core.cron)

    def with_options(self, *, retries: Retries | int | None = None) -> Schedule:
        """The same schedule, with options for the one-shots that are planned through it.

        Args:
            retries: Try again when the action fails or the process dies during it: so often after the first
                time, or as ``Retries`` says. The action then runs at least once, perhaps more often, so it
                has to be safe to repeat; ``ctx.scheduled_fire.attempt`` counts. Given up, it is logged.
        """
        given = Retries(retries) if isinstance(retries, int) else retries
        if not isinstance(cast("object", given), Retries | None):
            raise TypeError(f"retries is a number or Retries(times=3), not {given!r}")
        return Schedule(self._core, given)

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
        require_action(ref)
        encoded = ref.encode_args(*args, **kwargs)
        return await self._core.after(milliseconds(delay), ref.name, encoded, retries=self._retries)

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
        require_action(ref)
        encoded = ref.encode_args(*args, **kwargs)
        return await self._core.at(timestamp(when), ref.name, encoded, retries=self._retries)

    async def after_by_name(self, delay: float | timedelta, action: str, /, *args: object) -> str:
        """``after`` without a declaration: arguments are plain data and checked when the action runs."""
        encoded = plain_args(action, args)
        return await self._core.after(milliseconds(delay), action, encoded, retries=self._retries)

    async def at_by_name(self, when: datetime | float, action: str, /, *args: object) -> str:
        """``at`` without a declaration: arguments are plain data and checked when the action runs."""
        encoded = plain_args(action, args)
        return await self._core.at(timestamp(when), action, encoded, retries=self._retries)

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


def _core_retries(retries: Retries | None) -> CoreRetries | None:
    if retries is None:
        return None
    return CoreRetries(retries.times, milliseconds(retries.delay), milliseconds(retries.max_delay))


def _action(event: ScheduleEvent) -> ScheduledAction:
    return ScheduledAction(event.event_id, instant(event.timestamp), event.action, decoded_args(event.args))
