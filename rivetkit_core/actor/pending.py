"""Records that wait to be stored together with the state.

Invariants
    A key is here once, with its last value; None means that it is to be deleted.
    What a failed save took comes back, unless it was written anew meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rivetkit_core.host.port import WriteLimit

Entries = dict[bytes, bytes | None]


class PendingRecords:
    """Writes between two saves of one actor.

    Args:
        limit: What one write of the host takes, beside a state record.
    """

    def __init__(self, limit: WriteLimit | None = None) -> None:
        self.limit = WriteLimit() if limit is None else limit
        self._entries: Entries = {}
        self._taken: Entries = {}
        self._size = 0  # at least what the entries take: a key that is written again counts twice
        self._followers: list[Callable[[], None]] = []
        self._taken_followers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._entries) + len(self._taken)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries or key in self._taken

    def get(self, key: bytes) -> bytes | None:
        """What waits for a key; None if it waits to be deleted.

        Raises:
            KeyError: Nothing waits for it.
        """
        return self._entries[key] if key in self._entries else self._taken[key]

    def takes(self, changes: Mapping[bytes, bytes | None]) -> bool:
        """Whether these changes fit in beside what waits already."""
        count, size = len(self._taken) + len(self._entries) + len(changes), self._size + _size(changes)
        if count <= self.limit.keys and size <= self.limit.size:
            return True
        entries: Entries = {**self._taken, **self._entries, **changes}
        return len(entries) <= self.limit.keys and _size(entries) <= self.limit.size

    def add(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Let changes wait, in place of earlier ones to the same keys."""
        self._entries.update(changes)
        self._size += _size(changes)

    def between(self, start: bytes, end: bytes) -> Entries:
        """What waits for keys from ``start`` up to, not including, ``end``."""
        entries: Entries = {**self._taken, **self._entries}
        return {key: value for key, value in entries.items() if start <= key < end}

    def then(self, follow: Callable[[], None]) -> None:
        """Call it when everything that waits now is durable."""
        self._followers.append(follow)

    def take(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """What is to be stored now, as puts and deletes; ``stored`` or ``failed`` must follow."""
        self._taken, self._entries = self._entries, {}
        self._taken_followers, self._followers = self._followers, []
        puts = {key: value for key, value in self._taken.items() if value is not None}
        return puts, [key for key, value in self._taken.items() if value is None]

    def stored(self) -> None:
        """What was taken is durable."""
        followers, self._taken, self._taken_followers = self._taken_followers, {}, []
        self._size = _size(self._entries)
        for follow in followers:
            follow()

    def failed(self) -> None:
        """What was taken was not stored and waits again."""
        self._entries = {**self._taken, **self._entries}
        self._followers = [*self._taken_followers, *self._followers]
        self._taken, self._taken_followers = {}, []


def _size(entries: Mapping[bytes, bytes | None]) -> int:
    return sum(size_of(key, value) for key, value in entries.items())


def size_of(key: bytes, value: bytes | None) -> int:
    """What a record takes of a write; None is deleted."""
    return len(key) + key.count(0) + 2 + len(value or b"")
