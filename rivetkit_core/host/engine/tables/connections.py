"""Connections that outlive sleep, in two tables: what stays as it is, and what changes with every message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from rivetkit_core.errors import ProtocolError
from rivetkit_core.host.engine.tables.statements import (
    NOTHING,
    Query,
    Row,
    blob,
    marks,
    statement,
    text,
    upsert,
    whole,
)
from rivetkit_core.host.port import Records, SqlResult, SqlStatement
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import CONN_PREFIX, ConnRecord, conn_key, decode_conn, encode_conn

_SELECT = (
    "SELECT c.conn_id, c.parameters, s.state, s.subscriptions, c.gateway_id, c.request_id,"
    " s.server_message_index, s.client_message_index, c.request_path, c.request_headers"
    " FROM _rivet_conns c JOIN _rivet_conn_state s ON s.conn_id = c.conn_id"
)
_PUT = upsert(
    "_rivet_conns",
    "conn_id",
    *("parameters", "gateway_id", "request_id", "request_path", "request_headers"),
)
_PUT_STATE = upsert(
    "_rivet_conn_state",
    "conn_id",
    *("state", "server_message_index", "client_message_index", "subscriptions"),
)
_TABLES = ("_rivet_conns", "_rivet_conn_state")
_RANGE = "CAST({} AS BLOB) >= ? AND CAST({} AS BLOB) < ?"


class Connections:
    """A section. Its keys are ids of connections, in the order of their bytes."""

    def owns(self, key: bytes) -> bool:
        return key.startswith(CONN_PREFIX)

    def read(self, keys: Sequence[bytes]) -> Query:
        if not keys:
            return NOTHING
        ids = [_id(key) for key in keys]
        return Query((statement(f"{_SELECT} WHERE c.conn_id IN ({marks(ids)})", *ids),), _records)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        first, after = _suffixes(start, end)
        if first >= after:
            return NOTHING
        within, order = _RANGE.format("c.conn_id", "c.conn_id"), "DESC" if reverse else "ASC"
        sql = f"{_SELECT} WHERE {within} ORDER BY c.conn_id {order} LIMIT ?"
        return Query((statement(sql, first, after, limit),), _records)

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        statements: list[SqlStatement] = []
        for value in puts.values():
            statements += _put(decode_conn(value))
        for key in deletes:
            statements += [statement(f"DELETE FROM {table} WHERE conn_id = ?", _id(key)) for table in _TABLES]
        return statements

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        first, after = _suffixes(start, end)
        if first >= after:
            return ()
        within = _RANGE.format("conn_id", "conn_id")
        return [statement(f"DELETE FROM {table} WHERE {within}", first, after) for table in _TABLES]

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Nothing is remembered."""

    def doubt(self) -> None:
        """Nothing is remembered."""


def _put(record: ConnRecord) -> list[SqlStatement]:
    headers = cbor.encode(dict(record.request_headers))
    fixed = (record.id, record.parameters, record.gateway_id, record.request_id, record.request_path, headers)
    indices = (record.server_message_index, record.client_message_index)
    subscriptions = cbor.encode(list(record.subscriptions))
    return [
        statement(_PUT, *fixed),
        statement(_PUT_STATE, record.id, record.state, *indices, subscriptions),
    ]


def _records(results: Sequence[SqlResult]) -> Records:
    records = map(_record, results[0].rows)
    return [(conn_key(record.id), encode_conn(record)) for record in records]


def _record(row: Row) -> ConnRecord:
    conn_id, parameters, state, subscriptions, gateway, request, server, client, path, headers = row
    return ConnRecord(
        id=text(conn_id),
        parameters=blob(parameters),
        state=blob(state),
        subscriptions=tuple(_names(cbor.decode(blob(subscriptions)))),
        gateway_id=blob(gateway),
        request_id=blob(request),
        server_message_index=whole(server),
        client_message_index=whole(client),
        request_path=text(path),
        request_headers=_headers(cbor.decode(blob(headers))),
    )


def _names(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(name, str) for name in cast("list[object]", value)):
        return cast("list[str]", value)
    raise _damaged("subscriptions")


def _headers(value: object) -> dict[str, str]:
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        if all(isinstance(part, str) for pair in pairs.items() for part in pair):
            return cast("dict[str, str]", value)
    raise _damaged("request headers")


def _damaged(column: str) -> ProtocolError:
    return ProtocolError(
        f"its {column} are something else", code="invalid_persisted_data", label="connection"
    )


def _id(key: bytes) -> str:
    return key[len(CONN_PREFIX) :].decode(errors="replace")


def _suffixes(start: bytes, end: bytes) -> tuple[bytes, bytes]:
    """What ids are at least, and less than; no id has a byte 0xFF."""
    first = start[1:] if start.startswith(CONN_PREFIX) else b"" if start < CONN_PREFIX else b"\xff"
    after = end[1:] if end.startswith(CONN_PREFIX) else b"" if end < CONN_PREFIX else b"\xff"
    return first, after
