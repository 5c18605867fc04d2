"""What one client said and its actor has not acknowledged, in order, to be told again (actor-runtime 9.5).

Sessions stop reading a client that is too far ahead. While an actor goes to sleep they read on and leave what
they read to the next one; ``is_full`` bounds that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from rivetkit_core.wire.message_index import following, is_later

T = TypeVar("T")

_MOST_MESSAGES = 20_000
_MOST_BYTES = 48 * 1024 * 1024


def _nothing(_: object) -> int:
    return 0


class Replay(Generic[T]):
    """Messages by number, from the one after ``last`` on and around the wrap.

    ``size``: how many bytes a message takes.
    """

    def __init__(self, last: int = 0, *, size: Callable[[T], int] = _nothing) -> None:
        self.received_index = last
        self._size = size
        self._bytes = 0
        self._eased = asyncio.Event()
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
        self._bytes += self._size(entry[1])
        self.received_index = entry[0]
        return entry[1]

    @property
    def is_full(self) -> bool:
        """Whether so much was taken and not acknowledged that no more should be taken."""
        return len(self._told) >= _MOST_MESSAGES or self._bytes >= _MOST_BYTES

    async def room(self) -> None:
        """Wait while it is full. Safe to cancel."""
        while self.is_full:
            self._eased.clear()
            await self._eased.wait()

    def ack(self, index: int) -> None:
        """Everything up to ``index`` is done with."""
        while self._told and not is_later(self._told[0][0], index):
            self._bytes -= self._size(self._told.popleft()[1])
        self._eased.set()

    def rewind(self) -> None:
        """Begin again with the first message that was not acknowledged."""
        self._untold.extendleft(reversed(self._told))
        self._told.clear()
        self._bytes = 0
        self._eased.set()
