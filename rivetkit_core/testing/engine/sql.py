"""One actor's SQL database as the engine serves it (envoy-protocol 7.2 and 7.3).

A session belongs to one connection and generation. When another one asks, or the session is ended,
what it had open is rolled back and its temporary tables are gone; the data stays.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence

from rivetkit_core.wire.envoy.messages import SqlError, SqlResult, SqlScriptResult, SqlStatement, SqlValue

MAX_BINDINGS = 131_072
_COUNTS = re.compile(r"uses (\d+), and there are (\d+) supplied")


class ActorSql:
    """Answers statements. ``query`` lets a test look, in a session of nobody."""

    def __init__(self) -> None:
        self._database = _opened(b"")
        self._session: tuple[object, int] | None = None

    def clear(self) -> None:
        self._database.close()
        self._database = _opened(b"")

    def close(self) -> None:
        self._database.close()

    def end_session(self, connection: object = None) -> None:
        """Roll back what is open and forget everything but the data; of ``connection`` only, if given."""
        if self._session is None or connection not in (None, self._session[0]):
            return
        self._session = None
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        [(pages,)] = self._database.execute("PRAGMA page_count")
        data = self._database.serialize() if pages else b""
        self._database.close()
        self._database = _opened(data)

    def enter(self, connection: object, generation: int) -> None:
        """The following statements come from this connection and generation."""
        session = connection, generation
        if session != self._session:
            self.end_session()
            self._session = session

    def query(self, sql: str) -> list[tuple[SqlValue, ...]]:
        """Rows of a statement of a test."""
        return self._database.execute(sql).fetchall()

    def script(self, sql: str) -> SqlScriptResult | SqlError:
        """Run statements until one fails; those before it stay."""
        result = SqlScriptResult((), ())
        try:
            for statement in _statements(sql):
                columns, rows = self._run(statement, ())
                if rows:
                    result = SqlScriptResult(columns, rows)
        except sqlite3.Error as failure:
            return _error(_described(failure, "exec"))
        return result

    def execute(self, statement: SqlStatement) -> SqlResult | SqlError:
        try:
            return self._execute(statement)
        except sqlite3.Error as failure:
            return _error(_described(failure, "execute"))

    def batch(self, statements: Sequence[SqlStatement]) -> tuple[SqlResult, ...] | SqlError:
        """All in one transaction, or none."""
        try:
            self._database.execute("BEGIN")
        except sqlite3.Error as failure:
            return _error(f"begin remote sqlite batch: {failure}")
        try:
            results = tuple(self._execute(statement) for statement in statements)
            self._database.execute("COMMIT")
        except sqlite3.Error as failure:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return _error(f"execute remote sqlite batch statement: {_described(failure, 'execute')}")
        return results

    def _execute(self, statement: SqlStatement) -> SqlResult:
        found = list(_statements(statement.sql))
        if len(found) > 1:
            raise sqlite3.ProgrammingError("sqlite execute only supports a single statement")
        if not found:
            return SqlResult((), ())
        params = statement.params or ()
        size = sum(map(_bound_size, params))
        if size > MAX_BINDINGS:
            raise sqlite3.ProgrammingError(
                f"remote sqlite bind params had {size} bytes, exceeding limit {MAX_BINDINGS}"
            )
        columns, rows = self._run(found[0], params)
        [(changes, row_id)] = self._database.execute("SELECT changes(), last_insert_rowid()")
        return SqlResult(columns, rows, changes, row_id)

    def _run(
        self, sql: str, params: Sequence[SqlValue]
    ) -> tuple[tuple[str, ...], tuple[tuple[SqlValue, ...], ...]]:
        try:
            cursor = self._database.execute(sql, tuple(params))
        except sqlite3.ProgrammingError as failure:
            counts = _COUNTS.search(str(failure))
            if counts is None or int(counts[1]) < int(counts[2]):
                raise
            missing = int(counts[1]) - int(counts[2])
            cursor = self._database.execute(sql, (*params, *[None] * missing))
        rows = tuple(cursor.fetchall())
        return tuple(column[0] for column in cursor.description or ()), rows


def _opened(data: bytes) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    if data:
        database.deserialize(data)
    database.execute("PRAGMA foreign_keys = ON")
    return database


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script, without those that say nothing."""
    start = position = 0
    while (position := sql.find(";", position)) >= 0:
        position += 1
        if sqlite3.complete_statement(sql[start:position]):
            if not _says_nothing(sql[start : position - 1]):
                yield sql[start:position]
            start = position
    if not _says_nothing(sql[start:]):
        yield sql[start:]


def _says_nothing(sql: str) -> bool:
    return not re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL).strip()


def _bound_size(value: SqlValue) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    return 0 if value is None else 8


def _described(failure: sqlite3.Error, operation: str) -> str:
    text = str(failure)
    if text.startswith(("sqlite execute", "remote sqlite")):
        return text
    if isinstance(failure, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return f"failed to bind sqlite parameter: {text}"
    prepared = isinstance(failure, sqlite3.OperationalError) and failure.sqlite_errorname == "SQLITE_ERROR"
    if prepared and not text.startswith("cannot "):
        return f"failed to prepare sqlite {operation} statement: {text}"
    return f"failed to step sqlite {operation} statement: {text}"


def _error(message: str) -> SqlError:
    return SqlError("core", "internal_error", message)
