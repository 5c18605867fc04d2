"""What happens to an actor's queues under their lock: one change at a time, each to its end.

    heads, ids      queue_records       what is stored
    who waits       queue_waiting       receivers and senders
    retries         queue_retries       only for queues that opted in
    keys            queue_duplicates    only for queues that opted in

Knows nothing of waiting: every method returns as soon as storage did.

Invariants
    Whatever changes storage runs to its end even if its caller is cancelled: memory and storage agree. What a
    cancelled receiver will not learn of is put back.
    A message received to be deleted was deleted before it is handed over, by strict code too.
    A sender's waiter exists before its message is stored, and is answered after it was deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from rivetkit_core.actor.factory import QueueSpec
from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.queue_duplicates import Duplicates, Seen
from rivetkit_core.actor.queue_message import ReceivedMessage, SentMessage
from rivetkit_core.actor.queue_records import QueueRecords
from rivetkit_core.actor.queue_retries import Retries
from rivetkit_core.actor.queue_waiting import Arrivals, Waiters
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.persisted import QueueMessage, encode_queue_message

T = TypeVar("T")

Names = Collection[str] | None
Completable = bool | Collection[str]
"""Whether messages stay until completed: all, none, or those of these queues."""

_BATCH = 100  # records in one write, within the limits of every host


def _now(follow: Callable[[], None]) -> None:
    follow()


async def _settled() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Strict:
    """What is different in strict code.

    Args:
        at_once: Inside, nothing waits.
        then: Calls something when everything written so far is durable.
        settled: Returns when everything that the running code did is durable.
    """

    at_once: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    then: Callable[[Callable[[], None]], None] = _now
    settled: Callable[[], Awaitable[None]] = _settled


class QueueStore:
    """One actor's stored messages, and who waits for them. ``arrivals`` tells receivers to look again.

    ``delayed`` is awaited when a message was stored that has to wait for its time. ``strict`` says what is
    special where ``storage`` lets writes of strict code wait: new messages wait, and receiving never does.
    """

    def __init__(
        self,
        storage: ActorStorage,
        clock: Clock,
        config: ActorConfig,
        specs: Mapping[str, QueueSpec],
        *,
        delayed: Callable[[], Awaitable[None]],
        log: ActorLog = NO_ACTOR,
        strict: Strict | None = None,
    ) -> None:
        self.log = log
        self.arrivals = Arrivals()
        self.waiters = Waiters()
        self._clock = clock
        self._config = config
        self._delayed = delayed
        self._strict = Strict() if strict is None else strict
        self._records = QueueRecords(storage, log)
        self._retries = Retries(specs, self._records, self.waiters, clock, log)
        self._duplicates = Duplicates(storage)
        self._lock = asyncio.Lock()
        self._recovered = False

    async def enqueue(
        self, name: str, body: bytes, *, delay: float | None, key: str | None, wait: bool
    ) -> SentMessage:
        """Store a message; with ``wait``, its reply can be awaited."""
        return await _to_the_end(self._enqueue(name, body, delay, key, wait=wait), undo=self._forget)

    async def take(self, names: Names, count: int, completable: Completable) -> list[ReceivedMessage]:
        """Up to ``count`` messages that are ready, oldest first."""
        with self._strict.at_once():
            return await _to_the_end(self._take(names, count, completable), undo=self._give_back)

    async def complete(self, message: ReceivedMessage, response: bytes | None) -> None:
        """Delete a message and answer its sender."""
        await _to_the_end(self._complete(message.id, response))

    async def give_up(self, message: ReceivedMessage, delay: float | None, *, failed: bool) -> None:
        """Let a message be received again; with ``failed``, count that."""
        with self._strict.at_once():
            await _to_the_end(self._give_up(message.id, delay, failed=failed))

    async def redrive(self, name: str, limit: int | None) -> int:
        """Move dead letters back."""
        with self._strict.at_once():
            return await _to_the_end(self._redrive(name, limit))

    async def reset(self) -> None:
        """Delete everything."""
        with self._strict.at_once():
            await _to_the_end(self._reset())

    async def has(self, names: Names) -> bool:
        """Whether a message is ready."""
        async with self._lock:
            await self._open()
            return next(self._matching(names), None) is not None

    async def messages(self) -> list[tuple[int, QueueMessage]]:
        """Everything stored, oldest first."""
        async with self._lock:
            await self._open()
            return list((await self._records.load(self._records.heads)).items())

    @property
    def known_size(self) -> int:
        """``size`` as far as it is known without reading storage."""
        return self._records.size

    async def size(self) -> int:
        """How many messages are stored."""
        async with self._lock:
            await self._open()
            return self._records.size

    def next_due(self, names: Names = None, *, after: int | None = None) -> int | None:
        """When the next message that waits for its time is due, in milliseconds since the Unix epoch.

        With ``after``, the first one due later than that.
        """
        return self._retries.next_due(frozenset(names or ()), after)

    # --- under the lock -------------------------------------------------------------------------

    async def _open(self) -> None:
        await self._records.open()
        if not self._recovered:
            await self._retries.recover()
            self._recovered = True

    async def _enqueue(
        self, name: str, body: bytes, delay: float | None, key: str | None, *, wait: bool
    ) -> SentMessage:
        async with self._lock:
            await self._open()
            now, window = time_ms(self._clock), self._retries.spec(name).deduplicate
            if window is None or key is None:
                unique = None
            elif (existing := await self._duplicates.find(name, key, now)) is not None:
                joined = self.waiters.join(existing) if wait and existing in self._records.heads else None
                return SentMessage(existing, now, joined, duplicate=True)
            else:
                unique = (name, key, now + round(window * 1000))
            record = QueueMessage(name, body, now, available_at=self._retries.due(name, delay))
            self._check_limits(record)
            sent = await self._store(record, unique, wait=wait)
        # Whoever waits would take it at once, and store half of what its sender does.
        self._strict.then(self.arrivals.wake)
        if wait:
            await self._strict.settled()
        if record.available_at is not None:
            await self._delayed()
        return sent

    def _check_limits(self, record: QueueMessage) -> None:
        size, limit = len(encode_queue_message(record)), self._config.max_queue_message_size
        if size > limit:
            raise error("queue.message_too_large", size=size, limit=limit)
        if self._records.size >= self._config.max_queue_size:
            raise error("queue.full", limit=self._config.max_queue_size)

    async def _store(
        self, record: QueueMessage, unique: tuple[str, str, int] | None, *, wait: bool
    ) -> SentMessage:
        message_id = self._records.reserve()
        reply = self.waiters.register(message_id) if wait else None
        try:
            if unique is None:
                await self._records.change({message_id: record})
            else:
                await self._store_unique(message_id, record, unique)
        except BaseException:
            self.waiters.forget(message_id, reply)
            raise
        return SentMessage(message_id, record.created_at, reply)

    async def _store_unique(
        self, message_id: int, record: QueueMessage, unique: tuple[str, str, int]
    ) -> None:
        name, key, until = unique
        seen = Seen(message_id, until)
        beside = self._duplicates.record(name, key, seen)
        expired = [old for old in self._duplicates.expired(record.created_at) if old not in beside]
        await self._records.change({message_id: record}, beside=beside, forget=expired)
        self._duplicates.remember(name, key, seen, expired)

    async def _take(self, names: Names, count: int, completable: Completable) -> list[ReceivedMessage]:
        taken: list[ReceivedMessage] = []
        async with self._lock:
            await self._open()
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
            self._received(message_id, record, _stays(record.name, completable))
            for message_id, record in loaded.items()
        ]
        staying = {message.id for message in received if message.completable}
        leased = {message.id: self._retries.taken(message.record) for message in received if message.leased}
        await self._records.change(leased, [message_id for message_id in ids if message_id not in staying])
        return received

    def _received(self, message_id: int, record: QueueMessage, completable: bool) -> ReceivedMessage:
        retried = self._retries.spec(record.name).retries is not None
        return ReceivedMessage(
            self, message_id, record, completable=completable, leased=completable and retried
        )

    async def _give_back(self, messages: Sequence[ReceivedMessage]) -> None:
        async with self._lock:
            changed = {
                message.id: message.record
                for message in messages
                if message.leased or not message.completable
            }
            await self._records.restore(changed)
        self.arrivals.wake()

    async def _complete(self, message_id: int, response: bytes | None) -> None:
        async with self._lock:
            await self._open()
            await self._records.change({}, [message_id])
        await self._strict.settled()
        self._strict.then(lambda: self.waiters.resolve(message_id, response))

    async def _give_up(self, message_id: int, delay: float | None, *, failed: bool) -> None:
        async with self._lock:
            await self._open()
            if failed:
                await self._retries.fail(message_id, delay)
            else:
                await self._retries.release(message_id)
        self.arrivals.wake()
        if failed:
            await self._delayed()

    async def _redrive(self, name: str, limit: int | None) -> int:
        async with self._lock:
            await self._open()
            moved = await self._retries.redrive(name, limit)
        self.arrivals.wake()
        return moved

    async def _forget(self, sent: SentMessage) -> None:
        self.waiters.forget(sent.id, sent.reply)

    async def _reset(self) -> None:
        async with self._lock:
            await self._open()
            await self._records.clear()
            await self._duplicates.clear()
        self.waiters.drop_all("the queue was reset")
        self.arrivals.wake()

    def _matching(self, names: Names) -> Iterator[int]:
        wanted = frozenset(names or ())
        return (
            number
            for number, head in self._records.heads.items()
            if (not wanted or head.name in wanted) and self._retries.ready(head)
        )


def _stays(name: str, completable: Completable) -> bool:
    return completable if isinstance(completable, bool) else name in completable


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
