"""Whatever a peer sends or a file holds, decoders answer with a value or a ``ProtocolError``, soon."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.wire import actor_key, cbor, gateway_url, json_form, persisted, subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding
from tests.unit.wire import strategies as some

Decoder = Callable[[bytes], object]


def of_codec(encoding: Encoding) -> dict[str, Decoder]:
    codec = Codec(encoding)
    methods: list[Decoder] = [
        codec.decode_to_client,
        codec.decode_to_server,
        codec.decode_action_request,
        codec.decode_action_response,
        codec.decode_queue_request,
        codec.decode_queue_response,
        codec.decode_http_error,
    ]
    return {f"{encoding} {method.__name__}": method for method in methods}


DECODERS: dict[str, Decoder] = {
    "cbor": cbor.decode,
    "cbor compat": cbor.decode_compat,
    "item_end": cbor.item_end,
    "cbor to json": json_form.cbor_to_json,
    "json to cbor": json_form.json_to_cbor,
    "actor": persisted.decode_actor,
    "conn": persisted.decode_conn,
    "queue metadata": persisted.decode_queue_metadata,
    "queue message": persisted.decode_queue_message,
    "alarm": persisted.decode_last_alarm,
    **of_codec(Encoding.JSON),
    **of_codec(Encoding.CBOR),
    **of_codec(Encoding.BARE),
}
every_decoder = pytest.mark.parametrize("decoder", list(DECODERS.values()), ids=list(DECODERS))


def frames(encoding: Encoding) -> st.SearchStrategy[bytes]:
    codec = Codec(encoding)
    return (
        some.to_client.map(codec.encode_to_client)
        | some.to_server.map(codec.encode_to_server)
        | some.queue_requests.map(codec.encode_queue_request)
        | some.http_errors.map(codec.encode_http_error)
    )


broken = some.mutated(
    frames(Encoding.JSON) | frames(Encoding.CBOR) | frames(Encoding.BARE) | some.values.map(cbor.encode)
)
versioned = st.tuples(st.integers(1, 4), st.binary(max_size=64)).map(
    lambda parts: parts[0].to_bytes(2, "little") + parts[1]
)


@given(st.binary(max_size=64) | versioned | broken)
def test_no_bytes_raise_anything_but_a_protocol_error(data: bytes) -> None:
    for decode in DECODERS.values():
        with contextlib.suppress(ProtocolError):
            decode(data)


BOMBS = {
    "a million nested arrays": b"\x81" * 1_000_000,
    "a million nested maps": b"\xa1" * 1_000_000,
    "a million nested tags": b"\xc1" * 1_000_000,
    "a million open arrays": b"\x9f" * 1_000_000,
    "array heads that promise millions": b"\x9a\x00\xff\xff\xff" * 200_000,
    "an array of 2^63": b"\x9b\x7f" + b"\xff" * 7 + b"\x00" * 100,
    "a string of 2^63": b"\x5b\x7f" + b"\xff" * 7,
    "a text of 2^63": b"\x7b\x7f" + b"\xff" * 7,
    "a map of 2^63": b"\xbb\x7f" + b"\xff" * 7,
    "a million json brackets": b"[" * 1_000_000,
    "a million json objects": b'{"a":' * 200_000,
    "a json number of a million digits": b"1" * 1_000_000,
    "a bare list of 2^63": b"\x04\x00\x00\x00\x00" + b"\xff" * 8 + b"\x7f",
    "a bare string of 2^63": b"\x04\x00\x00" + b"\xff" * 9 + b"\x01",
    "a decimal fraction of 10^(2^64)": b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01",
    "shared references": b"\xd8\x1c\x82\xd8\x1d\x00\xd8\x1d\x00",
}


@every_decoder
@pytest.mark.parametrize("bomb", list(BOMBS.values()), ids=list(BOMBS))
def test_a_bomb_is_refused_in_bounded_time_and_memory(decoder: Decoder, bomb: bytes) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    with contextlib.suppress(ProtocolError):
        decoder(bomb)
    elapsed = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert elapsed < 2.0
    assert peak < 20 * len(bomb) + 200_000


@given(some.texts, some.texts)
def test_any_path_and_query_give_a_target_or_a_guard_error(path: str, query: str) -> None:
    for prefix in ("/gateway/a", "/gateway/", ""):
        with contextlib.suppress(RivetError):
            gateway_url.parse_gateway_path(prefix + path, "rvt-method=get&rvt-" + query)
        with contextlib.suppress(RivetError):
            gateway_url.parse_endpoint(path)


@given(st.lists(some.texts, max_size=3))
def test_any_header_is_read_as_options(headers: list[str]) -> None:
    with contextlib.suppress(ProtocolError):
        subprotocols.parse([*headers, *("rivet_conn_params." + header for header in headers)])


@given(some.texts)
def test_any_text_is_a_key_and_maybe_a_close_reason(text: str) -> None:
    subprotocols.parse_close_reason(text)

    assert isinstance(actor_key.deserialize(text), tuple)
