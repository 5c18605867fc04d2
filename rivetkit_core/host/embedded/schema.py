"""Tables of the embedded store, and the checks a file must pass before anything is written to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rivetkit_core.errors import StorageError, error

SCHEMA_VERSION = 1
_MAGIC = b"SQLite format 3\x00"

_TABLES = """
CREATE TABLE actors (
    actor_id       TEXT PRIMARY KEY,
    namespace      TEXT NOT NULL,
    name           TEXT NOT NULL,
    key            TEXT,
    generation     INTEGER NOT NULL DEFAULT 0,
    create_ts      INTEGER NOT NULL,
    start_ts       INTEGER,
    connectable_ts INTEGER,
    sleep_ts       INTEGER,
    destroy_ts     INTEGER
) STRICT;
CREATE UNIQUE INDEX actors_live_key ON actors (namespace, name, key)
    WHERE destroy_ts IS NULL AND key IS NOT NULL;
CREATE INDEX actors_by_name ON actors (namespace, name, create_ts DESC, actor_id DESC);
CREATE TABLE records (
    actor_id TEXT NOT NULL,
    key      BLOB NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (actor_id, key)
) STRICT, WITHOUT ROWID;
"""


def check_file(path: Path, *, integrity: bool) -> None:
    """Refuse a file that is damaged or too new, without changing a byte of it. A missing file is fine.

    Raises:
        StorageError: ``storage.corrupt`` or ``storage.newer_schema``.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise _corrupt(path, "it is not an SQLite database")
    try:
        # Read-only, so that not even a checkpoint on closing touches a file that is going to be refused.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            _check_open_file(connection, path, integrity=integrity)
        finally:
            connection.close()
    except sqlite3.DatabaseError as failure:
        raise _corrupt(path, str(failure)) from failure


def _check_open_file(connection: sqlite3.Connection, path: Path, *, integrity: bool) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise error("storage.newer_schema", found=version, known=SCHEMA_VERSION)
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise _corrupt(path, "it is the database of another program")
    if integrity:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise _corrupt(path, found[0])


def _corrupt(path: Path, reason: str) -> StorageError:
    one_line = " ".join(reason.split())  # SQLite lists its findings below each other
    failure = error("storage.corrupt", reason=f"{path}: {one_line}")
    assert isinstance(failure, StorageError)
    return failure


def prepare(connection: sqlite3.Connection, *, full_sync: bool) -> None:
    """Set up a connection, and the tables of a new file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
    connection.execute("PRAGMA temp_store = MEMORY")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
