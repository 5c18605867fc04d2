"""What SQLite says when it refuses, as one error on every host.

The engine sends SQLite's words behind words of its own; only SQLite's are kept, so that a program reads the
same on both hosts.
"""

from __future__ import annotations

import re

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import MAX_SQL_RESULT, SqlResult, SqlValue

_ENGINE_WORDS = re.compile(
    r"^(?:(?:begin|execute|commit) remote sqlite batch(?: statement)?"
    r"|failed to (?:prepare|step|bind|open|begin|commit|execute|run|read)[^:]*"
    r"|sqlite (?:prepare|step|exec)[^:]*): ",
)


def refused(reason: str) -> RivetError:
    """The error for SQLite's own words."""
    if "constraint failed" in reason:
        return error("sqlite.constraint_failed", reason=reason)
    return error("sqlite.failed", reason=reason)


def refused_by_engine(message: str) -> RivetError:
    """The error for the engine's message."""
    if message == "actor does not exist":
        return error("sqlite.remote_fence_mismatch")
    while match := _ENGINE_WORDS.match(message):
        message = message[match.end() :]
    return refused(message)


def too_large() -> RivetError:
    """The refusal of a result that no memory should hold."""
    return error("sqlite.result_too_large", limit=MAX_SQL_RESULT)


def row_size(row: tuple[SqlValue, ...]) -> int:
    """Bytes of a row, roughly: text counts its characters."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)


def checked(result: SqlResult) -> SqlResult:
    """A result that may be handed on.

    Raises:
        RivetError: ``sqlite.result_too_large``.
    """
    if sum(map(row_size, result.rows)) > MAX_SQL_RESULT:
        raise too_large()
    return result
