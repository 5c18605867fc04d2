"""What may be in a message, beyond its layout."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import cast

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    KvGot,
    KvMetadata,
    KvPut,
    KvRequest,
    KvResponse,
    MessageId,
    ResponseStart,
    SqlExecute,
    SqlStatement,
    SqlValue,
    ToEnvoyTunnel,
    ToRivetTunnel,
    WebSocketMessageAck,
)

CODEC = EnvoyCodec(8)


def execute(*params: SqlValue) -> SqlExecute:
    return SqlExecute(1, "ns", "act", 1, SqlStatement("?", params))


def written_value(value: SqlValue) -> bytes:
    return CODEC.encode_to_rivet(execute(value))[len(CODEC.encode_to_rivet(execute())) :]


def read_back(value: SqlValue) -> SqlValue:
    message = CODEC.decode_to_rivet(CODEC.encode_to_rivet(execute(value)))
    assert isinstance(message, SqlExecute)
    assert message.statement.params is not None
    return message.statement.params[0]


@pytest.mark.parametrize("value", [1.5, -0.0, math.inf, -math.inf, math.nan, 5e-324])
def test_a_float_is_eight_bytes_big_endian(value: float) -> None:
    assert written_value(value) == b"\x02" + struct.pack(">d", value)
    assert struct.pack(">d", cast("float", read_back(value))) == struct.pack(">d", value)


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_an_integer(value: bool) -> None:
    assert written_value(value) == written_value(int(value))
    assert type(read_back(value)) is int


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**5000], ids=["over", "under", "far over"])
def test_an_integer_beyond_64_bits_is_refused_by_its_size(value: int) -> None:
    with pytest.raises(ProtocolError, match=f"integer of {value.bit_length()} bits"):
        CODEC.encode_to_rivet(execute(value))


def test_a_type_that_sqlite_lacks_is_refused() -> None:
    with pytest.raises(ProtocolError, match="a Decimal is not a SQLite value"):
        CODEC.encode_to_rivet(execute(cast("int", Decimal(1))))


def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ProtocolError, match="surrogate"):
        CODEC.encode_to_rivet(execute("\ud800"))


@pytest.mark.parametrize("status", [-1, 65536])
def test_a_status_fits_two_bytes(status: int) -> None:
    with pytest.raises(ProtocolError):
        CODEC.encode_to_rivet(ToRivetTunnel(MessageId(b"gate", b"rqst", 1), ResponseStart(status)))


@pytest.mark.parametrize("ids", [(b"gat", b"rqst"), (b"gate", b"rqst5")])
def test_an_id_of_the_tunnel_has_four_bytes(ids: tuple[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError, match="4 bytes expected"):
        CODEC.encode_to_rivet(ToRivetTunnel(MessageId(*ids, 1), WebSocketMessageAck(1)))


@pytest.mark.parametrize("head", ["0300000000010101010000", "03000000000200010000"])
def test_keys_and_values_that_do_not_pair_up_are_not_read(head: str) -> None:
    with pytest.raises(ProtocolError, match="parallel lists"):
        CODEC.decode_to_envoy(bytes.fromhex(head))


def test_keys_and_values_that_do_not_pair_up_are_not_written() -> None:
    with pytest.raises(ProtocolError, match="parallel lists of 1 and 0 items"):
        CODEC.encode_to_rivet(KvRequest("a", 1, KvPut((b"k",), ())))
    with pytest.raises(ProtocolError, match="parallel lists of 1 and 1 and 2 items"):
        CODEC.encode_to_envoy(KvResponse(1, KvGot((b"k",), (b"v",), (KvMetadata(b"", 0),) * 2)))


def test_a_header_that_comes_twice_is_refused() -> None:
    start = bytes.fromhex("04" + "01020304" + "05060708" + "0100" + "00" + "0161" + "00" + "00" + "00")
    headers = bytes.fromhex("02" + "0161" + "0162" + "0161" + "0163")

    with pytest.raises(ProtocolError, match="map key twice"):
        CODEC.decode_to_envoy(start + headers + b"\x00\x00\x00")


def test_an_unknown_member_of_an_enum_is_refused() -> None:
    stop = bytes.fromhex("01" + "01" + "0161" + "01000000" + "0200000000000000" + "01")

    with pytest.raises(ProtocolError, match="StopReason has no member 5"):
        CODEC.decode_to_envoy(stop + b"\x05")


def test_an_absent_close_code_stays_absent() -> None:
    message = ToEnvoyTunnel(MessageId(b"gate", b"rqst", 1), EngineWebSocketClose(None, ""))

    assert CODEC.decode_to_envoy(CODEC.encode_to_envoy(message)) == message
