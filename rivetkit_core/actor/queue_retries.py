"""What queues do that opted in to more than the field has: delays, retries and dead letters.

A retried message carries its history in the optional fields of its record: how often it failed, when it is
due, whether somebody has it. Records of other queues never have them, so that they read the same everywhere.
Callers hold the queue's lock.

Invariants
    A message somebody has is given to nobody else, until that one gives up or the generation ends.
    Every failure is counted, a crash with the message in hand included; the last one moves the message to
    the dead letters, in one write.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from rivetkit_core.actor.factory import QueueSpec, RetrySpec
from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.queue_records import Head, QueueRecords
from rivetkit_core.actor.queue_waiting import Waiters
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.errors import error
from rivetkit_core.wire.persisted import QueueMessage

_PLAIN = QueueSpec()
_MOVES = 50  # messages in one write: a new record, a deleted one and the metadata, within every host's limits


def backoff(retries: RetrySpec, failures: int) -> float:
    """Seconds until the next attempt after so many failures: doubled each time, up to the longest."""
    return min(retries.longest_delay, retries.first_delay * 2 ** min(failures - 1, 63))


class Retries:
    """Decides which messages are ready, and what becomes of those that failed."""

    def __init__(
        self,
        specs: Mapping[str, QueueSpec],
        records: QueueRecords,
        waiters: Waiters,
        clock: Clock,
        log: ActorLog = NO_ACTOR,
    ) -> None:
        self._log = log
        self._specs = specs
        self._records = records
        self._waiters = waiters
        self._clock = clock

    def spec(self, name: str) -> QueueSpec:
        """What a queue opted in to; nothing if it is not declared."""
        return self._specs.get(name, _PLAIN)

    def due(self, name: str, delay: float | None) -> int | None:
        """When a message that is sent now may be received; None for at once.

        Raises:
            RivetError: ``queue.delay_not_configured``.
        """
        configured = self.spec(name).delay
        if configured is None:
            if delay is not None:
                raise error("queue.delay_not_configured", name=name)
            return None
        chosen = configured if delay is None else delay
        return self._later(chosen) if chosen > 0 else None

    def ready(self, head: Head) -> bool:
        """Whether a message may be received now."""
        if not self.spec(head.name).opted_in:
            return True
        return not head.in_flight and (head.due is None or head.due <= time_ms(self._clock))

    def next_due(self, names: frozenset[str] = frozenset(), after: int | None = None) -> int | None:
        """When the next message that waits for its time is due, in milliseconds since the Unix epoch."""
        waiting = (
            head.due
            for head in self._records.heads.values()
            if head.due is not None
            and not head.in_flight
            and self.spec(head.name).opted_in
            and (not names or head.name in names)
            and (after is None or head.due > after)
        )
        return min(waiting, default=None)

    def taken(self, record: QueueMessage) -> QueueMessage:
        """The record of a message while somebody has it."""
        return QueueMessage(
            record.name,
            record.body,
            record.created_at,
            record.failure_count,
            in_flight=True,
            in_flight_at=time_ms(self._clock),
        )

    async def release(self, message_id: int) -> None:
        """Somebody gives a message back untried; it is ready again, and nothing is counted."""
        for number, record in (await self._records.load([message_id])).items():
            await self._records.change({number: _waiting(record, record.failure_count, None)})

    async def fail(self, message_id: int, delay: float | None = None) -> None:
        """An attempt failed: try again after the back-off or ``delay`` seconds, or give up."""
        for number, record in (await self._records.load([message_id])).items():
            await self._failed(number, record, delay)

    async def recover(self) -> None:
        """The generation before ended with these messages in hand: that counts as a failure of each."""
        left = [
            number
            for number, head in self._records.heads.items()
            if head.in_flight and self.spec(head.name).retries is not None
        ]
        for number in left:
            await self.fail(number)

    async def redrive(self, name: str, limit: int | None) -> int:
        """Move dead letters of a queue back into it, oldest first; returns how many."""
        source = self.spec(name).dead_letter
        if source is None:
            raise error("queue.dead_letter_not_configured", name=name)
        dead = (number for number, head in self._records.heads.items() if head.name == source)
        ids = list(islice(dead, limit))
        for start in range(0, len(ids), _MOVES):
            batch = await self._records.load(ids[start : start + _MOVES])
            await self._move(batch, name)
        return len(ids)

    async def _failed(self, number: int, record: QueueMessage, delay: float | None) -> None:
        spec = self.spec(record.name)
        assert spec.retries is not None
        failures = (record.failure_count or 0) + 1
        if failures < spec.retries.attempts:
            wait = backoff(spec.retries, failures) if delay is None else delay
            due = self._later(wait) if wait > 0 else None
            await self._records.change({number: _waiting(record, failures, due)})
            return
        if spec.dead_letter is None:
            self._log.error(
                "message %d of queue %r was dropped after %d attempts",
                number,
                record.name,
                failures,
                extra={"queue_name": record.name, "message_id": number, "attempts": failures},
            )
            await self._records.change({}, [number])
        else:
            await self._move({number: record}, spec.dead_letter)
        self._waiters.fail(number, error("queue.retries_exhausted", name=record.name, attempts=failures))

    async def _move(self, messages: Mapping[int, QueueMessage], name: str) -> None:
        moved = {
            self._records.reserve(): QueueMessage(name, record.body, record.created_at)
            for record in messages.values()
        }
        await self._records.change(moved, list(messages))

    def _later(self, seconds: float) -> int:
        return time_ms(self._clock) + round(seconds * 1000)


def _waiting(record: QueueMessage, failures: int | None, due: int | None) -> QueueMessage:
    return QueueMessage(record.name, record.body, record.created_at, failures, due)
