"""One actor's SQLite file: how it is opened, and what statements may do there.

Everything here blocks and runs in a thread of ``databases``. An actor's statements reach its own file and no
other: attaching, loading extensions and the pragmas that reach further are refused by SQLite itself, beside
what the core refuses by looking at the text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rivetkit_core.actor.sql_text import is_pragma_allowed, split
from rivetkit_core.host.port import MAX_SQL_RESULT, SqlResult, SqlStatement, SqlValue
from rivetkit_core.host.sql_failure import refused, row_size, too_large

_ROWS = 256
_INSTRUCTIONS = 10_000
"""Of SQLite's machine, between two looks at whether to go on."""
_TEMPORARY = frozenset(
    {
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
    }
)
_LONGEST = 1_000_000_000  # SQLite's own limit for a blob
_T = TypeVar("_T")


class DatabaseFile:
    """An open database. One thread at a time.

    Attributes:
        keeps: Whether the connection holds what the file does not: temporary tables, settings.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.keeps = False
        self._interrupted = False
        self._trusted = False
        [(self._flushing,)] = connection.execute("PRAGMA synchronous").fetchall()
        connection.set_progress_handler(lambda: self._interrupted, _INSTRUCTIONS)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_SQL_RESULT)
        connection.set_authorizer(self._authorize)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def resume(self) -> None:
        """Let statements run again after an ``interrupt``."""
        self._interrupted = False

    def interrupt(self) -> None:
        """End the statement under way, and whatever comes before ``resume``; from any thread."""
        self._interrupted = True
        self._connection.interrupt()

    def execute(self, statement: SqlStatement) -> SqlResult:
        """Run one statement."""
        return _translated(lambda: self._run(statement))

    def execute_batch(self, statements: Sequence[SqlStatement]) -> tuple[SqlResult, ...]:
        """Run statements in one transaction."""
        return _translated(lambda: self._batch(statements))

    def script(self, sql: str) -> None:
        """Run statements until one fails."""
        for statement in split(sql):
            self.execute(SqlStatement(statement))

    # --- commits together with records -----------------------------------------------------------

    def begin_joint(self) -> bool:
        """Open a transaction for ``commit_joint``; False if its commit could be refused."""
        return _translated(self._begin_joint)

    def commit_joint(self, number: int, changes: bytes) -> None:
        """Commit, with a note of what has to be written elsewhere now. It replaces the note before."""
        _translated(lambda: self._commit_joint(number, changes))

    def joint_commits(self) -> list[tuple[int, bytes]]:
        """The notes that are there, by their numbers."""
        return _translated(self._joint_commits)

    def _begin_joint(self) -> bool:
        with self._trusting() as connection:
            deferring = connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE sql LIKE '%DEFERRABLE%' OR sql LIKE '%DEFERRED%'"
            ).fetchone()
            if deferring is not None:
                return False
            connection.execute("PRAGMA defer_foreign_keys = OFF")
            # The records follow this commit, and must never be on the disk without it.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN")
            return True

    def _commit_joint(self, number: int, changes: bytes) -> None:
        with self._trusting() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS _rivet_commits (number INTEGER PRIMARY KEY, changes BLOB) STRICT"
            )
            connection.execute("DELETE FROM _rivet_commits")
            connection.execute("INSERT INTO _rivet_commits VALUES (?, ?)", (number, changes))
            connection.execute("COMMIT")
            connection.execute(f"PRAGMA synchronous = {self._flushing}")

    def _joint_commits(self) -> list[tuple[int, bytes]]:
        with self._trusting() as connection:
            found = connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_rivet_commits'"
            ).fetchone()
            if found is None:
                return []
            return connection.execute("SELECT number, changes FROM _rivet_commits ORDER BY number").fetchall()

    @contextmanager
    def _trusting(self) -> Generator[sqlite3.Connection]:
        """The connection for the runtime's own statements, which actors may not run."""
        self._trusted = True
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        try:
            yield self._connection
        finally:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_SQL_RESULT)
            self._trusted = False

    # --- inside ---------------------------------------------------------------------------------

    def serialize(self) -> bytes:
        """The whole database."""
        self._connection.set_authorizer(None)
        [(pages,)] = self._connection.execute("PRAGMA page_count")
        return self._connection.serialize() if pages else b""

    def close(self) -> None:
        """Let go; what is open is rolled back."""
        self._connection.close()

    def _run(self, statement: SqlStatement) -> SqlResult:
        cursor = self._connection.execute(statement.sql, statement.params or ())
        rows = _fetched(cursor)
        columns = tuple(column[0] for column in cursor.description or ())
        changes, row_id = self._connection.execute("SELECT changes(), last_insert_rowid()").fetchone()
        return SqlResult(columns, rows, changes, row_id)

    def _batch(self, statements: Sequence[SqlStatement]) -> tuple[SqlResult, ...]:
        # Outside of a transaction a savepoint is one.
        self._connection.execute("SAVEPOINT _rivet_batch")
        try:
            results = tuple(self._run(statement) for statement in statements)
            self._connection.execute("RELEASE _rivet_batch")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO _rivet_batch")
                self._connection.execute("RELEASE _rivet_batch")
            raise
        return results

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if self._trusted:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_ATTACH:  # VACUUM attaches a nameless temporary file
            return sqlite3.SQLITE_OK if first == "" else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA:
            return self._authorize_pragma(first or "", second)
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
            return sqlite3.SQLITE_DENY
        if action in _TEMPORARY:
            self.keeps = True
        return sqlite3.SQLITE_OK

    def _authorize_pragma(self, name: str, argument: str | None) -> int:
        if not is_pragma_allowed(name, argument):
            return sqlite3.SQLITE_DENY
        self.keeps = self.keeps or argument is not None
        return sqlite3.SQLITE_OK


def open_file(path: str, *, full_sync: bool) -> DatabaseFile:
    """Open a database file, made if it is missing.

    Raises:
        sqlite3.Error: It cannot be opened, or is no database.
    """
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
        return DatabaseFile(connection)
    except BaseException:
        connection.close()
        raise


def open_image(image: bytes) -> DatabaseFile:
    """Open what ``serialize`` gave, in memory; empty for a new database."""
    connection = _connect(":memory:")
    if image:
        connection.deserialize(image)
    return DatabaseFile(connection)


def _connect(database: str) -> sqlite3.Connection:
    return sqlite3.connect(
        database, isolation_level=None, check_same_thread=False, cached_statements=128, timeout=5.0
    )


def _fetched(cursor: sqlite3.Cursor) -> tuple[tuple[SqlValue, ...], ...]:
    rows: list[tuple[SqlValue, ...]] = []
    size = 0
    while page := cursor.fetchmany(_ROWS):
        rows += page
        size += sum(map(row_size, page))
        if size > MAX_SQL_RESULT:
            cursor.close()
            raise too_large()
    return tuple(rows)


def _translated(run: Callable[[], _T]) -> _T:
    try:
        return run()
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as failure:
        raise refused(str(failure)) from failure
