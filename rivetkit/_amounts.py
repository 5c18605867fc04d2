"""Whether what authors give as a time is one."""

from __future__ import annotations

import math


def is_seconds(value: object) -> bool:
    """Whether it is a finite number, at least 0."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0


def require_seconds(name: str, value: object) -> None:
    """
    Raises:
        ValueError: It is neither a number of seconds nor None.
    """
    if value is not None and not is_seconds(value):
        raise ValueError(f"{name} is a number of seconds, at least 0, not {value!r}")
