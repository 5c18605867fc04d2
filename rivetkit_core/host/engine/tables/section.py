"""The part of an actor's records that one table, or a few of one kind, hold.

A section turns keys and values, as the core writes them, into statements and back. It runs nothing itself, so
that what concerns several sections is one batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rivetkit_core.host.engine.tables.statements import NOTHING, Query, blob, marks, statement, upsert
from rivetkit_core.host.port import Records, SqlResult, SqlStatement, prefix_end


class Section(Protocol):
    """Which keys are its own, how they are read, and how they are changed."""

    def owns(self, key: bytes) -> bool:
        """Whether a record with this key is kept here."""
        ...

    def read(self, keys: Sequence[bytes]) -> Query:
        """Those of its keys that exist."""
        ...

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        """Its records from ``start`` up to, not including, ``end``. -1 is no limit; more do no harm."""
        ...

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        """What writes and deletes records of its own. Running it twice is running it once."""
        ...

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        """What deletes its records of a range."""
        ...

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """The last ``change`` is durable."""
        ...

    def doubt(self) -> None:
        """Nobody knows whether the last ``change`` or ``wipe`` was made."""
        ...


class KeyedTable:
    """Records kept as they are, in a table of keys and values.

    Args:
        prefix: What its keys begin with.
    """

    def __init__(self, table: str, prefix: bytes) -> None:
        self._table = table
        self._prefix = prefix

    def owns(self, key: bytes) -> bool:
        return key.startswith(self._prefix)

    def read(self, keys: Sequence[bytes]) -> Query:
        if not keys:
            return NOTHING
        sql = f"SELECT key, value FROM {self._table} WHERE key IN ({marks(keys)})"
        return Query((statement(sql, *keys),), _records)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        first, after = self._clipped(start, end)
        if first >= after:
            return NOTHING
        order = "DESC" if reverse else "ASC"
        sql = f"SELECT key, value FROM {self._table} WHERE key >= ? AND key < ? ORDER BY key {order} LIMIT ?"
        return Query((statement(sql, first, after, limit),), _records)

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        put = upsert(self._table, "key", "value")
        written = [statement(put, key, value) for key, value in puts.items()]
        return [*written, *(statement(f"DELETE FROM {self._table} WHERE key = ?", key) for key in deletes)]

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        first, after = self._clipped(start, end)
        if first >= after:
            return ()
        return [statement(f"DELETE FROM {self._table} WHERE key >= ? AND key < ?", first, after)]

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Nothing is remembered."""

    def doubt(self) -> None:
        """Nothing is remembered."""

    def _clipped(self, start: bytes, end: bytes) -> tuple[bytes, bytes]:
        last = prefix_end(self._prefix) if self._prefix else end
        return max(start, self._prefix), min(end, last)


def _records(results: Sequence[SqlResult]) -> Records:
    return [(blob(key), blob(value)) for key, value in results[0].rows]
