"""Actor records in SQL: many changes of many actors in as few statements as possible.

Each statement gives up the interpreter lock and may wait for it again, so under load the number of
statements decides the throughput, not their size.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

_ROWS = 100  # per statement; SQLite of any age takes 999 parameters


@dataclass(frozen=True, slots=True)
class Change:
    """What one ``apply`` asked for. A key both put and deleted is deleted.

    Attributes:
        flushed: Whether it has to be on the disk when it is done, whatever the store does otherwise.
    """

    actor_id: str
    puts: Mapping[bytes, bytes]
    deletes: Sequence[bytes]
    flushed: bool = False


Statement = tuple[str, list[str | bytes]]


def statements(changes: Iterable[Change]) -> list[Statement]:
    """SQL with its parameters that makes the changes as if in order; they belong into one transaction."""
    puts: dict[tuple[str, bytes], bytes] = {}
    deletes: dict[tuple[str, bytes], None] = {}
    for change in changes:
        for key, value in change.puts.items():
            puts[change.actor_id, key] = value
            deletes.pop((change.actor_id, key), None)
        for key in change.deletes:
            deletes[change.actor_id, key] = None
            puts.pop((change.actor_id, key), None)
    made: list[Statement] = []
    for rows in _chunks((actor_id, key, value) for (actor_id, key), value in puts.items()):
        places = ",".join(["(?,?,?)"] * len(rows))
        made.append((f"REPLACE INTO records (actor_id, key, value) VALUES {places}", _flat(rows)))  # noqa: S608 - places only
    for rows in _chunks(deletes):
        # Spelled out because SQLite scans the whole table for "(actor_id, key) IN (VALUES ...)".
        places = " OR ".join(["(actor_id = ? AND key = ?)"] * len(rows))
        made.append((f"DELETE FROM records WHERE {places}", _flat(rows)))  # noqa: S608 - places only
    return made


def write(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Make changes in order, within the caller's transaction."""
    for statement, parameters in statements(changes):
        connection.execute(statement, parameters)


def read(connection: sqlite3.Connection, actor_id: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Values of those keys that exist, as of one moment."""
    found: dict[bytes, bytes] = {}
    own_transaction = len(keys) > _ROWS and not connection.in_transaction
    if own_transaction:
        connection.execute("BEGIN")
    try:
        for chunk in _chunks((key,) for key in keys):
            places = ",".join("?" * len(chunk))
            statement = f"SELECT key, value FROM records WHERE actor_id = ? AND key IN ({places})"  # noqa: S608 - places only
            found.update(connection.execute(statement, (actor_id, *_flat(chunk))).fetchall())
    finally:
        if own_transaction:
            connection.execute("COMMIT")
    return found


def read_range(
    connection: sqlite3.Connection,
    actor_id: str,
    span: tuple[bytes, bytes],
    *,
    reverse: bool,
    limit: int | None,
) -> list[tuple[bytes, bytes]]:
    """Records from the start up to, not including, the end of the span."""
    order = "DESC" if reverse else "ASC"
    where = "actor_id = ? AND key >= ? AND key < ?"
    statement = f"SELECT key, value FROM records WHERE {where} ORDER BY key {order} LIMIT ?"  # noqa: S608 - no values
    return connection.execute(statement, (actor_id, *span, -1 if limit is None else limit)).fetchall()


def delete_range(connection: sqlite3.Connection, actor_id: str, span: tuple[bytes, bytes]) -> None:
    """Forget what ``read_range`` would find, within the caller's transaction."""
    connection.execute("DELETE FROM records WHERE actor_id = ? AND key >= ? AND key < ?", (actor_id, *span))


def delete_all(connection: sqlite3.Connection, actor_id: str) -> None:
    """Forget every record of an actor, within the caller's transaction."""
    connection.execute("DELETE FROM records WHERE actor_id = ?", (actor_id,))


def _chunks(rows: Iterable[tuple[str | bytes, ...]]) -> Iterator[list[tuple[str | bytes, ...]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, _ROWS)):
        yield chunk


def _flat(rows: Iterable[tuple[str | bytes, ...]]) -> list[str | bytes]:
    return [column for row in rows for column in row]
