"""SQL as the engine takes it: what may be bound, and what comes back of it (envoy-protocol 7.2).

A statement may bind 128 KiB, so larger values are written into its text. A blob of no length is read as NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.host.port import Records, SqlResult, SqlStatement, SqlValue

T = TypeVar("T", int, str, bytes)
Row = tuple[SqlValue, ...]

MAX_BOUND = 100_000
"""Bytes of text and blobs that one statement binds here."""


@dataclass(frozen=True, slots=True)
class Query:
    """Statements to run together, and what their results mean."""

    statements: tuple[SqlStatement, ...]
    records: Callable[[Sequence[SqlResult]], Records]


NOTHING = Query((), lambda _: [])


def statement(sql: str, *params: SqlValue) -> SqlStatement:
    """A statement with ``?`` for each parameter and nowhere else."""
    pieces = sql.split("?")
    text, bound, room = pieces[0], list[SqlValue](), MAX_BOUND
    for value, piece in zip(params, pieces[1:], strict=True):
        size = len(_encoded(value))
        if size <= room:
            room -= size
            bound.append(value)
            text += "?" + piece
        else:
            text += _literal(value) + piece
    return SqlStatement(text, tuple(bound))


def upsert(table: str, key: str, *columns: str) -> str:
    """SQL that writes these columns and the key, in the order given, and leaves others as they are."""
    names, values = ", ".join((key, *columns)), marks((key, *columns))
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {changes}"


def marks(values: Sequence[object]) -> str:
    """As many ``?`` as there are values, for ``IN``."""
    return ", ".join("?" * len(values))


def blob(value: SqlValue) -> bytes:
    """A column that is never NULL.

    Raises:
        ProtocolError: It is not a blob.
    """
    return b"" if value is None else _checked(value, bytes)


def blob_or_none(value: SqlValue) -> bytes | None:
    return None if value is None else _checked(value, bytes)


def text(value: SqlValue) -> str:
    return _checked(value, str)


def text_or_none(value: SqlValue) -> str | None:
    return None if value is None else _checked(value, str)


def whole(value: SqlValue) -> int:
    return _checked(value, int)


def whole_or_none(value: SqlValue) -> int | None:
    return None if value is None else _checked(value, int)


def _checked(value: SqlValue, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ProtocolError(
            f"a column holds {value!r}", code="invalid_persisted_data", label="row of the actor's tables"
        )
    return value


def _encoded(value: SqlValue) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else b""


def _literal(value: SqlValue) -> str:
    encoded = f"X'{_encoded(value).hex()}'"
    return f"CAST({encoded} AS TEXT)" if isinstance(value, str) else encoded
