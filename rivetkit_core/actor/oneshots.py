"""One-shots: actions due once, kept in the actor's snapshot (actor-runtime 8.1).

A one-shot with retries has a second record, which says how often it was tried. Claiming it does not remove
it but moves it behind the time its action may take: if nobody is left to say how the try went, it is due
again by itself.

Invariants
    What fires is in the snapshot as storage has it; it is sorted by time, then id.
    A claimed one-shot is gone before its action starts, and one with retries counts the try before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.firing import CLAIM_SIZE, Claim, ScheduledFire
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.entropy import Entropy, new_uuid
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.cbor import EMPTY_ARRAY
from rivetkit_core.wire.persisted import ScheduleEvent
from rivetkit_core.wire.schedule_records import RetryRecord, decode_retry, encode_retry, retry_key

_RETRIED = "retry:"  # tells from the id alone that there is a second record to read


@dataclass(frozen=True, slots=True)
class Retries:
    """How a failing one-shot is tried again: at most ``times`` more, ``delay`` milliseconds after the first
    failure and twice as long after each further one, up to ``max_delay``."""

    times: int
    delay: int = 1000
    max_delay: int = 300_000

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            RivetError: ``schedule.invalid_retries``.
        """
        if self.times < 1 or self.delay < 1 or self.max_delay < self.delay:
            raise error("schedule.invalid_retries", reason=f"{self}")


class OneShots:
    """What is due once.

    Args:
        stored: The one-shots that storage has.
        current: The one-shots as the actor's code knows them: some may wait to be stored, or to be removed.
        patience: Milliseconds after which an action has ended, one way or another.
    """

    def __init__(
        self,
        *,
        stored: Callable[[], tuple[ScheduleEvent, ...]],
        current: Callable[[], tuple[ScheduleEvent, ...]],
        storage: ActorStorage,
        clock: Clock,
        entropy: Entropy,
        commit: Callable[[Callable[[Batch], None]], Awaitable[None]],
        patience: Callable[[str], int],
        log: ActorLog,
    ) -> None:
        self._stored = stored
        self._current = current
        self._storage = storage
        self._clock = clock
        self._entropy = entropy
        self._commit = commit
        self._patience = patience
        self._log = log
        self._tries: dict[str, RetryRecord] = {}

    def all(self) -> tuple[ScheduleEvent, ...]:
        """Every pending one-shot, in the order in which they are due."""
        return self._current()

    def get(self, event_id: str) -> ScheduleEvent | None:
        """A pending one-shot."""
        return next((event for event in self._current() if event.event_id == event_id), None)

    def plan(self, timestamp: int, action: str, args: bytes, retries: Retries | None) -> ScheduleEvent:
        """A new one-shot, for ``add``."""
        event_id = new_uuid(self._entropy) if retries is None else _RETRIED + new_uuid(self._entropy)
        return ScheduleEvent(event_id, timestamp, action, None if args == EMPTY_ARRAY else args)

    def add(self, batch: Batch, event: ScheduleEvent, retries: Retries | None = None) -> None:
        """Put it among the others."""
        batch.events = _sorted([*batch.events, event])
        if retries is not None:
            self._note(batch, event.event_id, RetryRecord(0, retries.times, retries.delay, retries.max_delay))

    def remove(self, batch: Batch, event_id: str) -> bool:
        """Take it out; whether it was there."""
        kept = tuple(event for event in batch.events if event.event_id != event_id)
        if len(kept) == len(batch.events):
            return False
        batch.events = kept
        if event_id.startswith(_RETRIED):
            batch.delete(retry_key(event_id))
            batch.then(partial(self._tries.pop, event_id, None))
        return True

    def _ready(self) -> Sequence[ScheduleEvent]:
        stored, current = self._stored(), self._current()
        if stored is current:
            return stored
        return [event for event in stored if event in current]

    # --- firing ---------------------------------------------------------------------------------

    def next_at(self) -> int | None:
        return _first(self._ready())

    def next_known(self) -> int | None:
        """``next_at``, with those that wait to be stored."""
        return _first(self._current())

    async def prepare(self, now: int) -> None:
        due = [event.event_id for event in self._ready()[:CLAIM_SIZE] if event.timestamp <= now]
        unread = [one for one in due if one.startswith(_RETRIED) and one not in self._tries]
        if not unread:
            return
        found = await self._storage.load([retry_key(one) for one in unread])
        for one in unread:
            self._tries[one] = self._read(one, found.get(retry_key(one)))

    def claim(self, batch: Batch, now: int) -> Sequence[Claim]:
        due = [event for event in self._ready()[:CLAIM_SIZE] if event.timestamp <= now]
        claims: list[Claim] = []
        for event in due:
            if event.event_id.startswith(_RETRIED):
                claims.extend(self._try(batch, event, now))
            else:
                fire = ScheduledFire("at", event.event_id, None, event.timestamp, now)
                claims.append(Claim(fire, event.action, EMPTY_ARRAY if event.args is None else event.args))
        spent = {claim.fire.id for claim in claims if not claim.fire.id.startswith(_RETRIED)}
        if spent:
            batch.events = tuple(event for event in batch.events if event.event_id not in spent)
        return claims

    def _try(self, batch: Batch, event: ScheduleEvent, now: int) -> Sequence[Claim]:
        record = self._tries.get(event.event_id)
        if record is None:
            return []  # it became due while others were read: the next claim takes it
        if record.tries > record.times:
            self._log.error(
                "one-shot %s of %s is given up: its last try was cut short", event.event_id, event.action
            )
            self.remove(batch, event.event_id)
            return []
        record = replace(record, tries=record.tries + 1)
        self._note(batch, event.event_id, record)
        self._move(batch, event, now + self._patience(event.action) + _delay(record))
        fire = ScheduledFire("at", event.event_id, None, event.timestamp, now, record.tries)
        args = EMPTY_ARRAY if event.args is None else event.args
        return [Claim(fire, event.action, args, partial(self._finish, event))]

    async def _finish(self, event: ScheduleEvent, failure: RivetError | None) -> None:
        def settle(batch: Batch) -> None:
            record = self._tries.get(event.event_id)
            if failure is None or record is None:
                self.remove(batch, event.event_id)
            elif record.tries > record.times:
                self._log.error("one-shot %s of %s is given up", event.event_id, event.action)
                self.remove(batch, event.event_id)
            else:
                self._move(batch, event, time_ms(self._clock) + _delay(record))

        await self._commit(settle)

    def _move(self, batch: Batch, event: ScheduleEvent, timestamp: int) -> None:
        others = [other for other in batch.events if other.event_id != event.event_id]
        if len(others) < len(batch.events):  # it may have been cancelled meanwhile
            batch.events = _sorted([*others, replace(event, timestamp=timestamp)])

    def _note(self, batch: Batch, event_id: str, record: RetryRecord) -> None:
        batch.put(retry_key(event_id), encode_retry(record))
        batch.then(partial(self._tries.__setitem__, event_id, record))

    def _read(self, event_id: str, data: bytes | None) -> RetryRecord:
        try:
            if data is not None:
                return decode_retry(data)
        except ProtocolError as failure:
            self._log.error("the retries of one-shot %s cannot be read: %s", event_id, failure)
        return RetryRecord(0, 0, 1, 1)


def _first(events: Sequence[ScheduleEvent]) -> int | None:
    return events[0].timestamp if events else None


def _delay(record: RetryRecord) -> int:
    return min(record.max_delay, record.delay * 2 ** min(record.tries - 1, 30))


def _sorted(events: Sequence[ScheduleEvent]) -> tuple[ScheduleEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.timestamp, event.event_id)))
