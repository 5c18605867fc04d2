"""Deduplication keys: a message whose key was seen within the window is not stored again.

    70 79 02 + sha256(queue name, key)[:16]      u16 version (1), u64 message id, i64 end of the window (ms)

These records stand beside the queue's own, so that plain queues store nothing of theirs. A key is written
in the same moment as its message. Callers hold the queue's lock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice

from rivetkit_core.errors import ProtocolError
from rivetkit_core.host.port import ActorStorage, prefix_end
from rivetkit_core.wire.bare import Reader, Writer

_PREFIX = b"\x70\x79\x02"
_VERSION = 1
_CLEANUP = 20  # expired keys that are deleted beside one new one


@dataclass(frozen=True, slots=True)
class Seen:
    """Which message a key belongs to, and when the key may be used again."""

    message_id: int
    until: int


class Duplicates:
    """The keys of one actor. Read from storage when first asked."""

    def __init__(self, storage: ActorStorage) -> None:
        self._storage = storage
        self._seen: dict[bytes, Seen] | None = None

    async def find(self, name: str, key: str, now: int) -> int | None:
        """The message that was sent with this key, unless its window is over."""
        if self._seen is None:
            stored = await self._storage.list(_PREFIX)
            self._seen = {record: seen for record, value in stored if (seen := _decode(value)) is not None}
        seen = self._seen.get(_record_key(name, key))
        return None if seen is None or seen.until <= now else seen.message_id

    def expired(self, now: int) -> list[bytes]:
        """Records to delete when the next one is written."""
        seen = self._seen or {}
        return list(islice((record for record, one in seen.items() if one.until <= now), _CLEANUP))

    def record(self, name: str, key: str, seen: Seen) -> dict[bytes, bytes]:
        """What to write beside a message; ``remember`` must follow."""
        writer = Writer()
        writer.u16(_VERSION)
        writer.u64(seen.message_id)
        writer.i64(seen.until)
        return {_record_key(name, key): writer.finish()}

    def remember(self, name: str, key: str, seen: Seen, expired: list[bytes]) -> None:
        """Follow a write that succeeded."""
        assert self._seen is not None
        for record in expired:
            self._seen.pop(record, None)
        self._seen[_record_key(name, key)] = seen

    async def clear(self) -> None:
        """Forget every key."""
        await self._storage.delete_range(_PREFIX, prefix_end(_PREFIX))
        self._seen = {}


def _record_key(name: str, key: str) -> bytes:
    spelled = f"{len(name)}:{name}{key}".encode("utf-8", "surrogatepass")
    return _PREFIX + hashlib.sha256(spelled).digest()[:16]


def _decode(value: bytes) -> Seen | None:
    try:
        reader = Reader(value)
        return Seen(reader.u64(), reader.i64()) if reader.u16() == _VERSION else None
    except ProtocolError:
        return None
