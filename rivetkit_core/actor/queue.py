"""The durable queues of one actor (actor-runtime 7).

All queues of an actor share one order, one limit and one metadata record; a name is a filter. Bodies and
responses are bytes that nothing here reads.

Invariants
    A returned send is stored. A message received to be deleted was deleted before it is handed over; any
    other stays until it is completed.
    Receivers get the oldest messages that match; the others keep their places.
    Whatever changes storage runs to its end even if its caller is cancelled: memory and storage agree.
    Nothing is held while a receiver waits, and waiting ends with the actor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, TypeVar

from rivetkit_core.actor.queue_message import ReceivedMessage
from rivetkit_core.actor.queue_records import QueueRecords
from rivetkit_core.actor.queue_waiting import Arrivals, Waiters
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.persisted import QueueMessage, encode_queue_message

T = TypeVar("T")

Names = Collection[str] | None
Completable = bool | Collection[str]
"""Whether messages stay until completed: all, none, or those of these queues."""

_BATCH = 100  # deletions in one write, within the limits of every host


class ActorQueue:
    """Sends to and receives from one actor's queues.

    Args:
        aborted: Whether the actor is stopping; ``wake`` must be called when that changes.
        touched: Called when code that received messages comes back for more.

    Attributes:
        queue_wait: Entered around every wait for a message; the actor may sleep inside.
    """

    def __init__(
        self,
        *,
        storage: ActorStorage,
        clock: Clock,
        config: ActorConfig,
        aborted: Callable[[], bool],
        touched: Callable[[], None],
    ) -> None:
        self.queue_wait: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._clock = clock
        self._config = config
        self._aborted = aborted
        self._touched = touched
        self._records = QueueRecords(storage)
        self._lock = asyncio.Lock()
        self._arrivals = Arrivals()
        self._waiters = Waiters()

    # --- sending --------------------------------------------------------------------------------

    async def send(self, name: str, body: bytes) -> ReceivedMessage:
        """Store a message; on return it is durable.

        Cancelling does not undo it.

        Raises:
            RivetError: ``queue.full`` or ``queue.message_too_large``; nothing was stored.
            StorageError: It was not stored, as far as storage can tell.
        """
        message, _ = await _to_the_end(self._enqueue(name, body, wait=False))
        return message

    async def enqueue_and_wait(self, name: str, body: bytes, *, timeout: float | None = None) -> bytes | None:
        """Store a message and return what it is completed with, None if that is nothing.

        The stopping of the actor does not end the wait; whoever runs the caller does. Cancelling leaves the
        message in the queue.

        Args:
            timeout: Seconds to wait for the completion.

        Raises:
            RivetError: As ``send``; ``queue.timed_out``, and the message stays in the queue;
                ``queue.completion_waiter_dropped`` if nobody will complete it any more.
        """
        message, reply = await _to_the_end(self._enqueue(name, body, wait=True), undo=self._forget)
        assert reply is not None
        bound = self._clock.timeout(timeout)
        try:
            async with bound:
                return await reply
        except TimeoutError:
            if timeout is None or not bound.expired():
                raise
            raise _timed_out(timeout) from None
        finally:
            self._waiters.forget(message.id)

    # --- receiving ------------------------------------------------------------------------------

    async def next(
        self, names: Names = None, *, timeout: float | None = None, completable: Completable = False
    ) -> ReceivedMessage | None:
        """The oldest message, None when none came within ``timeout`` seconds. See ``next_batch``."""
        found = await self.next_batch(names, 1, timeout=timeout, completable=completable)
        return found[0] if found else None

    async def next_batch(
        self,
        names: Names = None,
        count: int = 1,
        *,
        timeout: float | None = None,
        completable: Completable = False,
    ) -> list[ReceivedMessage]:
        """Up to ``count`` messages, as soon as there is one; empty when none came within the timeout.

        Cancelling loses no message.

        Args:
            names: Of the queues to receive from; None or none for all.
            count: At least 1; less counts as 1.
            timeout: Seconds to wait; None for as long as the actor runs.
            completable: Whether messages stay stored until they are completed. The others are deleted first,
                and a crash after that loses them.

        Raises:
            RivetError: ``actor.aborted`` if it would have to wait while the actor stops.
            StorageError: Nothing was received.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            version = self._arrivals.version
            found = await self.try_next_batch(names, count, completable=completable)
            if found or not await self._wait(version, deadline):
                return found

    async def try_next(
        self, names: Names = None, *, completable: Completable = False
    ) -> ReceivedMessage | None:
        """The oldest message that is there already, or None."""
        found = await self.try_next_batch(names, 1, completable=completable)
        return found[0] if found else None

    async def try_next_batch(
        self, names: Names = None, count: int = 1, *, completable: Completable = False
    ) -> list[ReceivedMessage]:
        """Up to ``count`` messages that are there already. See ``next_batch``."""
        self._touched()
        return await _to_the_end(self._take(names, max(1, count), completable), undo=self._give_back)

    async def wait_for_names(
        self, names: Names, *, timeout: float | None = None, completable: Completable = False
    ) -> ReceivedMessage:
        """Like ``next``, for code that cannot go on without a message.

        Raises:
            RivetError: ``queue.timed_out``.
        """
        found = await self.next(names, timeout=timeout, completable=completable)
        if found is None:
            raise _timed_out(timeout or 0.0)
        return found

    async def wait_for_names_available(self, names: Names, *, timeout: float | None = None) -> None:
        """Return when a message is there, without receiving it.

        Raises:
            RivetError: ``queue.timed_out``, or ``actor.aborted``.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            version = self._arrivals.version
            async with self._lock:
                await self._records.open()
                if next(self._matching(names), None) is not None:
                    return
            if not await self._wait(version, deadline):
                raise _timed_out(timeout or 0.0)

    async def iterate(
        self, names: Names = None, *, completable: Completable = False
    ) -> AsyncGenerator[ReceivedMessage]:
        """Messages one by one until the actor stops."""
        while True:
            try:
                message = await self.next(names, completable=completable)
            except RivetError as failure:
                if (failure.group, failure.code) == ("actor", "aborted"):
                    return
                raise
            if message is not None:
                yield message

    # --- the whole queue ------------------------------------------------------------------------

    async def inspect_messages(self) -> list[tuple[int, QueueMessage]]:
        """Every stored message with its id, oldest first. Nothing is received."""
        async with self._lock:
            await self._records.open()
            return list((await self._records.load(self._records.heads)).items())

    async def size(self) -> int:
        """How many messages are stored."""
        async with self._lock:
            await self._records.open()
            return self._records.size

    def max_size(self) -> int:
        """How many messages may be stored."""
        return self._config.max_queue_size

    async def reset(self) -> None:
        """Delete every message. Senders that wait get ``queue.completion_waiter_dropped``."""
        await _to_the_end(self._reset())

    def wake(self) -> None:
        """Let receivers look again: the actor stops, or time has come for a message."""
        self._arrivals.wake()

    def drop_waiters(self) -> None:
        """This generation ends: nobody will complete anything here any more."""
        self._waiters.drop_all("the actor stopped")

    async def complete(self, message: ReceivedMessage, response: bytes | None) -> None:
        """Use ``ReceivedMessage.complete``."""
        await _to_the_end(self._complete(message.id, response))

    # --- under the lock -------------------------------------------------------------------------

    async def _enqueue(
        self, name: str, body: bytes, *, wait: bool
    ) -> tuple[ReceivedMessage, asyncio.Future[bytes | None] | None]:
        async with self._lock:
            await self._records.open()
            record = QueueMessage(name, body, time_ms(self._clock))
            size, limit = len(encode_queue_message(record)), self._config.max_queue_message_size
            if size > limit:
                raise error("queue.message_too_large", size=size, limit=limit)
            if self._records.size >= self._config.max_queue_size:
                raise error("queue.full", limit=self._config.max_queue_size)
            message_id = self._records.reserve()
            reply = self._waiters.register(message_id) if wait else None
            try:
                await self._records.change({message_id: record})
            except BaseException:
                self._waiters.forget(message_id)
                raise
        self._arrivals.wake()
        return ReceivedMessage(self, message_id, record, completable=False), reply

    async def _take(self, names: Names, count: int, completable: Completable) -> list[ReceivedMessage]:
        taken: list[ReceivedMessage] = []
        async with self._lock:
            await self._records.open()
            while not taken and (ids := list(islice(self._matching(names), count))):
                for start in range(0, len(ids), _BATCH):
                    try:
                        taken += await self._receive(ids[start : start + _BATCH], completable)
                    except StorageError:
                        if not taken:  # what was deleted already must be handed over
                            raise
                        break
        return taken

    async def _receive(self, ids: Sequence[int], completable: Completable) -> list[ReceivedMessage]:
        loaded = await self._records.load(ids)
        received = [
            ReceivedMessage(self, message_id, record, completable=_stays(record.name, completable))
            for message_id, record in loaded.items()
        ]
        staying = {message.id for message in received if message.completable}
        await self._records.change({}, [message_id for message_id in ids if message_id not in staying])
        return received

    async def _give_back(self, messages: Sequence[ReceivedMessage]) -> None:
        async with self._lock:
            deleted = {message.id: message.record for message in messages if not message.completable}
            await self._records.restore(deleted)
        self._arrivals.wake()

    async def _complete(self, message_id: int, response: bytes | None) -> None:
        async with self._lock:
            await self._records.open()
            await self._records.change({}, [message_id])
        self._waiters.resolve(message_id, response)

    async def _forget(self, sent: tuple[ReceivedMessage, object]) -> None:
        self._waiters.forget(sent[0].id)

    async def _reset(self) -> None:
        async with self._lock:
            await self._records.open()
            await self._records.clear()
        self._waiters.drop_all("the queue was reset")
        self._arrivals.wake()

    def _matching(self, names: Names) -> Iterator[int]:
        wanted = frozenset(names or ())
        return (number for number, head in self._records.heads.items() if not wanted or head.name in wanted)

    # --- waiting --------------------------------------------------------------------------------

    async def _wait(self, version: int, deadline: float | None) -> bool:
        """Wait until something may have changed; False if the deadline has passed."""
        remaining = None if deadline is None else deadline - self._clock.monotonic()
        if remaining is not None and remaining <= 0:
            return False
        if self._aborted():
            raise error("actor.aborted")
        bound = self._clock.timeout(remaining)
        with self.queue_wait():
            try:
                async with bound:
                    await self._arrivals.wait(version)
            except TimeoutError:
                if not bound.expired():
                    raise
        return True


def _stays(name: str, completable: Completable) -> bool:
    return completable if isinstance(completable, bool) else name in completable


def _timed_out(timeout: float) -> RivetError:
    return error("queue.timed_out", timeout_ms=round(timeout * 1000))


async def _to_the_end(
    work: Coroutine[Any, Any, T], *, undo: Callable[[T], Coroutine[Any, Any, None]] | None = None
) -> T:
    """Await ``work`` even if cancelled meanwhile; then undo what its caller will not learn of."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # raised below, once
                await asyncio.wait([task])
        if task.cancelled() or task.exception() is not None:
            raise
        if undo is not None:
            await _to_the_end(undo(task.result()))
        raise
