"""Credit of streamed bodies, as plain arithmetic (envoy-protocol 6.3).

Both sides report how many bytes were consumed in all; a sender may be at most one window ahead of that.
Nothing here waits or sends.
"""

from __future__ import annotations

from collections import deque

RECEIVE_WINDOW = 1024 * 1024
"""Bytes of a request that the engine may send without their having been consumed."""
SEND_WINDOW = 768 * 1024
"""Bytes of a response that are sent without their having been consumed.

The engine allows 1 MiB, but reports a chunk as consumed a moment before the chunk leaves its buffer: a
sender that uses all of it fills the buffer sooner or later, and the response is cut (measured on 2.3.19).
"""
SEND_CHUNKS = 256
"""Chunks that are sent without their having been consumed: thousands of tiny ones choke the engine."""
CHUNK = 64 * 1024
"""The longest chunk of a streamed body, and how much consumption is worth a report."""


class SendWindow:
    """How much of a response may be sent now."""

    def __init__(self) -> None:
        self._sent = 0
        self._consumed = 0
        self._ends: deque[int] = deque()

    def take(self, wanted: int) -> int:
        """Bytes of the next chunk: at most ``wanted``, zero while there is no credit. They count as sent."""
        granted = min(wanted, CHUNK, self._consumed + SEND_WINDOW - self._sent)
        if granted <= 0 or len(self._ends) >= SEND_CHUNKS:
            return 0
        self._sent += granted
        self._ends.append(self._sent)
        return granted

    def credit(self, consumed: int) -> None:
        """The peer consumed so much in all. Going back, or more than was sent, grants nothing."""
        self._consumed = max(self._consumed, min(consumed, self._sent))
        while self._ends and self._ends[0] <= self._consumed:
            self._ends.popleft()


class ReceiveWindow:
    """How much of a request may arrive, and when to say what was consumed."""

    def __init__(self) -> None:
        self._arrived = 0
        self._consumed = 0
        self._reported = 0

    def arrive(self, size: int) -> bool:
        """Count what arrived; False when the peer sent more than it had credit for."""
        self._arrived += size
        return self._arrived <= self._reported + RECEIVE_WINDOW

    def consume(self, size: int) -> int | None:
        """Count what the handler took. The total to report now, or None to keep it for later.

        Reported are steps of a chunk or more, and every time nothing is left to take.
        """
        self._consumed += size
        drained = self._consumed == self._arrived
        if self._consumed - self._reported >= CHUNK or (drained and self._consumed > self._reported):
            self._reported = self._consumed
            return self._consumed
        return None
