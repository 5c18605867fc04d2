"""The order in which the event loop runs what is ready: first come first served, or shuffled by a seed.

Only steps of tasks change places, and only with their neighbours: everything else in the queue of a loop may
rely on the order in which it was put there, as transports do.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable


def task_of(handle: asyncio.Handle) -> asyncio.Task[object] | None:
    """The task of which this is the next step, None for any other callback."""
    owner: object = getattr(getattr(handle, "_callback", None), "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None  # pyright: ignore[reportUnknownVariableType]  # of what, nobody knows


class ShuffledQueue(deque[asyncio.Handle]):
    """The ready queue of an event loop; the seed decides which of the tasks in front goes first."""

    def __init__(self, handles: Iterable[asyncio.Handle], seed: int) -> None:
        super().__init__(handles)
        self._random = random.Random(seed)  # noqa: S311 - reproducibility is the purpose

    def popleft(self) -> asyncio.Handle:
        count = self._tasks_in_front()
        if count > 1:
            chosen = self._random.randrange(count)
            handle = self[chosen]
            del self[chosen]
            return handle
        return super().popleft()

    def _tasks_in_front(self) -> int:
        count = 0
        for handle in self:
            if task_of(handle) is None:
                break
            count += 1
        return count
