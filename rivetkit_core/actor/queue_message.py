"""One received message, and the promise that it is completed once (actor-runtime 7.5)."""

from __future__ import annotations

from typing import Protocol

from rivetkit_core.errors import error
from rivetkit_core.wire.persisted import QueueMessage


class Completes(Protocol):
    """What a message needs of its queue."""

    async def complete(self, message: ReceivedMessage, response: bytes | None) -> None: ...


class ReceivedMessage:
    """A message in the hands of its receiver. ``created_at`` is milliseconds since the Unix epoch.

    Attributes:
        completable: Whether it stays stored until ``complete``; otherwise it is gone already.
        failures: How often it was received before without being completed, where its queue counts that.
    """

    __slots__ = ("_queue", "completable", "completed", "id", "record")

    def __init__(self, queue: Completes, message_id: int, record: QueueMessage, *, completable: bool) -> None:
        self._queue = queue
        self.id = message_id
        self.record = record
        self.completable = completable
        self.completed = False

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def body(self) -> bytes:
        return self.record.body

    @property
    def created_at(self) -> int:
        return self.record.created_at

    @property
    def failures(self) -> int:
        return self.record.failure_count or 0

    async def complete(self, response: bytes | None = None) -> None:
        """Delete the message and answer its sender, if that waits. Cancelling does not stop it halfway.

        Raises:
            RivetError: ``queue.complete_not_configured`` if it was received to be deleted at once,
                ``queue.already_completed`` the second time.
            StorageError: It is still stored; call again.
        """
        if not self.completable:
            raise error("queue.complete_not_configured", name=self.name)
        if self.completed:
            raise error("queue.already_completed", name=self.name)
        self.completed = True
        try:
            await self._queue.complete(self, response)
        except Exception:
            self.completed = False
            raise
