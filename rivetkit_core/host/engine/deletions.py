"""Actors that asked to be destroyed when the engine had already told them to stop for another reason.

An engine takes one intent for each generation and ignores those that follow, so it is asked through its
management API: a deletion changes what becomes of a stop that is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError

log = logging.getLogger("rivetkit.envoy")

_ATTEMPTS = 5
_PAUSE = 1.0


class Deletions:
    """Asks until the engine agrees, for a few times. ``delete`` returns when the actor is gone."""

    def __init__(self, delete: Callable[[str], Awaitable[None]], clock: Clock) -> None:
        self._delete = delete
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, actor_id: str) -> None:
        """Have the engine destroy an actor. Never waits; asking twice is asking once."""
        if actor_id not in self._tasks:
            task = asyncio.create_task(self._run(actor_id))
            self._tasks[actor_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(actor_id, None))

    async def close(self, timeout: float) -> None:
        """Wait for what was begun; after ``timeout`` seconds give it up."""
        tasks = list(self._tasks.values())
        if not tasks:
            return
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(timeout):
                await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _run(self, actor_id: str) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._delete(actor_id)
            except RivetError as failure:
                log.warning("actor %s could not be destroyed, attempt %d: %s", actor_id, attempt, failure)
            else:
                return
            await self._clock.sleep(_PAUSE)
        log.error("actor %s asked to be destroyed on its way to sleep, and sleeps instead", actor_id)
