"""The tunnel's tasks, by the generation they serve, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from rivetkit_core.clock import Clock

log = logging.getLogger("rivetkit.tunnel")

Generation = tuple[str, int]
"""Id and generation of an actor."""

_GRACE = 1.0
_CANCELLED = 5.0


class TunnelTasks:
    """Every task of the tunnel is here until it has finished."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[Generation, set[asyncio.Task[None]]] = {}

    def spawn(self, served: Generation, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run ``work`` for a generation; an exception it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.setdefault(served, set()).add(task)
        task.add_done_callback(lambda done: self._finished(served, done))
        return task

    async def end(self, served: Generation) -> None:
        """Wait for what serves a generation that has ended: one second to finish, then cancelled."""
        await self._end(self._tasks.get(served, set()).copy())

    async def end_all(self) -> None:
        """``end`` for every generation."""
        await self._end({task for tasks in self._tasks.values() for task in tasks})

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        if await self._finish(tasks, _GRACE):
            return
        for task in tasks:
            task.cancel()
        if not await self._finish(tasks, _CANCELLED):
            log.error("%d tasks ignored their cancellation", sum(not task.done() for task in tasks))

    async def _finish(self, tasks: set[asyncio.Task[None]], delay: float) -> bool:
        if not tasks:
            return True
        try:
            async with self._clock.timeout(delay):
                await asyncio.wait(tasks)
        except TimeoutError:
            return False
        return True

    def _finished(self, served: Generation, task: asyncio.Task[None]) -> None:
        tasks = self._tasks[served]
        tasks.discard(task)
        if not tasks:
            del self._tasks[served]
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a tunnel task failed", exc_info=failure)
