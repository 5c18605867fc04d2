"""How long things may take, and what is raised when they take longer."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import RivetError, error

T = TypeVar("T")

DEFAULT_TIMEOUT = 65.0
"""Seconds a call may take: a little more than a server gives an action, so that the server's answer wins."""


def limit(timeout: float) -> float | None:
    """A timeout as the clock takes it; infinity means no limit."""
    return None if math.isinf(timeout) else timeout


async def bounded(clock: Clock, timeout: float, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` for at most ``timeout`` seconds; then it is cancelled.

    Raises:
        RivetError: ``client.timed_out``.
    """
    return await within(clock, limit(timeout), work, lambda: timed_out(timeout))


def timed_out(timeout: float) -> RivetError:
    """The error for an answer that did not come in time."""
    return error("client.timed_out", timeout=timeout)
