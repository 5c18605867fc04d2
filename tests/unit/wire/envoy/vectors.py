"""The golden vectors of the envoy protocol, version 8, captured from its published TypeScript codec.

Each has the bytes and what was written, in the names of the schema: ``{"int": ...}`` is a number in decimal,
``{"data": ...}`` bytes in hex, ``{"map": ...}`` pairs, ``{"tag": ..., "val": ...}`` a member of a union.
``message_of`` turns that into our message by names alone, so that it says nothing about the order of bytes.
"""

from __future__ import annotations

import enum
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

from rivetkit_core.wire.envoy import messages as m

PATH = Path(__file__).parents[3] / "vectors" / "envoy-protocol.json"


class Vector(TypedDict):
    name: str
    direction: str
    hex: str
    value: object


ALL = cast("list[Vector]", json.loads(PATH.read_text(encoding="utf-8")))


def is_page_protocol(vector: Vector) -> bool:
    return vector["name"].startswith("pages ")


def wire(vector: Vector) -> bytes:
    return bytes.fromhex(vector["hex"])


def message_of(vector: Vector) -> object:
    """What the vector says was written."""
    return _value(vector["value"])


Fields = dict[str, object]
Kind = Callable[..., object]
"""A message class, called with fields that only the vectors know."""

_SAME_FIELDS: dict[str, Kind] = {
    "ToRivetMetadata": m.Metadata,
    "ToRivetAckCommands": m.AckCommands,
    "ToRivetPong": m.Pong,
    "ToRivetKvRequest": m.KvRequest,
    "ToEnvoyAckEvents": m.AckEvents,
    "ToEnvoyKvResponse": m.KvResponse,
    "ToEnvoyPing": m.Ping,
    "EventActorSetAlarm": m.SetAlarm,
    "ActorStateStopped": m.Stopped,
    "CommandStopActor": m.StopActor,
    "KvGetRequest": m.KvGet,
    "KvListRequest": m.KvList,
    "KvPutRequest": m.KvPut,
    "KvDeleteRequest": m.KvDelete,
    "KvDeleteRangeRequest": m.KvDeleteRange,
    "KvListRangeQuery": m.ListRange,
    "KvListPrefixQuery": m.ListPrefix,
    "KvErrorResponse": m.KvError,
    "KvGetResponse": m.KvGot,
    "KvListResponse": m.KvListed,
    "ToRivetResponseStart": m.ResponseStart,
    "ToRivetResponseChunk": m.ResponseChunk,
    "ToRivetResponseAbort": m.ResponseAbort,
    "ToRivetRequestBodyWindowUpdate": m.RequestBodyWindowUpdate,
    "ToRivetWebSocketOpen": m.HostWebSocketOpen,
    "ToRivetWebSocketMessage": m.WebSocketMessage,
    "ToRivetWebSocketMessageAck": m.WebSocketMessageAck,
    "ToRivetWebSocketClose": m.HostWebSocketClose,
    "ToEnvoyRequestStart": m.RequestStart,
    "ToEnvoyRequestChunk": m.RequestChunk,
    "ToEnvoyRequestAbort": m.RequestAbort,
    "ToEnvoyResponseBodyWindowUpdate": m.ResponseBodyWindowUpdate,
    "ToEnvoyWebSocketOpen": m.EngineWebSocketOpen,
    "ToEnvoyWebSocketMessage": m.WebSocketMessage,
    "ToEnvoyWebSocketClose": m.EngineWebSocketClose,
    "SqliteErrorResponse": m.SqlError,
}
_VOID: dict[str, Kind] = {
    "ToRivetStopping": m.Stopping,
    "ActorIntentSleep": m.SleepIntent,
    "ActorIntentStop": m.StopIntent,
    "ActorStateRunning": m.Running,
    "KvListAllQuery": m.ListAll,
    "KvDropRequest": m.KvDrop,
    "KvPutResponse": m.KvPutDone,
    "KvDeleteResponse": m.KvDeleteDone,
    "KvDropResponse": m.KvDropDone,
    "ToRivetRequestBodyCancel": m.RequestBodyCancel,
    "ToEnvoyRequestBodyCancel": m.RequestBodyCancel,
}
_STRUCTS: dict[frozenset[str], Kind] = {
    frozenset({"actor_id", "generation", "index"}): m.Checkpoint,
    frozenset({"gateway_id", "request_id", "message_index"}): m.MessageId,
    frozenset({"gateway_id", "request_id"}): m.RequestId,
    frozenset({"kind", "detail"}): m.AbortReason,
    frozenset({"version", "update_ts"}): m.KvMetadata,
    frozenset({"key", "value", "metadata"}): m.PreloadedEntry,
    frozenset({"entries", "requested_get_keys", "requested_prefixes"}): m.PreloadedKv,
    frozenset({"sql", "params"}): m.SqlStatement,
    frozenset({"columns", "rows"}): m.SqlScriptResult,
    frozenset({"columns", "rows", "changes", "last_insert_row_id"}): m.SqlResult,
}
_ENUMS: dict[tuple[Kind, str], type[enum.IntEnum]] = {
    (m.StopActor, "reason"): m.StopReason,
    (m.Stopped, "code"): m.StopCode,
    (m.AbortReason, "kind"): m.AbortKind,
}


def _tunnel(kind: Kind) -> Callable[[Fields], object]:
    return lambda fields: kind(message_id=fields["message_id"], kind=fields["message_kind"])


def _entries(kind: Kind, entry: Kind, name: str) -> Callable[[object], object]:
    def build(wrappers: object) -> object:
        found = cast("tuple[Fields, ...]", wrappers)
        return kind(
            tuple(entry(**{"checkpoint": wrapper["checkpoint"], name: wrapper["inner"]}) for wrapper in found)
        )

    return build


def _sql_request(kind: Kind) -> Callable[[Fields], object]:
    def build(fields: Fields) -> object:
        data = cast("Fields", fields["data"])
        rest = {"namespace": data.pop("namespace_id"), "request_id": fields["request_id"]}
        if "params" in data:
            rest["statement"] = m.SqlStatement(
                cast("str", data.pop("sql")), cast("tuple[m.SqlValue, ...] | None", data.pop("params"))
            )
        return kind(**rest, **data)

    return build


def _sql_response(kind: Kind) -> Callable[[Fields], object]:
    return lambda fields: kind(request_id=fields["request_id"], result=fields["data"])


def _field(name: str) -> Callable[[Fields], object]:
    return lambda fields: fields[name]


def _nothing(body: object) -> None:
    assert body is None


def _init(fields: Fields) -> object:
    return _build(m.EnvoyInit, cast("Fields", fields["metadata"]))


def _start(fields: Fields) -> object:
    config = cast("Fields", fields.pop("config"))
    return _build(m.StartActor, {**config, **fields})


def _float(fields: Fields) -> object:
    (value,) = struct.unpack(">d", cast("bytes", fields["value"]))
    return value


_REARRANGED: dict[str, Callable[..., object]] = {
    "ToRivetEvents": _entries(m.Events, m.EventEntry, "event"),
    "ToEnvoyCommands": _entries(m.Commands, m.CommandEntry, "command"),
    "ToRivetTunnelMessage": _tunnel(m.ToRivetTunnel),
    "ToEnvoyTunnelMessage": _tunnel(m.ToEnvoyTunnel),
    "ToEnvoyInit": _init,
    "EventActorIntent": _field("intent"),
    "EventActorStateUpdate": _field("state"),
    "CommandStartActor": _start,
    "SqliteValueNull": _nothing,
    "SqliteValueInteger": _field("value"),
    "SqliteValueFloat": _float,
    "SqliteValueText": _field("value"),
    "SqliteValueBlob": _field("value"),
    "ToRivetSqliteExecRequest": _sql_request(m.SqlExec),
    "ToRivetSqliteExecuteRequest": _sql_request(m.SqlExecute),
    "ToRivetSqliteExecuteBatchRequest": _sql_request(m.SqlExecuteBatch),
    "ToEnvoySqliteExecResponse": _sql_response(m.SqlExecResponse),
    "ToEnvoySqliteExecuteResponse": _sql_response(m.SqlExecuteResponse),
    "ToEnvoySqliteExecuteBatchResponse": _sql_response(m.SqlExecuteBatchResponse),
    "SqliteExecOk": _field("result"),
    "SqliteExecuteOk": _field("result"),
    "SqliteExecuteBatchOk": _field("results"),
}


def _value(described: object) -> object:
    if isinstance(described, list):
        return tuple(_value(item) for item in cast("list[object]", described))
    if not isinstance(described, dict):
        return described
    fields = cast("Fields", described)
    match fields:
        case {"int": str(digits)}:
            return int(digits)
        case {"data": str(digits)}:
            return bytes.fromhex(digits)
        case {"map": list()}:
            pairs = cast("list[tuple[str, object]]", fields["map"])
            return {key: _map_value(item) for key, item in pairs}
        case {"tag": str(tag), "val": body}:
            return _member(tag, _value(body))
        case _:
            return _struct({_snake(name): _value(item) for name, item in fields.items()})


def _map_value(described: object) -> object:
    """Actor names map to a struct of one field."""
    return described if isinstance(described, str) else cast("Fields", described)["metadata"]


def _member(tag: str, body: object) -> object:
    if tag in _VOID:
        return _VOID[tag]()
    if tag in _REARRANGED:
        return _REARRANGED[tag](body)
    return _build(_SAME_FIELDS[tag], cast("Fields", body))


def _struct(fields: Fields) -> object:
    kind = _STRUCTS.get(frozenset(fields))
    return fields if kind is None else _build(kind, fields)


def _build(kind: Kind, fields: Fields) -> object:
    return kind(
        **{
            name: _ENUMS[kind, name][_snake(cast("str", item)).upper()] if (kind, name) in _ENUMS else item
            for name, item in fields.items()
        }
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
