"""From what authors pass as parameters to what SQLite stores, checked before any host is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from rivetkit_core.actor.sql_text import Parsed
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import SqlStatement, SqlValue

MAX_BOUND = 131_072
"""Bytes all parameters of one statement may have together: what every host takes."""

SqlParams = Sequence[object] | Mapping[str, object]
"""Positional parameters, or named ones, whose names may be written with their ``:``, ``@`` or ``$``."""


def bind(parsed: Parsed, params: SqlParams) -> SqlStatement:
    """A statement with its parameters in order.

    Raises:
        RivetError: ``sqlite.invalid_bind_parameter``: one is missing, unknown or of no type SQLite has.
    """
    if isinstance(params, Mapping):
        named = _by_slot(parsed, params)
    elif isinstance(cast("object", params), Sequence) and not isinstance(params, str | bytes | bytearray):
        named = _by_position(parsed, params)
    else:
        raise _unfit(
            f"write them as a list, a tuple or a mapping, as in [value], not {type(params).__name__}"
        )
    values = tuple(sql_value(name, value) for name, value in named)
    size = sum(map(_size, values))
    if size > MAX_BOUND:
        raise _unfit(f"together they have {size} bytes, and a statement takes at most {MAX_BOUND}")
    return SqlStatement(parsed.sql, values)


def sql_value(name: str, value: object) -> SqlValue:
    """A value as SQLite keeps it; ``name`` is for the error.

    Raises:
        RivetError: ``sqlite.invalid_bind_parameter``.
    """
    match value:
        case None | float() | bytes():
            return value
        case int():
            if not -(1 << 63) <= value < 1 << 63:
                raise invalid(name, "an integer has at most 64 bits")
            return int(value)
        case str():
            return _text(name, value)
        case bytearray() | memoryview():
            return bytes(cast("bytes", value))
        case _:
            raise invalid(
                name, f"SQLite has no type for {type(value).__name__}: make it text, bytes or a number"
            )


def invalid(name: str, reason: str) -> RivetError:
    """The refusal of a parameter."""
    return error("sqlite.invalid_bind_parameter", name=name, reason=reason)


def _unfit(reason: str) -> RivetError:
    return error(
        "sqlite.invalid_bind_parameter",
        message=f"The SQL parameters do not fit: {reason}",
        name="parameters",
        reason=reason,
    )


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid(name, "the text holds a lone surrogate") from None
    return str(value)


def _by_position(parsed: Parsed, params: Sequence[object]) -> Iterator[tuple[str, object]]:
    if len(params) != len(parsed.slots):
        raise _unfit(f"the statement has {len(parsed.slots)} of them, and {len(params)} were given")
    return ((str(index), value) for index, value in enumerate(params, 1))


def _by_slot(parsed: Parsed, params: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    given = {name.lstrip(":@$"): value for name, value in params.items()}
    for name in given:
        if name not in parsed.slots:
            raise invalid(name, "the statement has no parameter of this name")
    for index, name in enumerate(parsed.slots, 1):
        if name is None:
            raise invalid(str(index), "it has no name, so give the parameters by position")
        if name not in given:
            raise invalid(name, "no value was given")
    return ((name, given[name]) for name in parsed.slots if name is not None)


def _size(value: SqlValue) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    return 0 if value is None else 8
