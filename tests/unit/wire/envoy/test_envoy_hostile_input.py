from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.envoy.codec import SUPPORTED_VERSIONS, EnvoyCodec, decode_start_payload
from tests.unit.wire.envoy import strategies as some
from tests.unit.wire.strategies import mutated

Decoder = Callable[[bytes], object]
CODECS = [EnvoyCodec(version) for version in SUPPORTED_VERSIONS]
DECODERS: dict[str, Decoder] = {
    **{f"v{codec.version} to engine": codec.decode_to_rivet for codec in CODECS},
    **{f"v{codec.version} to host": codec.decode_to_envoy for codec in CODECS},
    "start payload": decode_start_payload,
}

_frames = st.one_of(
    *(some.to_rivet(codec.version).map(codec.encode_to_rivet) for codec in CODECS),
    *(some.to_envoy(codec.version).map(codec.encode_to_envoy) for codec in CODECS),
)
_tagged = st.tuples(st.integers(0, 16), st.binary(max_size=64)).map(
    lambda parts: bytes([parts[0]]) + parts[1]
)


@given(st.binary(max_size=64) | _tagged | mutated(_frames))
def test_no_bytes_raise_anything_but_a_protocol_error(data: bytes) -> None:
    for decode in DECODERS.values():
        with contextlib.suppress(ProtocolError):
            decode(data)
    with contextlib.suppress(ProtocolError):
        decode_start_payload(b"\x08\x00" + data)


_HUGE = b"\xff" * 9 + b"\x01"
_COUNT = 200_000
_COUNT_BYTES = b"\xc0\x9a\x0c"
BOMBS = {
    "a list of 2^64": b"\x01" + _HUGE,
    "checkpoints of 2^64": b"\x02" + _HUGE,
    "a text of 2^64": b"\x02\x01" + _HUGE,
    "names of 2^64": b"\x00\x01" + _HUGE,
    "headers of 2^64": b"\x04" + b"\x00" * 10 + b"\x00\x00\x00\x00\x00" + _HUGE,
    "values of 2^64": b"\x0b\x00\x00\x00\x00\x00" + _HUGE,
    "a uint without end": b"\xff" * _COUNT,
    "many empty texts": b"\x0b\x00\x00\x00\x00\x00" + _COUNT_BYTES + b"\x00" * (_COUNT + 1),
    "many empty rows": b"\x0b\x00\x00\x00\x00\x00\x00" + _COUNT_BYTES + b"\x00" * _COUNT,
    "many nulls in a row": b"\x0b\x00\x00\x00\x00\x00\x00\x01" + _COUNT_BYTES + b"\x00" * _COUNT,
    "many empty keys": b"\x03\x00\x00\x00\x00\x01" + _COUNT_BYTES + b"\x00" * (_COUNT + 2),
}


@pytest.mark.parametrize("decoder", list(DECODERS.values()), ids=list(DECODERS))
@pytest.mark.parametrize("bomb", list(BOMBS.values()), ids=list(BOMBS))
def test_a_bomb_ends_in_bounded_time_and_memory(decoder: Decoder, bomb: bytes) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    with contextlib.suppress(ProtocolError):
        decoder(bomb)
    elapsed = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert elapsed < 5.0
    assert peak < 30 * len(bomb) + 200_000
