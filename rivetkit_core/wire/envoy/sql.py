"""Remote SQLite: statements with parameters, and results (envoy-protocol 4.3, 7.2).

A value is a tag and its body: 0 null, 1 integer (i64), 2 float (eight bytes, big endian), 3 text, 4 blob.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy.messages import (
    SqlError,
    SqlExec,
    SqlExecResponse,
    SqlExecute,
    SqlExecuteBatch,
    SqlExecuteBatchResponse,
    SqlExecuteResponse,
    SqlResult,
    SqlScriptResult,
    SqlStatement,
    SqlValue,
)
from rivetkit_core.wire.envoy.structures import read_all, read_texts, write_all
from rivetkit_core.wire.envoy.tagged import variant

T = TypeVar("T")

_FLOAT = struct.Struct(">d")
_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_NULL, _INTEGER, _REAL, _TEXT, _BLOB = range(5)


def _write_value(writer: Writer, value: SqlValue) -> None:
    match value:
        case None:
            writer.uint(_NULL)
        case int():
            if not _I64_MIN <= value <= _I64_MAX:
                raise ProtocolError(f"an integer of {value.bit_length()} bits is beyond SQLite's 64, signed")
            writer.uint(_INTEGER)
            writer.i64(value)
        case float():
            writer.uint(_REAL)
            writer.fixed(_FLOAT.pack(value), _FLOAT.size)
        case str():
            writer.uint(_TEXT)
            writer.str(value)
        case bytes():
            writer.uint(_BLOB)
            writer.data(value)
        case _:  # values come from users, whose types nobody checked
            raise ProtocolError(f"a {type(value).__name__} is not a SQLite value")


def _read_value(reader: Reader) -> SqlValue:
    match reader.uint():
        case 0:
            return None
        case 1:
            return reader.i64()
        case 2:
            (value,) = _FLOAT.unpack(reader.fixed(_FLOAT.size))
            return value
        case 3:
            return reader.str()
        case 4:
            return reader.data()
        case tag:
            raise ProtocolError(f"a SQLite value has no tag {tag}")


def _write_row(writer: Writer, row: tuple[SqlValue, ...]) -> None:
    write_all(writer, row, _write_value)


def _read_row(reader: Reader) -> tuple[SqlValue, ...]:
    return read_all(reader, _read_value)


def _write_statement(writer: Writer, statement: SqlStatement) -> None:
    writer.str(statement.sql)
    writer.optional(statement.params, lambda params: _write_row(writer, params))


def _read_statement(reader: Reader) -> SqlStatement:
    return SqlStatement(reader.str(), reader.optional(lambda: _read_row(reader)))


def _write_table(writer: Writer, result: SqlResult | SqlScriptResult) -> None:
    writer.list(result.columns, writer.str)
    write_all(writer, result.rows, _write_row)


def _read_script_result(reader: Reader) -> SqlScriptResult:
    return SqlScriptResult(read_texts(reader), read_all(reader, _read_row))


def _write_result(writer: Writer, result: SqlResult) -> None:
    _write_table(writer, result)
    writer.i64(result.changes)
    writer.optional(result.last_insert_row_id, writer.i64)


def _read_result(reader: Reader) -> SqlResult:
    return SqlResult(
        columns=read_texts(reader),
        rows=read_all(reader, _read_row),
        changes=reader.i64(),
        last_insert_row_id=reader.optional(reader.i64),
    )


def _write_target(writer: Writer, message: SqlExec | SqlExecute | SqlExecuteBatch) -> None:
    writer.u32(message.request_id)
    writer.str(message.namespace)
    writer.str(message.actor_id)
    writer.u64(message.generation)


def _read_target(reader: Reader) -> tuple[int, str, str, int]:
    return reader.u32(), reader.str(), reader.str(), reader.u64()


def _write_exec(writer: Writer, message: SqlExec) -> None:
    _write_target(writer, message)
    writer.str(message.sql)


def _write_execute(writer: Writer, message: SqlExecute) -> None:
    _write_target(writer, message)
    _write_statement(writer, message.statement)


def _write_batch(writer: Writer, message: SqlExecuteBatch) -> None:
    _write_target(writer, message)
    write_all(writer, message.statements, _write_statement)


SQL_EXEC = variant(SqlExec, _write_exec, lambda reader: SqlExec(*_read_target(reader), reader.str()))
SQL_EXECUTE = variant(
    SqlExecute,
    _write_execute,
    lambda reader: SqlExecute(*_read_target(reader), _read_statement(reader)),
)
SQL_EXECUTE_BATCH = variant(
    SqlExecuteBatch,
    _write_batch,
    lambda reader: SqlExecuteBatch(*_read_target(reader), read_all(reader, _read_statement)),
)


def _write_outcome(
    writer: Writer, request_id: int, outcome: T | SqlError, write: Callable[[Writer, T], None]
) -> None:
    writer.u32(request_id)
    if isinstance(outcome, SqlError):
        writer.uint(1)
        writer.str(outcome.group)
        writer.str(outcome.code)
        writer.str(outcome.message)
    else:
        writer.uint(0)
        write(writer, outcome)


def _read_outcome(reader: Reader, read: Callable[[Reader], T]) -> tuple[int, T | SqlError]:
    request_id = reader.u32()
    match reader.uint():
        case 0:
            return request_id, read(reader)
        case 1:
            return request_id, SqlError(reader.str(), reader.str(), reader.str())
        case tag:
            raise ProtocolError(f"a SQLite response has no tag {tag}")


def _write_results(writer: Writer, results: tuple[SqlResult, ...]) -> None:
    write_all(writer, results, _write_result)


def _read_results(reader: Reader) -> tuple[SqlResult, ...]:
    return read_all(reader, _read_result)


SQL_EXEC_RESPONSE = variant(
    SqlExecResponse,
    lambda writer, message: _write_outcome(writer, message.request_id, message.result, _write_table),
    lambda reader: SqlExecResponse(*_read_outcome(reader, _read_script_result)),
)
SQL_EXECUTE_RESPONSE = variant(
    SqlExecuteResponse,
    lambda writer, message: _write_outcome(writer, message.request_id, message.result, _write_result),
    lambda reader: SqlExecuteResponse(*_read_outcome(reader, _read_result)),
)
SQL_EXECUTE_BATCH_RESPONSE = variant(
    SqlExecuteBatchResponse,
    lambda writer, message: _write_outcome(writer, message.request_id, message.result, _write_results),
    lambda reader: SqlExecuteBatchResponse(*_read_outcome(reader, _read_results)),
)
