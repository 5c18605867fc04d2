"""Queues as their actor sees them: jobs to receive and complete, messages to send to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, cast

from typing_extensions import TypeVar

from rivetkit._amounts import require_seconds
from rivetkit._job import Job, QueueRef, Sent, Source
from rivetkit_core.errors import RivetError, error

if TYPE_CHECKING:
    from rivetkit._actor import Actor
    from rivetkit_core.actor.queue import ActorQueue

T = TypeVar("T")
J = TypeVar("J")
B = TypeVar("B")
R = TypeVar("R", default=None)


class Pending:
    """Remembers received jobs, to refuse the next receive while one of them is not completed."""

    def __init__(self) -> None:
        self._jobs: list[Job[object, object]] = []

    def check(self) -> None:
        """
        Raises:
            RivetError: ``queue.previous_message_not_completed``.
        """
        self._jobs = [job for job in self._jobs if job.must_be_completed]
        if self._jobs:
            raise error("queue.previous_message_not_completed", name=self._jobs[0].queue.name)

    def add(self, jobs: Iterable[object]) -> None:
        self._jobs.extend(cast("Job[object, object]", job) for job in jobs)


class LocalQueue(Generic[B, R]):
    """One queue of an actor. Iterate it: ``async for job in self.jobs``.

    An actor without a runtime (in a unit test) validates what it sends and sends nothing.
    """

    def __init__(self, actor: Actor, ref: QueueRef[Any, B, R]) -> None:
        self._actor = actor
        self._ref = ref
        self._pending = Pending()

    async def send(self, body: B, /, *, delay: float | None = None) -> Sent[B]:
        """Store a message; on return it is durable. Cancelling does not undo it.

        In a strict action it is stored together with the state, before the answer leaves.

        Args:
            body: The message.
            delay: Seconds before it may be received, for a queue declared with ``delay``.

        Raises:
            ValidationError: It does not fit the declared type.
            RivetError: ``queue.full``, ``queue.message_too_large`` or ``queue.delay_not_configured``.
        """
        require_seconds("delay", delay)
        encoded = self._ref.encode_body(body)
        if self._actor.__rivet_context__ is None:
            return Sent(0, body, datetime.fromtimestamp(0, UTC))
        core = await self._core.send(self._ref.name, encoded, delay=delay, key=self._ref.key_of(body))
        created_at = datetime.fromtimestamp(core.created_at / 1000, UTC)
        return Sent(core.id, body, created_at, core.duplicate)

    async def send_and_wait(self, body: B, /, *, timeout: float | None = None) -> R:
        """Send and return the reply; None for a queue without replies.

        Cancelling leaves the message in the queue. Whoever completes it must not wait for the caller.

        Args:
            timeout: Seconds to wait for the completion.

        Raises:
            RivetError: As ``send``; ``queue.no_reply``; ``queue.timed_out``, and the message
                stays in the queue.
        """
        require_seconds("timeout", timeout)
        encoded = self._ref.encode_body(body)
        key = self._ref.key_of(body)
        reply = await self._core.enqueue_and_wait(self._ref.name, encoded, key=key, timeout=timeout)
        return self._ref.decode_reply(reply)

    async def next(
        self, *, timeout: float | None = None, completable: bool | None = None
    ) -> Job[B, R] | None:
        """The oldest message, None when none came within ``timeout`` seconds.

        Waiting lets the actor sleep. Cancelling loses no message.

        Args:
            timeout: Seconds to wait; None for as long as the actor runs.
            completable: Whether the message stays stored until it is completed (received at least once) or
                is deleted before it is handed over (at most once); what the queue declares if None.

        Raises:
            RivetError: ``actor.aborted`` when the actor stops; ``queue.previous_message_not_completed``
                while a job from here is not.
        """
        jobs = await self.next_batch(1, timeout=timeout, completable=completable)
        return jobs[0] if jobs else None

    async def next_batch(
        self, count: int, *, timeout: float | None = None, completable: bool | None = None
    ) -> list[Job[B, R]]:
        """Up to ``count`` messages as soon as there is one; empty when none came in time. See ``next``."""
        _require_counts(count, timeout)
        self._pending.check()
        keep = self._ref.completable if completable is None else completable
        found = await self._core.next_batch([self._ref.name], count, timeout=timeout, completable=keep)
        jobs = [self._ref.job(message) for message in found]
        self._pending.add(jobs)
        return jobs

    async def try_next(self, *, completable: bool | None = None) -> Job[B, R] | None:
        """The oldest message that is there already, or None. See ``next``."""
        return await self.next(timeout=0.0, completable=completable)

    async def try_next_batch(self, count: int, *, completable: bool | None = None) -> list[Job[B, R]]:
        """Up to ``count`` messages that are there already. See ``next``."""
        return await self.next_batch(count, timeout=0.0, completable=completable)

    async def inspect(self) -> list[Sent[B]]:
        """Every stored message of this queue, oldest first. Nothing is received.

        Raises:
            ValidationError: A message does not fit the declared type.
        """
        return [
            Sent(
                number,
                self._ref.decode_body(stored.body),
                datetime.fromtimestamp(stored.created_at / 1000, UTC),
            )
            for number, stored in await self._core.inspect_messages()
            if stored.name == self._ref.name
        ]

    async def redrive(self, *, limit: int | None = None) -> int:
        """Move the dead letters of this queue back into it, oldest first; returns how many.

        Raises:
            RivetError: ``queue.dead_letter_not_configured``.
        """
        return await self._core.redrive(self._ref.name, limit)

    def __aiter__(self) -> AsyncIterator[Job[B, R]]:
        """Jobs one by one until the actor stops. Complete each before asking for the next, if it must be."""
        return until_stopped(LocalQueue(self._actor, self._ref).next)

    @property
    def _core(self) -> ActorQueue:
        return self._actor.ctx.__rivet_core__.queue


class ContextQueue:
    """All queues of an actor at once: ``await self.ctx.queue.next(Room.orders, Room.returns)``.

    Messages come in the order they were sent, whichever queue they are in. Each is kept or deleted as its
    queue declares, unless ``completable`` says otherwise.
    """

    def __init__(self, core: ActorQueue) -> None:
        self._core = core
        self._pending = Pending()

    async def next(
        self, *queues: Source[J], timeout: float | None = None, completable: bool | None = None
    ) -> J | None:
        """The oldest message of these queues, None when none came in time; see ``LocalQueue.next``."""
        jobs = await self.next_batch(*queues, count=1, timeout=timeout, completable=completable)
        return jobs[0] if jobs else None

    async def next_batch(
        self,
        *queues: Source[J],
        count: int,
        timeout: float | None = None,
        completable: bool | None = None,
    ) -> list[J]:
        """Up to ``count`` messages of these queues, as soon as there is one; empty when none came in time."""
        _require_counts(count, timeout)
        self._pending.check()
        names = self._names(queues)
        keep = self._kept(queues) if completable is None else completable
        found = await self._core.next_batch(names, count, timeout=timeout, completable=keep)
        sources = {source.name: source for source in queues}
        jobs = [sources[message.name].job(message) for message in found]
        self._pending.add(jobs)
        return jobs

    async def try_next(self, *queues: Source[J], completable: bool | None = None) -> J | None:
        """The oldest message that is there already, or None."""
        return await self.next(*queues, timeout=0.0, completable=completable)

    async def try_next_batch(
        self, *queues: Source[J], count: int, completable: bool | None = None
    ) -> list[J]:
        """Up to ``count`` messages that are there already."""
        return await self.next_batch(*queues, count=count, timeout=0.0, completable=completable)

    async def wait_for(
        self, *queues: Source[J], timeout: float | None = None, completable: bool | None = None
    ) -> J:
        """Like ``next``, for code that cannot go on without a message.

        Raises:
            RivetError: ``queue.timed_out``.
        """
        job = await self.next(*queues, timeout=timeout, completable=completable)
        if job is None:
            raise error("queue.timed_out", timeout_ms=round((timeout or 0.0) * 1000))
        return job

    async def wait_available(self, *queues: Source[object], timeout: float | None = None) -> None:
        """Return when one of these queues has a message, without receiving it.

        Raises:
            RivetError: ``queue.timed_out``, or ``actor.aborted`` when the actor stops.
        """
        require_seconds("timeout", timeout)
        await self._core.wait_for_names_available(self._names(queues), timeout=timeout)

    def stream(self, *queues: Source[J], completable: bool | None = None) -> AsyncIterator[J]:
        """Jobs one by one until the actor stops. Complete each before asking for the next, if it must be."""
        receiver = ContextQueue(self._core)

        async def receive() -> J | None:
            return await receiver.next(*queues, completable=completable)

        return until_stopped(receive)

    async def size(self) -> int:
        """How many messages are stored, in all queues."""
        return await self._core.size()

    def max_size(self) -> int:
        """How many messages all queues together may hold: the option ``max_queue_size``."""
        return self._core.max_size()

    async def reset(self) -> None:
        """Delete every message of every queue. Who waits for a reply gets an error."""
        await self._core.reset()

    def _names(self, queues: tuple[Source[object], ...]) -> list[str]:
        if not queues:
            raise TypeError("say which queues: self.ctx.queue.next(Room.jobs)")
        for source in queues:
            if not isinstance(source, QueueRef):
                raise TypeError(f"a queue is named by its class, as in Room.jobs, not by {source!r}")
        return [source.name for source in queues]

    def _kept(self, queues: tuple[Source[object], ...]) -> set[str]:
        return {source.name for source in queues if source.completable}


def _require_counts(count: object, timeout: object) -> None:
    if not isinstance(count, int):
        raise TypeError(f"count is a whole number, not {count!r}")
    require_seconds("timeout", timeout)


async def until_stopped(receive: Callable[[], Awaitable[T | None]]) -> AsyncIterator[T]:
    """What ``receive`` gives, until the actor stops."""
    while True:
        try:
            received = await receive()
        except RivetError as failure:
            if (failure.group, failure.code) == ("actor", "aborted"):
                return
            raise
        if received is not None:
            yield received
