"""What one client said and its actor has not acknowledged, in order, to be told again (actor-runtime 9.5).

How much there is, is bounded by who reads: a session stops reading a client that is too far ahead.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from rivetkit_core.wire.message_index import following, is_later

T = TypeVar("T")


class Replay(Generic[T]):
    """Messages by number, from the one after ``last`` on and around the wrap."""

    def __init__(self, last: int = 0) -> None:
        self.received_index = last
        self._last = last
        self._told: deque[tuple[int, T]] = deque()
        self._untold: deque[tuple[int, T]] = deque()

    def __len__(self) -> int:
        """How many can be taken."""
        return len(self._untold)

    def add(self, message: T) -> None:
        """The client said something."""
        self._last = following(self._last)
        self._untold.append((self._last, message))

    def take(self) -> T:
        """The next message for this generation; ``received_index`` is its number then."""
        entry = self._untold.popleft()
        self._told.append(entry)
        self.received_index = entry[0]
        return entry[1]

    def ack(self, index: int) -> None:
        """Everything up to ``index`` is done with."""
        while self._told and not is_later(self._told[0][0], index):
            self._told.popleft()

    def rewind(self) -> None:
        """Begin again with the first message that was not acknowledged."""
        self._untold.extendleft(reversed(self._told))
        self._told.clear()
