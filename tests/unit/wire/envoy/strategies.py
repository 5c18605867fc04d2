"""Every message of the envoy protocol for property tests, by version."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    AckCommands,
    AckEvents,
    Checkpoint,
    CommandEntry,
    Commands,
    EngineWebSocketClose,
    EngineWebSocketOpen,
    EnvoyInit,
    EventEntry,
    Events,
    HostWebSocketClose,
    HostWebSocketOpen,
    KvDelete,
    KvDeleteDone,
    KvDeleteRange,
    KvDrop,
    KvDropDone,
    KvError,
    KvGet,
    KvGot,
    KvList,
    KvListed,
    KvMetadata,
    KvPut,
    KvPutDone,
    KvRequest,
    KvResponse,
    ListAll,
    ListPrefix,
    ListRange,
    MessageId,
    Metadata,
    Ping,
    Pong,
    PreloadedEntry,
    PreloadedKv,
    RequestAbort,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestId,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    Running,
    SetAlarm,
    SleepIntent,
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
    StartActor,
    StopActor,
    StopCode,
    StopIntent,
    Stopped,
    Stopping,
    StopReason,
    ToEnvoy,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivet,
    ToRivetTunnel,
    ToRivetTunnelKind,
    WebSocketMessage,
    WebSocketMessageAck,
)
from tests.unit.wire.strategies import i64, texts, u64

T = TypeVar("T")

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
blobs = st.binary(max_size=200)
flags = st.booleans()
headers = st.dictionaries(texts, texts, max_size=4)
_four = st.binary(min_size=4, max_size=4)


def _tuples(items: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(items, max_size=3).map(lambda found: tuple(found))


def _maybe(items: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | items


checkpoints = st.builds(Checkpoint, texts, u32, i64)
message_ids = st.builds(MessageId, _four, _four, u16)
reasons = st.builds(AbortReason, st.sampled_from(AbortKind), _maybe(texts))

events = st.builds(
    EventEntry,
    checkpoints,
    st.builds(SleepIntent)
    | st.builds(StopIntent)
    | st.builds(Running)
    | st.builds(Stopped, st.sampled_from(StopCode), _maybe(texts))
    | st.builds(SetAlarm, _maybe(i64)),
)

_metadata = st.builds(KvMetadata, blobs, i64)
_preloaded = st.builds(
    PreloadedKv,
    _tuples(st.builds(PreloadedEntry, blobs, blobs, _metadata)),
    _tuples(blobs),
    _tuples(blobs),
)
_starts = st.builds(
    StartActor,
    texts,
    _maybe(texts),
    i64,
    _maybe(blobs),
    _tuples(st.builds(RequestId, _four, _four)),
    _maybe(_preloaded),
)
commands = st.builds(
    Commands,
    _tuples(
        st.builds(CommandEntry, checkpoints, _starts | st.builds(StopActor, st.sampled_from(StopReason)))
    ),
)

_pairs = st.lists(st.tuples(blobs, blobs), max_size=3)
_found = st.lists(st.tuples(blobs, blobs, _metadata), max_size=3)


_queries = st.builds(ListAll) | st.builds(ListRange, blobs, blobs, flags) | st.builds(ListPrefix, blobs)
_kv_requests = (
    st.builds(KvGet, _tuples(blobs))
    | st.builds(KvList, _queries, _maybe(flags), _maybe(u64))
    | _pairs.map(lambda pairs: KvPut(tuple(key for key, _ in pairs), tuple(value for _, value in pairs)))
    | st.builds(KvDelete, _tuples(blobs))
    | st.builds(KvDeleteRange, blobs, blobs)
    | st.builds(KvDrop)
)
_got = _found.map(
    lambda found: KvGot(
        tuple(key for key, _, _ in found),
        tuple(value for _, value, _ in found),
        tuple(metadata for _, _, metadata in found),
    )
)
_kv_responses = (
    st.builds(KvError, texts)
    | _got
    | _got.map(lambda got: KvListed(got.keys, got.values, got.metadata))
    | st.builds(KvPutDone)
    | st.builds(KvDeleteDone)
    | st.builds(KvDropDone)
)

sql_values = st.none() | i64 | st.floats(allow_nan=False) | texts | blobs
_rows = _tuples(_tuples(sql_values))
_statements = st.builds(SqlStatement, texts, _maybe(_tuples(sql_values)))
_results = st.builds(SqlResult, _tuples(texts), _rows, i64, _maybe(i64))
_errors = st.builds(SqlError, texts, texts, texts)

_response_starts = st.builds(ResponseStart, u16, headers, _maybe(blobs), flags)
_socket_messages = st.builds(WebSocketMessage, blobs, flags)
_to_rivet_kinds: dict[int, st.SearchStrategy[ToRivetTunnelKind]] = {
    6: _response_starts
    | st.builds(ResponseChunk, blobs, flags)
    | st.builds(ResponseAbort)
    | st.builds(HostWebSocketOpen, flags)
    | _socket_messages
    | st.builds(WebSocketMessageAck, u16)
    | st.builds(HostWebSocketClose, _maybe(u16), _maybe(texts), flags)
}
_to_rivet_kinds[8] = (
    _to_rivet_kinds[6]
    | st.builds(ResponseAbort, reasons)
    | st.builds(RequestBodyWindowUpdate, u64)
    | st.builds(RequestBodyCancel)
)
_to_envoy_kinds: dict[int, st.SearchStrategy[ToEnvoyTunnelKind]] = {
    6: st.builds(RequestStart, texts, texts, texts, headers, _maybe(blobs), flags)
    | st.builds(RequestChunk, blobs, flags)
    | st.builds(RequestAbort)
    | st.builds(EngineWebSocketOpen, texts, texts, headers)
    | _socket_messages
    | st.builds(EngineWebSocketClose, _maybe(u16), _maybe(texts))
}
_to_envoy_kinds[8] = (
    _to_envoy_kinds[6]
    | st.builds(RequestStart, texts, texts, texts, headers, _maybe(blobs), flags, _maybe(u32), flags)
    | st.builds(RequestAbort, _maybe(texts), _maybe(u32), reasons)
    | st.builds(RequestBodyCancel)
    | st.builds(ResponseBodyWindowUpdate, u64)
    | st.builds(EngineWebSocketOpen, texts, texts, headers, _maybe(u32))
)


def to_rivet(version: int) -> st.SearchStrategy[ToRivet]:
    """Messages of a host that ``version`` carries whole."""
    return (
        st.builds(Metadata, _maybe(headers), _maybe(texts))
        | st.builds(Events, _tuples(events))
        | st.builds(AckCommands, _tuples(checkpoints))
        | st.builds(Stopping)
        | st.builds(Pong, i64)
        | st.builds(KvRequest, texts, u32, _kv_requests)
        | st.builds(ToRivetTunnel, message_ids, _to_rivet_kinds[version])
        | st.builds(SqlExec, u32, texts, texts, u64, texts)
        | st.builds(SqlExecute, u32, texts, texts, u64, _statements)
        | st.builds(SqlExecuteBatch, u32, texts, texts, u64, _tuples(_statements))
    )


def to_envoy(version: int) -> st.SearchStrategy[ToEnvoy]:
    """Messages of the engine that ``version`` carries whole."""
    return (
        st.builds(EnvoyInit, i64, i64, u64)
        | commands
        | st.builds(AckEvents, _tuples(checkpoints))
        | st.builds(KvResponse, u32, _kv_responses)
        | st.builds(ToEnvoyTunnel, message_ids, _to_envoy_kinds[version])
        | st.builds(Ping, i64)
        | st.builds(SqlExecResponse, u32, st.builds(SqlScriptResult, _tuples(texts), _rows) | _errors)
        | st.builds(SqlExecuteResponse, u32, _results | _errors)
        | st.builds(SqlExecuteBatchResponse, u32, _tuples(_results) | _errors)
    )
