"""What the server let its clients know, and whether a restarted server keeps to it.

    Ledger    one actor: what was sent to it, what it acknowledged or showed, what it had stored
    Census    which actors were created and destroyed

Invariants
    A position that any client learned of belongs to one entry for good, as long as it is not lost.
    What a restart once showed as stored never changes and never goes away.

Knows nothing of transports or processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Entry = tuple[str, int]
"""A client's name and its running number, which starts at 1 and is sent once."""


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry some client heard of, and the monotonic time of the first it heard."""

    entry: Entry
    at: float


class Ledger:
    """Judge of one actor."""

    def __init__(self, title: str, *, strict: bool) -> None:
        self.title = title
        self.strict = strict
        self.generation = 0
        self._sent: Counter[str] = Counter()
        self._known: dict[int, Known] = {}
        self._stored: list[Entry] = []
        self._unverified = False

    @property
    def promised(self) -> bool:
        """Whether anybody heard anything from this actor."""
        return bool(self._known or self._stored)

    @property
    def pending(self) -> bool:
        """Whether something was sent to it since it was last verified."""
        return self._unverified

    def sending(self, entry: Entry) -> None:
        """Record a call before it is made; the numbers of one client follow each other."""
        client, number = entry
        assert number == self._sent[client] + 1
        self._sent[client] = number
        self._unverified = True

    def know(self, entry: Entry, position: int, at: float) -> None:
        """Record what a reply or an event said.

        Raises:
            Broken: The position belongs to another entry.
        """
        if position <= len(self._stored):
            raise self._broken(f"{entry} got position {position}, which was taken before the start")
        known = self._known.setdefault(position, Known(entry, at))
        if known.entry != entry:
            raise self._broken(f"position {position} was given to {known.entry} and to {entry}")

    def restart(self, generation: int) -> None:
        """Check the generation of a new start.

        Raises:
            Broken: It did not grow.
        """
        if generation <= self.generation:
            raise self._broken(f"generation {generation} follows {self.generation}")
        self.generation = generation

    def verify(self, found: Sequence[Entry], *, lossless_until: float) -> list[float]:
        """Compare what a restarted actor holds with the promises made, and start over from there.

        Args:
            found: Every entry it holds, in order.
            lossless_until: An actor that is not strict may have lost what became known after this moment.

        Returns:
            When each entry that is lost had become known; empty for a strict actor.

        Raises:
            Broken: Something promised is missing, or something is there that cannot be.
        """
        if list(found[: len(self._stored)]) != self._stored:
            raise self._broken("entries stored before an earlier kill have changed")
        self._check_origin(found)
        lost: list[float] = []
        for position, known in sorted(self._known.items()):
            if position > len(found):
                if self.strict:
                    raise self._broken(f"{known.entry} at {position} is missing")
                if known.at < lossless_until:
                    early = lossless_until - known.at
                    raise self._broken(f"{known.entry} at {position} is missing, {early:.3f} s too old to be")
                lost.append(known.at)
            elif found[position - 1] != known.entry:
                raise self._broken(f"{position} holds {found[position - 1]}, but was {known.entry}")
        self._known.clear()
        self._unverified = False
        self._stored = list(found)
        return lost

    def _check_origin(self, found: Sequence[Entry]) -> None:
        numbers: Counter[str] = Counter()
        for client, number in found:
            if number > self._sent[client]:
                raise self._broken(f"{client} never sent {number}")
            if number != numbers[client] + 1:
                raise self._broken(f"of {client}, {number} follows {numbers[client]}")
            numbers[client] = number

    def _broken(self, what: str) -> Broken:
        return Broken(f"{self.title}: {what}")


@dataclass(frozen=True, slots=True)
class Placement:
    """An actor as the manager API lists it."""

    key: str
    destroyed: bool


@dataclass
class Census:
    """Judge of creations and destructions, all of one actor name."""

    attempted: set[str] = field(default_factory=set[str])
    created: dict[str, str] = field(default_factory=dict[str, str])
    destroying: set[str] = field(default_factory=set[str])
    destroyed: set[str] = field(default_factory=set[str])

    def verify(self, listed: Mapping[str, Placement]) -> None:
        """Compare with every actor there ever was, by id.

        Raises:
            Broken: One is missing, is back, is gone unasked, was never asked for, or shares its key.
        """
        for actor_id, key in self.created.items():
            if actor_id not in listed or listed[actor_id].key != key:
                raise Broken(f"actor {key} was created as {actor_id} and is not there")
        live: set[str] = set()
        for actor_id, placement in listed.items():
            if placement.key not in self.attempted:
                raise Broken(f"nobody asked for an actor {placement.key}")
            if placement.destroyed and actor_id not in self.destroying:
                raise Broken(f"nobody asked to destroy actor {placement.key}")
            if not placement.destroyed and actor_id in self.destroyed:
                raise Broken(f"actor {placement.key} was destroyed and is back")
            if not placement.destroyed and placement.key in live:
                raise Broken(f"two actors live under the key {placement.key}")
            if not placement.destroyed:
                live.add(placement.key)
