from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.envoy.codec import (
    SUPPORTED_VERSIONS,
    EnvoyCodec,
    decode_start_payload,
    encode_start_payload,
)
from rivetkit_core.wire.envoy.messages import Commands, ToEnvoy, ToRivet
from tests.unit.wire.envoy import strategies as some

versions = st.sampled_from(SUPPORTED_VERSIONS)


@given(versions.flatmap(lambda version: st.tuples(st.just(version), some.to_rivet(version))))
def test_a_message_of_a_host_survives(case: tuple[int, ToRivet]) -> None:
    version, message = case
    codec = EnvoyCodec(version)

    assert codec.decode_to_rivet(codec.encode_to_rivet(message)) == message


@given(versions.flatmap(lambda version: st.tuples(st.just(version), some.to_envoy(version))))
def test_a_message_of_the_engine_survives(case: tuple[int, ToEnvoy]) -> None:
    version, message = case
    codec = EnvoyCodec(version)

    assert codec.decode_to_envoy(codec.encode_to_envoy(message)) == message


@given(some.commands, versions)
def test_a_start_payload_survives(commands: Commands, version: int) -> None:
    payload = encode_start_payload(commands, version)

    assert payload[:2] == version.to_bytes(2, "little")
    assert decode_start_payload(payload) == commands


@given(versions.flatmap(lambda version: st.tuples(st.just(version), some.to_envoy(version))), st.data())
def test_a_message_cut_short_or_too_long_is_refused(case: tuple[int, ToEnvoy], data: st.DataObject) -> None:
    version, message = case
    codec = EnvoyCodec(version)
    whole = codec.encode_to_envoy(message)
    cut = data.draw(st.integers(0, len(whole) - 1))

    for broken in (whole[:cut], whole + b"\x00"):
        with pytest.raises(ProtocolError):
            codec.decode_to_envoy(broken)
