"""Who waits at a queue: receivers for messages, senders for replies (actor-runtime 7.3, 7.6).

Invariants
    A receiver that captured ``version`` before it looked cannot miss what came after.
    A sender's waiter exists before its message can be received, and ends exactly once.
"""

from __future__ import annotations

import asyncio

from rivetkit_core.errors import RivetError, error

Reply = bytes | None


class Arrivals:
    """Wakes receivers. ``version`` grows with everything that may make a message receivable."""

    def __init__(self) -> None:
        self.version = 0
        self._waiting: dict[asyncio.Future[None], None] = {}  # first come, first served

    def wake(self) -> None:
        """Let every receiver look again."""
        self.version += 1
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, version: int) -> None:
        """Return when ``version`` is no longer current. Safe to cancel."""
        if self.version != version:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            await future
        finally:
            self._waiting.pop(future, None)


class Waiters:
    """The senders that wait for a reply, by message id. Only duplicates of a message share one."""

    def __init__(self) -> None:
        self._futures: dict[int, list[asyncio.Future[Reply]]] = {}

    def register(self, message_id: int) -> asyncio.Future[Reply]:
        """Begin to wait for a new message.

        Raises:
            RivetError: ``queue.completion_waiter_conflict``: somebody waits for this message already.
        """
        if message_id in self._futures:
            raise error("queue.completion_waiter_conflict", message_id=message_id)
        return self.join(message_id)

    def join(self, message_id: int) -> asyncio.Future[Reply]:
        """Begin to wait, perhaps beside others."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(message_id, []).append(future)
        return future

    def forget(self, message_id: int, future: asyncio.Future[Reply] | None) -> None:
        """A sender waits no longer. Idempotent."""
        waiting = self._futures.get(message_id, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._futures.pop(message_id, None)

    def resolve(self, message_id: int, reply: Reply) -> None:
        """Answer whoever waits."""
        for future in self._futures.pop(message_id, []):
            if not future.done():
                future.set_result(reply)

    def fail(self, message_id: int, failure: RivetError) -> None:
        """Tell whoever waits that no reply will come."""
        for future in self._futures.pop(message_id, []):
            if not future.done():
                future.set_exception(failure)
                future.exception()  # its sender may be gone

    def drop_all(self, reason: str) -> None:
        """Tell every sender that its reply will not come."""
        for message_id in list(self._futures):
            self.fail(message_id, error("queue.completion_waiter_dropped", reason=reason))
