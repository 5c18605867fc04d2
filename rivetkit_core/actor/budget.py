"""How long a hook of user code may take."""

from __future__ import annotations

from collections.abc import Awaitable

from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import callback_timed_out


async def bounded(clock: Clock, hook: str, timeout: float, work: Awaitable[None]) -> None:
    """Await a hook for at most ``timeout`` seconds. A TimeoutError of its own passes as it is.

    Raises:
        RivetError: ``actor.callback_timed_out``; the hook was cancelled.
    """
    await within(clock, timeout, work, lambda: callback_timed_out(hook, timeout))
