"""Records that wait to be stored together with the state.

Invariants
    A key is here once, with its last value; None means that it is to be deleted.
    What a failed save took comes back, unless it was written anew meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_MAX_KEYS = 127
_MAX_BYTES = 768 * 1024
"""What fits into one write of every host, beside a state record."""

Entries = dict[bytes, bytes | None]


class PendingRecords:
    """Writes between two saves of one actor."""

    def __init__(self) -> None:
        self._entries: Entries = {}
        self._taken: Entries = {}

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
        return _fits({**self._taken, **self._entries, **changes})

    def add(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Let changes wait, in place of earlier ones to the same keys."""
        self._entries.update(changes)

    def take(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """What is to be stored now, as puts and deletes; ``stored`` or ``failed`` must follow."""
        self._taken, self._entries = self._entries, {}
        puts = {key: value for key, value in self._taken.items() if value is not None}
        return puts, [key for key, value in self._taken.items() if value is None]

    def stored(self) -> None:
        """What was taken is durable."""
        self._taken = {}

    def failed(self) -> None:
        """What was taken was not stored and waits again."""
        self._entries = {**self._taken, **self._entries}
        self._taken = {}


def room_beside(puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> tuple[int, int]:
    """How many more records, and bytes of them, fit into the write that these go into."""
    used = sum(_sizes([*puts.items(), *((key, None) for key in deletes)]))
    return _MAX_KEYS - len(puts) - len(deletes), _MAX_BYTES - used


def _fits(entries: Entries) -> bool:
    return len(entries) <= _MAX_KEYS and sum(_sizes(entries.items())) <= _MAX_BYTES


def _sizes(items: Iterable[tuple[bytes, bytes | None]]) -> Iterable[int]:
    return (len(key) + key.count(0) + 2 + len(value or b"") for key, value in items)
