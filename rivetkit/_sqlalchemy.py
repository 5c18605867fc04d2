"""Statements of SQLAlchemy Core as text and parameters. SQLAlchemy is an extra, and imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from rivetkit_core.actor.sql_params import SqlParams

if TYPE_CHECKING:
    from rivetkit._database import Statement


@runtime_checkable
class Expression(Protocol):
    """What SQLAlchemy's ``select()``, ``insert()``, ``update()``, ``delete()``, ``text()`` and DDL are.

    Spelled out, so that type checkers need no SQLAlchemy.
    """

    @property
    def supports_execution(self) -> bool: ...

    def compile(self, bind: None = None, dialect: Any = None) -> Any: ...


def rendered(statement: Statement, params: SqlParams) -> tuple[str, SqlParams]:
    """Text and parameters of a statement; an expression brings its own parameters along.

    Raises:
        TypeError: Parameters were given to an expression, or it is no statement.
    """
    if isinstance(statement, str):
        return statement, params
    if not isinstance(cast("object", statement), Expression):
        raise TypeError(f"a statement is text or a SQLAlchemy expression, not {type(statement).__name__}")
    if params:
        raise TypeError("a SQLAlchemy expression brings its parameters along: use values() or bindparams()")
    return _compiled(statement)


def _compiled(statement: Expression) -> tuple[str, SqlParams]:
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.sql.compiler import SQLCompiler

    dialect = sqlite.dialect(paramstyle="qmark")
    made: object = cast("Any", statement).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    if not isinstance(made, SQLCompiler):  # DDL has no parameters
        return str(made), ()
    values = made.construct_params()
    names = made.positiontup or []
    return str(made), [_bound(made, dialect, name, values[name]) for name in names]


def _bound(made: Any, dialect: Any, name: str, value: object) -> object:
    """A value as the column's type writes it: dates as text, enumerations by name."""
    parameter = made.binds.get(name)
    if parameter is None:
        return value
    processor = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    return value if processor is None else processor(value)
