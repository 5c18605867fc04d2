"""What the engine is told of our actors: numbered, batched, repeated until taken (envoy-protocol 5.3).

Invariants
    Indices of one generation only grow. Events stay until the engine acknowledged them.
    What is reported in one turn of the event loop travels in one message: a batch costs the engine as much
    as a single event.
    Only the newest alarm of a generation is kept.
    A finished generation is forgotten when a newer one starts, or when its connection has lived on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from rivetkit_core.wire.envoy.messages import (
    ActorEvent,
    Checkpoint,
    EventEntry,
    Events,
    SetAlarm,
    Stopped,
)

_PINGS_UNTIL_CERTAIN = 2


class _Generation:
    """The events of one generation."""

    def __init__(self, actor_id: str, number: int) -> None:
        self.actor_id = actor_id
        self.number = number
        self.kept: deque[EventEntry] = deque()
        self.finished = False
        self.pings = 0
        self.next_index = 0

    def add(self, event: ActorEvent) -> None:
        if isinstance(event, SetAlarm):
            self.kept = deque(entry for entry in self.kept if not isinstance(entry.event, SetAlarm))
        self.kept.append(EventEntry(Checkpoint(self.actor_id, self.number, self.next_index), event))
        self.next_index += 1
        self.finished = self.finished or isinstance(event, Stopped)


class EventLog:
    """The events of every generation of this process. ``flush`` is called when a message should go out."""

    def __init__(self, schedule_flush: Callable[[], None]) -> None:
        self._schedule_flush = schedule_flush
        self._generations: dict[tuple[str, int], _Generation] = {}
        self._fresh: dict[tuple[str, int], int] = {}

    def report(self, actor_id: str, generation: int, *events: ActorEvent) -> None:
        """Number the events and have them sent. Nothing follows ``Stopped``: later events are dropped."""
        pair = (actor_id, generation)
        log = self._generations.get(pair)
        if log is None:
            log = self._generations[pair] = _Generation(actor_id, generation)
        if log.finished:
            return
        self._fresh.setdefault(pair, log.next_index)
        for event in events:
            log.add(event)
        self._schedule_flush()

    def fresh(self) -> Events | None:
        """What was not sent yet; the caller sends it now."""
        fresh, self._fresh = self._fresh, {}
        return _message(
            entry
            for pair, first in fresh.items()
            if pair in self._generations
            for entry in self._generations[pair].kept
            if entry.checkpoint.index >= first
        )

    def unacknowledged(self) -> Events | None:
        """Everything the engine has not confirmed, for a new connection."""
        self._fresh.clear()
        return _message(entry for log in self._generations.values() for entry in log.kept)

    def acknowledge(self, checkpoints: Iterable[Checkpoint]) -> None:
        """The engine has processed all up to each checkpoint."""
        for checkpoint in checkpoints:
            log = self._generations.get((checkpoint.actor_id, checkpoint.generation))
            while log is not None and log.kept and log.kept[0].checkpoint.index <= checkpoint.index:
                log.kept.popleft()

    def supersede(self, actor_id: str, generation: int) -> None:
        """A generation starts: the engine knows how earlier ones of the actor ended."""
        for pair, log in tuple(self._generations.items()):
            if pair[0] == actor_id and pair[1] < generation and log.finished:
                self._forget(pair)

    def on_ping(self) -> None:
        """The connection is alive: what was sent on it a while ago has arrived."""
        for pair, log in tuple(self._generations.items()):
            if not log.finished or pair in self._fresh:
                continue
            log.pings += 1
            if log.pings >= _PINGS_UNTIL_CERTAIN:
                self._forget(pair)

    def on_link_lost(self) -> None:
        """What was sent lately may not have arrived."""
        for log in self._generations.values():
            log.pings = 0

    def _forget(self, pair: tuple[str, int]) -> None:
        del self._generations[pair]
        self._fresh.pop(pair, None)

    def __len__(self) -> int:
        return len(self._generations)


def _message(entries: Iterable[EventEntry]) -> Events | None:
    collected = tuple(entries)
    return Events(collected) if collected else None
