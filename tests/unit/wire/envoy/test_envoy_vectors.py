"""Byte for byte with the published codec, version 8."""

from __future__ import annotations

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import (
    AckCommands,
    Checkpoint,
    EnvoyInit,
    KvGet,
    KvRequest,
    MessageId,
    Ping,
    Pong,
    RequestBodyWindowUpdate,
    ResponseStart,
    SqlExecute,
    SqlStatement,
    Stopping,
    ToEnvoy,
    ToRivet,
    ToRivetTunnel,
    WebSocketMessageAck,
)
from tests.unit.wire.envoy.vectors import ALL, Vector, is_page_protocol, message_of, wire

CODEC = EnvoyCodec(8)
REQUEST = MessageId(bytes([1, 2, 3, 4]), bytes([5, 6, 7, 8]), 65535)

_spoken = [vector for vector in ALL if not is_page_protocol(vector)]
_pages = [vector for vector in ALL if is_page_protocol(vector)]


def decode(vector: Vector) -> ToRivet | ToEnvoy:
    to_rivet = vector["direction"] == "to_rivet"
    return (CODEC.decode_to_rivet if to_rivet else CODEC.decode_to_envoy)(wire(vector))


def encode(vector: Vector, message: object) -> bytes:
    if vector["direction"] == "to_rivet":
        return CODEC.encode_to_rivet(message)  # pyright: ignore[reportArgumentType]  # built from names
    return CODEC.encode_to_envoy(message)  # pyright: ignore[reportArgumentType]  # built from names


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in _spoken])
def test_a_message_is_read_as_the_reference_wrote_it(vector: Vector) -> None:
    assert decode(vector) == message_of(vector)


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in _spoken])
def test_a_message_is_written_as_the_reference_writes_it(vector: Vector) -> None:
    assert encode(vector, message_of(vector)) == wire(vector)


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in _pages])
def test_the_page_protocol_is_refused_by_tag_and_name(vector: Vector) -> None:
    with pytest.raises(ProtocolError, match=rf"tag {wire(vector)[0]}, Sqlite\w+, is not spoken"):
        decode(vector)


@pytest.mark.parametrize("direction", ["to_rivet", "to_envoy"])
def test_the_vectors_cover_every_tag(direction: str) -> None:
    tags = {wire(vector)[0] for vector in ALL if vector["direction"] == direction}

    assert tags == set(range(len(tags)))
    assert len(tags) == {"to_rivet": 15, "to_envoy": 14}[direction]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Stopping(), "03"),
        (Pong(99), "046300000000000000"),
        (AckCommands((Checkpoint("act", 3, -1),)), "02010361637403000000ffffffffffffffff"),
        (KvRequest("act", 77, KvGet((b"\x01", b""))), "05036163744d0000000002010100"),
        (
            ToRivetTunnel(REQUEST, ResponseStart(200, {"a": "b"}, b"\x01", stream=True)),
            "060102030405060708ffff00c800010161016201010101",
        ),
        (
            ToRivetTunnel(REQUEST, RequestBodyWindowUpdate(5)),
            "060102030405060708ffff030500000000000000",
        ),
        (ToRivetTunnel(REQUEST, WebSocketMessageAck(12)), "060102030405060708ffff070c00"),
        (
            SqlExecute(2, "ns", "act", 7, SqlStatement("select ?", (None, -5, 1.5, "é", b"\x00\x01"))),
            "0d02000000026e730361637407000000000000000873656c656374203f01050001fbffffffffffffff"
            "023ff80000000000000302c3a904020001",
        ),
    ],
)
def test_a_message_of_a_host_has_these_bytes(message: ToRivet, expected: str) -> None:
    assert CODEC.encode_to_rivet(message).hex() == expected
    assert CODEC.decode_to_rivet(bytes.fromhex(expected)) == message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (EnvoyInit(15000, 1800000, 20971520), "00983a00000000000040771b00000000000000400100000000"),
        (Ping(5), "050500000000000000"),
    ],
)
def test_a_message_of_the_engine_has_these_bytes(message: ToEnvoy, expected: str) -> None:
    assert CODEC.encode_to_envoy(message).hex() == expected
    assert CODEC.decode_to_envoy(bytes.fromhex(expected)) == message
