"""One received message, and the promise that it is completed once (actor-runtime 7.5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.errors import error
from rivetkit_core.wire.persisted import QueueMessage


class Completes(Protocol):
    """What a message needs of its queue."""

    @property
    def log(self) -> ActorLog: ...

    async def complete(self, message: ReceivedMessage, response: bytes | None) -> None: ...

    async def give_up(self, message: ReceivedMessage, delay: float | None, *, failed: bool) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class SentMessage:
    """A message that is stored. ``created_at`` is milliseconds since the Unix epoch.

    Attributes:
        reply: What it will be completed with, if its sender waits.
        duplicate: Whether an earlier message had the same key; the id is that one's.
    """

    id: int
    created_at: int
    reply: asyncio.Future[bytes | None] | None = None
    duplicate: bool = False


class ReceivedMessage:
    """A message in the hands of its receiver. ``created_at`` is milliseconds since the Unix epoch.

    Attributes:
        completable: Whether it stays stored until ``complete``; otherwise it is gone already.
        leased: Whether nobody else receives it before its receiver gives up, which is counted.
        completed: Whether its receiver is done with it.
    """

    __slots__ = ("_queue", "completable", "completed", "id", "leased", "record")

    def __init__(
        self,
        queue: Completes,
        message_id: int,
        record: QueueMessage,
        *,
        completable: bool,
        leased: bool = False,
    ) -> None:
        self._queue = queue
        self.id = message_id
        self.record = record
        self.completable = completable
        self.leased = leased
        self.completed = False

    @property
    def log(self) -> ActorLog:
        """The log of the actor it was sent to."""
        return self._queue.log

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
        """How many attempts at it failed, where its queue counts that."""
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
        self._settle()
        try:
            await self._queue.complete(self, response)
        except Exception:
            self.completed = False
            raise

    async def retry(self, delay: float | None = None) -> None:
        """The attempt failed: let the message be received again after ``delay`` seconds or the back-off.

        Raises:
            RivetError: ``queue.retries_not_configured``, or ``queue.already_completed``.
            StorageError: It is still this receiver's; call again.
        """
        await self._give_up(delay, failed=True)

    async def release(self) -> None:
        """Let the message be received again at once, without counting a failure.

        Raises:
            RivetError: As ``retry``.
        """
        await self._give_up(None, failed=False)

    async def _give_up(self, delay: float | None, *, failed: bool) -> None:
        if not self.leased:
            raise error("queue.retries_not_configured", name=self.name)
        self._settle()
        try:
            await self._queue.give_up(self, delay, failed=failed)
        except Exception:
            self.completed = False
            raise

    def _settle(self) -> None:
        if self.completed:
            raise error("queue.already_completed", name=self.name)
        self.completed = True
