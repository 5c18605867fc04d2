"""The tables of the data file, and the checks a file must pass before anything is written to it.

    actors    one row per actor that ever existed; a living actor's (namespace, name, key) is unique
    records   the records of all living actors

The version is SQLite's ``user_version``; ``application_id`` tells our files from other programs'.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.embedded.failures import corrupt

VERSION = 1
_APPLICATION_ID = 0x52564B54  # "RVKT"
_HEADER = b"SQLite format 3\x00"

_TABLES = (
    """
    CREATE TABLE actors (
        actor_id TEXT NOT NULL PRIMARY KEY,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        key TEXT,
        create_ts INTEGER NOT NULL,
        start_ts INTEGER,
        connectable_ts INTEGER,
        sleep_ts INTEGER,
        destroy_ts INTEGER,
        alarm_ts INTEGER,
        generation INTEGER NOT NULL,
        region TEXT NOT NULL,
        crash_policy TEXT NOT NULL,
        runner_name TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE UNIQUE INDEX actors_by_living_key ON actors (namespace, name, key)
    WHERE destroy_ts IS NULL AND key IS NOT NULL
    """,
    "CREATE INDEX actors_by_age ON actors (namespace, name, create_ts, actor_id)",
    "CREATE INDEX actors_by_alarm ON actors (alarm_ts, actor_id) WHERE alarm_ts IS NOT NULL",
    """
    CREATE TABLE records (
        actor_id TEXT NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (actor_id, key)
    ) STRICT, WITHOUT ROWID
    """,
)


def examine(path: Path, *, integrity_check: bool) -> None:
    """Refuse a file that is damaged, newer or not ours, without changing a byte of it.

    Without a write-ahead log nothing is created beside it either. A log left by a killed process is read.

    Raises:
        StorageError: ``storage.corrupt`` or ``storage.newer_schema``.
        sqlite3.Error: The file cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise corrupt(path, "it is not an SQLite database")
    with _looking_at(path) as connection:
        _require_ours(path, connection)
        if integrity_check:
            finding = _one(connection, "PRAGMA quick_check(1)")
            if finding != "ok":
                raise corrupt(path, " ".join(str(finding).split()))


def create(connection: sqlite3.Connection) -> None:
    """Make the tables if the database has none, all or nothing.

    Raises:
        sqlite3.Error: The database cannot be written, even if nothing had to be.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _one(connection, "PRAGMA user_version") != VERSION:
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _looking_at(path: Path) -> Generator[sqlite3.Connection]:
    log = path.with_name(path.name + "-wal")
    index = path.with_name(path.name + "-shm")
    logged = log.exists() and log.stat().st_size > 0
    had_index = index.exists()
    mode = "mode=ro" if logged else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            yield connection
    finally:
        if logged and not had_index:
            index.unlink(missing_ok=True)


def _require_ours(path: Path, connection: sqlite3.Connection) -> None:
    version = _one(connection, "PRAGMA user_version")
    application = _one(connection, "PRAGMA application_id")
    tables = _one(connection, "SELECT count(*) FROM sqlite_schema")
    if (version, application, tables) == (0, 0, 0):
        return  # a process died between making the file and making its tables
    if application != _APPLICATION_ID:
        raise corrupt(path, "it is the SQLite database of another program")
    if not isinstance(version, int) or version > VERSION:
        raise _newer(path, version)


def _newer(path: Path, found: object) -> RivetError:
    return error("storage.newer_schema", path=str(path), found=found, known=VERSION)


def _one(connection: sqlite3.Connection, statement: str) -> object:
    row: tuple[object, ...] = connection.execute(statement).fetchone()
    return row[0]
