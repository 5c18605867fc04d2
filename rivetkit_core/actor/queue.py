"""The durable queues of one actor (actor-runtime 7).

All queues of an actor share one order, one limit and one metadata record; a name is a filter. Bodies and
responses are bytes that nothing here reads.

Invariants
    A returned send is stored. A message received to be deleted was deleted before it is handed over; any
    other stays until it is completed.
    Receivers get the oldest messages that match; the others keep their places.
    Nothing is held while a receiver waits, and waiting ends with the actor.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager

from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.queue_message import ReceivedMessage, SentMessage
from rivetkit_core.actor.queue_store import Completable as Completable
from rivetkit_core.actor.queue_store import Names, QueueStore, Strict
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.persisted import QueueMessage


class ActorQueue:
    """Sends to and receives from one actor's queues.

    Args:
        queue_wait: Entered around every wait for a message; the actor may sleep inside.
        touched: Called when a receiver comes for more, so that what it did with the last message is saved.
        used: Called when somebody sent.
        alarm: Told about messages that wait for their time.
        strict: What is special where writes of strict code wait.
    """

    def __init__(
        self,
        storage: ActorStorage,
        clock: Clock,
        factory: ActorFactory,
        *,
        queue_wait: Callable[[], AbstractContextManager[None]],
        touched: Callable[[], None],
        used: Callable[[], None],
        alarm: Alarm,
        metrics: Recorder,
        log: ActorLog = NO_ACTOR,
        strict: Strict | None = None,
    ) -> None:
        self._queue_wait = queue_wait
        self._clock = clock
        self._max_size = factory.config.max_queue_size
        self._touched = touched
        self._used = used
        self._metrics = metrics
        self._aborted_at: int | None = None
        self._delays = any(spec.opted_in for spec in factory.queues.values())
        self._store = QueueStore(
            storage,
            clock,
            factory.config,
            factory.queues,
            delayed=alarm.changed,
            strict=strict,
            log=log,
        )
        alarm.follow(self._next_alarm)

    @property
    def depth(self) -> int:
        """How many messages are stored, as far as this generation has looked."""
        return self._store.known_size

    # --- sending --------------------------------------------------------------------------------

    async def send(
        self, name: str, body: bytes, *, delay: float | None = None, key: str | None = None
    ) -> SentMessage:
        """Store a message; on return it is durable. In strict code it is stored with everything else.

        Cancelling does not undo it.

        Args:
            delay: Seconds before it may be received, for a queue that declares delays.
            key: Deduplication key, for a queue that has them; a message with a known key is not stored.

        Raises:
            RivetError: ``queue.full`` or ``queue.message_too_large``; nothing was stored.
            StorageError: It was not stored, as far as storage can tell.
        """
        self._used()
        sent = await self._store.enqueue(name, body, delay=delay, key=key, wait=False)
        self._note(sent)
        return sent

    async def enqueue_and_wait(
        self, name: str, body: bytes, *, key: str | None = None, timeout: float | None = None
    ) -> bytes | None:
        """Store a message and return what it is completed with, None if that is nothing.

        The stopping of the actor does not end the wait; whoever runs the caller does. Cancelling leaves the
        message in the queue.

        Args:
            timeout: Seconds to wait for the completion.

        Raises:
            RivetError: As ``send``; ``queue.timed_out``, and the message stays in the queue;
                ``queue.completion_waiter_dropped`` if nobody will complete it any more;
                ``queue.retries_exhausted`` if it failed for the last time.
        """
        self._used()
        sent = await self._store.enqueue(name, body, delay=None, key=key, wait=True)
        self._note(sent)
        if sent.reply is None:
            return None  # a duplicate of a message that was completed
        bound = self._clock.timeout(timeout)
        try:
            async with bound:
                return await sent.reply
        except TimeoutError:
            if timeout is None or not bound.expired():
                raise
            raise _timed_out(timeout) from None
        finally:
            self._store.waiters.forget(sent.id, sent.reply)

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
            version = self._store.arrivals.version
            found = await self.try_next_batch(names, count, completable=completable)
            if found or not await self._wait(names, version, deadline):
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
        found = await self._store.take(names, max(1, count), completable)
        if found:
            self._metrics.count("queue_messages_received_total", by=len(found))
        return found

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
            version = self._store.arrivals.version
            if await self._store.has(names):
                return
            if not await self._wait(names, version, deadline):
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
        return await self._store.messages()

    async def size(self) -> int:
        """How many messages are stored."""
        return await self._store.size()

    def max_size(self) -> int:
        """How many messages may be stored."""
        return self._max_size

    async def reset(self) -> None:
        """Delete every message. Senders that wait get ``queue.completion_waiter_dropped``."""
        await self._store.reset()

    def abort(self) -> None:
        """The actor begins to stop: no receiver waits any longer."""
        self._aborted_at = time_ms(self._clock)
        self._store.arrivals.wake()

    def drop_waiters(self) -> None:
        """This generation ends: nobody will complete anything here any more."""
        self._store.waiters.drop_all("the actor stopped")

    async def redrive(self, name: str, limit: int | None = None) -> int:
        """Move up to ``limit`` dead letters of a queue back into it, oldest first; returns how many.

        Raises:
            RivetError: ``queue.dead_letter_not_configured``.
        """
        return await self._store.redrive(name, limit)

    async def next_due(self) -> int | None:
        """When the next delayed or retried message is due, in milliseconds since the Unix epoch.

        A sleeping actor has to be woken then. Reads storage only if a queue opted in to delays or retries.
        """
        if not self._delays:
            return None
        await self._store.size()  # from now on it knows what is stored
        return self._store.next_due()

    def _next_alarm(self) -> int | None:
        # What is due already is there for whoever receives. What came due during the end, when nobody could
        # wait for it any more, is left to the next generation.
        since = time_ms(self._clock) if self._aborted_at is None else self._aborted_at - 1
        return self._store.next_due(after=since)

    def _note(self, sent: SentMessage) -> None:
        if not sent.duplicate:
            self._metrics.count("queue_messages_sent_total")

    # --- waiting --------------------------------------------------------------------------------

    async def _wait(self, names: Names, version: int, deadline: float | None) -> bool:
        """Wait until something may have changed; False if the deadline has passed."""
        remaining = None if deadline is None else deadline - self._clock.monotonic()
        if remaining is not None and remaining <= 0:
            return False
        if self._aborted_at is not None:
            raise error("actor.aborted")
        due = self._store.next_due(names)
        until_due = None if due is None else max(0.001, due / 1000 - self._clock.now())
        bounds = [seconds for seconds in (remaining, until_due) if seconds is not None]
        bound = self._clock.timeout(min(bounds, default=None))
        with self._queue_wait():
            try:
                async with bound:
                    await self._store.arrivals.wait(version)
            except TimeoutError:
                if not bound.expired():
                    raise
        return True


def _timed_out(timeout: float) -> RivetError:
    return error("queue.timed_out", timeout_ms=round(timeout * 1000))
