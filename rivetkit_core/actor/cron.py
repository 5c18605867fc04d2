"""When a recurring schedule is due next (actor-runtime 8.2). Pure functions of their arguments.

A cron expression is matched against the wall clock of its time zone. ``cronsim`` reads the expression and
walks the calendar, without a zone; what the zone does to wall time is decided here:

    a wall time that does not exist    is skipped
    a wall time that comes twice       counts the first time
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from rivetkit_core.errors import error

MINIMUM_INTERVAL = 5000
"""Milliseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIELDS = 5


def check_expression(expression: str) -> None:
    """Refuse what is no cron expression of five fields.

    Raises:
        RivetError: ``schedule.invalid_cron_expression``.
    """
    _walk(expression, datetime(2000, 1, 1))


def check_timezone(name: str) -> None:
    """Refuse what is not in the IANA database.

    Raises:
        RivetError: ``schedule.invalid_timezone``.
    """
    _zone(name)


def check_interval(interval: int) -> None:
    """Refuse intervals (milliseconds) that a schedule is the wrong tool for.

    Raises:
        RivetError: ``schedule.invalid_interval``.
    """
    if interval < MINIMUM_INTERVAL:
        raise error("schedule.invalid_interval", interval_ms=interval, minimum_ms=MINIMUM_INTERVAL)


def next_match(expression: str, timezone: str, after: int) -> int:
    """The first moment later than ``after`` that the expression means; milliseconds since the Unix epoch.

    Raises:
        RivetError: ``schedule.invalid_cron_expression``, also for one that means no moment within 50 years;
            ``schedule.invalid_timezone``.
    """
    zone = _zone(timezone)
    now = _EPOCH + after * _MILLISECOND
    for wall in _walk(expression, now.astimezone(zone).replace(tzinfo=None)):
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        exists = moment.astimezone(zone).replace(tzinfo=None) == wall
        if exists and moment > now:
            return (moment - _EPOCH) // _MILLISECOND
    raise error("schedule.invalid_cron_expression", reason=f"{expression!r} never comes true")


def next_tick(trigger: int, interval: int, now: int) -> int:
    """The first tick later than ``now`` of an interval that ticked at ``trigger``."""
    return trigger + interval * ((now - trigger) // interval + 1)


def _walk(expression: str, wall: datetime) -> CronSim:
    fields = len(expression.split())
    if fields != _FIELDS:
        raise error(
            "schedule.invalid_cron_expression",
            reason=f"{expression!r} has {fields} fields instead of {_FIELDS}",
        )
    try:
        return CronSim(expression, wall)
    except CronSimError as reason:
        raise error("schedule.invalid_cron_expression", reason=f"{expression!r}: {reason}") from reason


def _zone(name: object) -> ZoneInfo:
    if not isinstance(name, str):
        raise error("schedule.invalid_timezone", timezone=repr(name))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as reason:
        raise error("schedule.invalid_timezone", timezone=name) from reason
