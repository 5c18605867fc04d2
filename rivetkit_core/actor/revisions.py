"""Who waits for which save: every request is a revision, and a save completes all before it.

Invariants
    Completions resolve in the order of their revisions.
    Nobody waits after ``end``.
"""

from __future__ import annotations

import asyncio
from collections import deque

from rivetkit_core.errors import StorageError


class Revisions:
    """Counts requests.

    Attributes:
        requested: The latest request.
        completed: The latest request that is durable.
    """

    def __init__(self) -> None:
        self.requested = 0
        self.completed = 0
        self._ended = False
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def open(self) -> bool:
        """Whether a request is not durable."""
        return self.requested > self.completed

    def request(self) -> int:
        """One more."""
        self.requested += 1
        return self.requested

    def completion(self, revision: int) -> asyncio.Future[None]:
        """A future that is done when a revision is durable, or fails with what ``fail`` was given."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if revision <= self.completed:
            waiter.set_result(None)
        elif self._ended:
            waiter.set_exception(StorageError("storage", "unavailable"))
        else:
            self._waiters.append((revision, waiter))
        return waiter

    def advance(self, revision: int) -> None:
        """What was requested so far is durable."""
        self.completed = max(self.completed, revision)

    def release(self) -> None:
        """Tell those whose revision is durable."""
        while self._waiters and self._waiters[0][0] <= self.completed:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, failure: Exception) -> None:
        """Tell everybody who waits that it failed; what they asked for may still become durable."""
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failure)

    def end(self) -> None:
        """Nothing will be stored any more."""
        self._ended = True
