"""What one-shots and recurring schedules have in common: times and arguments, to and from the core."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import cast

from rivetkit._references import ActionRef
from rivetkit._validation import decode, encode
from rivetkit_core.errors import error

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC).timestamp()


def milliseconds(duration: float | timedelta) -> int:
    """A duration in whole milliseconds.

    Raises:
        RivetError: ``schedule.invalid_time`` for what is no finite number.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not isinstance(cast("object", seconds), int | float) or not math.isfinite(seconds):
        raise error("schedule.invalid_time", reason=f"{duration!r} is no number of seconds")
    return round(seconds * 1000)


def timestamp(when: datetime | float) -> int:
    """A moment in milliseconds since 1970, from an aware datetime or from seconds since 1970.

    Raises:
        RivetError: ``schedule.invalid_time``.
    """
    if not isinstance(when, datetime):
        return _since_epoch(when)
    if when.utcoffset() is None:
        raise error(
            "schedule.invalid_time",
            reason=f"{when!r} has no time zone, so it could be any of several moments",
        )
    return (when - _EPOCH) // timedelta(milliseconds=1)


def _since_epoch(seconds: object) -> int:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        reason = f"{seconds!r} is neither an aware datetime nor a number of seconds since 1970"
    elif seconds > _LATEST:
        reason = f"{seconds!r} is after the year 9999: it counts seconds since 1970, not milliseconds"
    else:
        return round(seconds * 1000)
    raise error("schedule.invalid_time", reason=reason)


def instant(milliseconds: int) -> datetime:
    """A stored time, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def plain_args(action: str, args: tuple[object, ...]) -> bytes:
    """Untyped arguments as CBOR.

    Raises:
        ValidationError: A value is not plain data.
    """
    return encode(list(args), f"action `{action}` arguments")


def decoded_args(args: bytes | None) -> tuple[object, ...]:
    """Stored arguments as plain data."""
    if args is None:
        return ()
    values = decode(args, "scheduled arguments")
    return tuple(cast("list[object]", values)) if isinstance(values, list) else (values,)


def require_action(ref: object) -> None:
    """Refuse what is no reference to an action, before anything is stored.

    Raises:
        TypeError: It is a name, a method of an instance, or an event.
    """
    if not isinstance(ref, ActionRef):
        raise TypeError(
            f"an action is named by its class, as in Room.post, not by {ref!r}; names go to the methods that "
            f"end in _by_name"
        )
