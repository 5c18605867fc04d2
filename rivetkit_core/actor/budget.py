"""How long a hook of user code may take."""

from __future__ import annotations

from collections.abc import Awaitable

from rivetkit_core.clock import Clock
from rivetkit_core.errors import error


async def bounded(clock: Clock, hook: str, timeout: float, work: Awaitable[None]) -> None:
    """Await a hook for at most ``timeout`` seconds. A TimeoutError of its own passes as it is.

    Raises:
        RivetError: ``actor.callback_timed_out``; the hook was cancelled.
    """
    bound = clock.timeout(timeout)
    try:
        async with bound:
            await work
    except TimeoutError:
        if bound.expired():
            raise error("actor.callback_timed_out", callback=hook, timeout=timeout) from None
        raise
