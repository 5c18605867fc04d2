from __future__ import annotations

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.envoy.codec import (
    EnvoyCodec,
    choose_version,
    decode_start_payload,
    encode_start_payload,
)
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    Checkpoint,
    CommandEntry,
    Commands,
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    HostWebSocketOpen,
    MessageId,
    Ping,
    RequestAbort,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    SqlExec,
    SqlExecResponse,
    SqlExecute,
    SqlExecuteBatch,
    SqlExecuteBatchResponse,
    SqlExecuteResponse,
    SqlResult,
    SqlScriptResult,
    SqlStatement,
    StopActor,
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

V6, V8 = EnvoyCodec(6), EnvoyCodec(8)
REQUEST = MessageId(b"gate", b"rqst", 1)
REASON = AbortReason(AbortKind.CANCELLED, "gone")
KIND_OFFSET = 1 + 4 + 4 + 2


@pytest.mark.parametrize(("engine", "chosen"), [(6, 6), (7, 6), (8, 8), (9, 8), (65535, 8)])
def test_the_best_version_that_the_engine_speaks_is_chosen(engine: int, chosen: int) -> None:
    assert choose_version(engine) == chosen


@pytest.mark.parametrize("engine", [-1, 0, 5])
def test_an_engine_too_old_is_refused(engine: int) -> None:
    with pytest.raises(ProtocolError, match=f"speaks envoy protocol {engine}, at least 6"):
        choose_version(engine)


@pytest.mark.parametrize("version", [0, 5, 7, 9])
def test_an_unsupported_version_is_refused_with_the_supported_ones(version: int) -> None:
    with pytest.raises(ProtocolError, match=f"version {version} is not supported, only 8 and 6"):
        EnvoyCodec(version)


_STATEMENT = SqlStatement("s")


@pytest.mark.parametrize(
    ("message", "v8", "v6"),
    [
        (SqlExec(1, "n", "a", 1, "s"), 12, 9),
        (SqlExecute(1, "n", "a", 1, _STATEMENT), 13, 10),
        (SqlExecuteBatch(1, "n", "a", 1, (_STATEMENT,)), 14, 11),
    ],
)
def test_requests_for_sqlite_differ_between_versions_in_their_tag_only(
    message: ToRivet, v8: int, v6: int
) -> None:
    newer, older = V8.encode_to_rivet(message), V6.encode_to_rivet(message)

    assert (newer[0], older[0]) == (v8, v6)
    assert newer[1:] == older[1:]


@pytest.mark.parametrize(
    ("message", "v8", "v6"),
    [
        (SqlExecResponse(1, SqlScriptResult((), ())), 11, 8),
        (SqlExecuteResponse(1, SqlResult((), ())), 12, 9),
        (SqlExecuteBatchResponse(1, ()), 13, 10),
    ],
)
def test_responses_of_sqlite_differ_between_versions_in_their_tag_only(
    message: ToEnvoy, v8: int, v6: int
) -> None:
    newer, older = V8.encode_to_envoy(message), V6.encode_to_envoy(message)

    assert (newer[0], older[0]) == (v8, v6)
    assert newer[1:] == older[1:]


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        (ResponseStart(200), 0),
        (ResponseChunk(b"", finish=True), 1),
        (ResponseAbort(), 2),
        (HostWebSocketOpen(can_hibernate=True), 3),
        (WebSocketMessage(b"", binary=True), 4),
        (WebSocketMessageAck(1), 5),
        (HostWebSocketClose(), 6),
    ],
)
def test_version_six_numbers_the_tunnel_of_the_host_so(kind: ToRivetTunnelKind, tag: int) -> None:
    assert V6.encode_to_rivet(ToRivetTunnel(REQUEST, kind))[KIND_OFFSET] == tag


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        (RequestStart("a", "GET", "/", {}), 0),
        (RequestChunk(b"", finish=True), 1),
        (RequestAbort(), 2),
        (EngineWebSocketOpen("a", "/", {}), 3),
        (WebSocketMessage(b"", binary=True), 4),
        (EngineWebSocketClose(), 5),
    ],
)
def test_version_six_numbers_the_tunnel_of_the_engine_so(kind: ToEnvoyTunnelKind, tag: int) -> None:
    assert V6.encode_to_envoy(ToEnvoyTunnel(REQUEST, kind))[KIND_OFFSET] == tag


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (
            RequestStart("a", "GET", "/", {}, b"b", stream=True, actor_generation=3, response_stream=True),
            RequestStart("a", "GET", "/", {}, b"b", stream=True),
        ),
        (EngineWebSocketOpen("a", "/", {}, actor_generation=3), EngineWebSocketOpen("a", "/", {})),
        (RequestAbort("a", 3, REASON), RequestAbort()),
    ],
)
def test_version_six_drops_what_it_lacks_from_the_engine(
    kind: ToEnvoyTunnelKind, kept: ToEnvoyTunnelKind
) -> None:
    written = V6.encode_to_envoy(ToEnvoyTunnel(REQUEST, kind))

    assert V6.decode_to_envoy(written) == ToEnvoyTunnel(REQUEST, kept)


def test_version_six_drops_the_reason_of_an_abort_from_the_host() -> None:
    written = V6.encode_to_rivet(ToRivetTunnel(REQUEST, ResponseAbort(REASON)))

    assert len(written) == KIND_OFFSET + 1
    assert V6.decode_to_rivet(written) == ToRivetTunnel(REQUEST, ResponseAbort())


@pytest.mark.parametrize("kind", [RequestBodyWindowUpdate(1), RequestBodyCancel()])
def test_version_six_has_no_message_of_the_host_about_streams(kind: ToRivetTunnelKind) -> None:
    with pytest.raises(ProtocolError, match=f"version 6 has no {type(kind).__name__}"):
        V6.encode_to_rivet(ToRivetTunnel(REQUEST, kind))


@pytest.mark.parametrize("kind", [ResponseBodyWindowUpdate(1), RequestBodyCancel()])
def test_version_six_has_no_message_of_the_engine_about_streams(kind: ToEnvoyTunnelKind) -> None:
    with pytest.raises(ProtocolError, match=f"version 6 has no {type(kind).__name__}"):
        V6.encode_to_envoy(ToEnvoyTunnel(REQUEST, kind))


def test_the_page_protocol_of_version_six_is_refused_by_tag_and_name() -> None:
    with pytest.raises(ProtocolError, match="tag 8, SqliteCommit, is not spoken"):
        V6.decode_to_rivet(b"\x08")
    with pytest.raises(ProtocolError, match="tag 6, SqliteGetPagesResponse, is not spoken"):
        V6.decode_to_envoy(b"\x06")


def test_a_start_payload_carries_its_version_in_two_bytes() -> None:
    commands = Commands((CommandEntry(Checkpoint("a", 1, 0), StopActor(StopReason.LOST)),))

    assert encode_start_payload(commands, 6).hex() == "0600" + V6.encode_to_envoy(commands).hex()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "2 bytes expected"),
        (b"\x08", "2 bytes expected"),
        (b"\x07\x00\x01\x00", "version 7 is not supported"),
        (b"\x08\x00" + V8.encode_to_envoy(Ping(1)), "holds Commands, not Ping"),
        (b"\x08\x00\x01\x00\x00", "1 bytes after the end"),
    ],
)
def test_a_payload_that_is_not_commands_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        decode_start_payload(payload)
