"""One-shots: actions due once, kept in the actor's snapshot (actor-runtime 8.1).

Invariants
    The snapshot as storage has it is the only list there is; it is sorted by time, then id.
    A claimed one-shot is gone before its action starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.firing import CLAIM_SIZE, Claim, ScheduledFire
from rivetkit_core.wire.cbor import EMPTY_ARRAY
from rivetkit_core.wire.persisted import ScheduleEvent


class OneShots:
    """What is due once. ``stored`` gives the one-shots that storage has."""

    def __init__(self, stored: Callable[[], tuple[ScheduleEvent, ...]]) -> None:
        self._stored = stored

    def all(self) -> tuple[ScheduleEvent, ...]:
        """Every pending one-shot, in the order in which they are due."""
        return self._stored()

    def get(self, event_id: str) -> ScheduleEvent | None:
        """A pending one-shot."""
        return next((event for event in self._stored() if event.event_id == event_id), None)

    def add(self, batch: Batch, event: ScheduleEvent) -> None:
        """Put it among the others."""
        batch.events = _sorted([*batch.events, event])

    def remove(self, batch: Batch, event_id: str) -> bool:
        """Take it out; whether it was there."""
        kept = tuple(event for event in batch.events if event.event_id != event_id)
        if len(kept) == len(batch.events):
            return False
        batch.events = kept
        return True

    def next_at(self, after: int | None) -> int | None:
        for event in self._stored():
            if after is None or event.timestamp > after:
                return event.timestamp
        return None

    async def prepare(self, now: int) -> None:
        return None

    def claim(self, batch: Batch, now: int) -> Sequence[Claim]:
        due = [event for event in batch.events[:CLAIM_SIZE] if event.timestamp <= now]
        if due:
            batch.events = batch.events[len(due) :]
        return [_claim(event, now) for event in due]


def _claim(event: ScheduleEvent, now: int) -> Claim:
    fire = ScheduledFire("at", event.event_id, None, event.timestamp, now)
    return Claim(fire, event.action, EMPTY_ARRAY if event.args is None else event.args)


def _sorted(events: Sequence[ScheduleEvent]) -> tuple[ScheduleEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.timestamp, event.event_id)))
