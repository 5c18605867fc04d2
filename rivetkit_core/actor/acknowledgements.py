"""Which messages of one client are done with, by the numbers its gateway gave them (actor-runtime 9.5).

    begin --> finish --> completed, once everything before is finished too --> stored

Gateways count "up to": to acknowledge a message is to acknowledge all before it. Messages finish in any
order, so what may be acknowledged is where the unbroken row of finished ones ends.

Invariants
    ``completed`` never passes a message that was begun and is not finished.
    A message that an earlier generation finished is not handed out again, also if one before it was not.
    What was not finished when the generation ends is not acknowledged, and comes back to the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from rivetkit_core.wire.message_index import is_later

_MOST_MESSAGES = 16_384
_MOST_BYTES = 32 * 1024 * 1024
"""What one client may have under way; gateways keep it all in memory until it is acknowledged."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message, from its arrival on."""

    index: int
    size: int
    finished: bool = False


class Acknowledgements:
    """The messages of one client.

    Args:
        completed: Where an earlier generation had come to.
        finished: What it finished beyond that.
    """

    def __init__(self, completed: int = 0, finished: Iterable[int] = ()) -> None:
        self.completed = completed
        self._finished_before = set(finished)
        self._open: deque[Delivery] = deque()
        self._unstored: deque[Delivery] = deque()
        self._bytes = 0
        self._eased = asyncio.Event()

    def begin(self, index: int, size: int) -> Delivery | None:
        """Take a message; None if an earlier generation finished it."""
        delivery = Delivery(index, size)
        self._open.append(delivery)
        self._bytes += size
        if index not in self._finished_before:
            return delivery
        self._finished_before.discard(index)
        self.finish(delivery)
        return None

    def finish(self, delivery: Delivery) -> None:
        """Its effects have happened and its answer is on the way."""
        delivery.finished = True
        while self._open and self._open[0].finished:
            done = self._open.popleft()
            self.completed = done.index
            self._unstored.append(done)

    @property
    def beyond(self) -> set[int]:
        """What is finished although something before it is not."""
        return self._finished_before.union(delivery.index for delivery in self._open if delivery.finished)

    def stored(self, completed: int) -> None:
        """``completed`` as it was is durable now."""
        while self._unstored and not is_later(self._unstored[0].index, completed):
            self._bytes -= self._unstored.popleft().size
        self._eased.set()

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits to be stored that it should not wait for its turn."""
        return len(self._unstored) > _MOST_MESSAGES // 4 or self._bytes > _MOST_BYTES // 4

    async def room(self) -> None:
        """Wait while more is under way than a gateway should have to keep."""
        while len(self._open) + len(self._unstored) >= _MOST_MESSAGES or self._bytes >= _MOST_BYTES:
            self._eased.clear()
            await self._eased.wait()
