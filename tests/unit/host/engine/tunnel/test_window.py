"""Credit and numbers, under every interleaving."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.host.engine.tunnel.indices import Outgoing
from rivetkit_core.host.engine.tunnel.window import (
    CHUNK,
    RECEIVE_WINDOW,
    SEND_CHUNKS,
    SEND_WINDOW,
    ReceiveWindow,
    SendWindow,
)
from rivetkit_core.wire.envoy.messages import RequestId, ResponseChunk, ToRivetTunnel
from rivetkit_core.wire.message_index import following, is_later

SIZES = st.integers(0, 3 * CHUNK)


@given(st.lists(st.tuples(st.sampled_from(["send", "consume"]), SIZES), max_size=200))
def test_a_sender_never_overruns_its_credit(steps: list[tuple[str, int]]) -> None:
    window, sent, consumed = SendWindow(), 0, 0
    for step, size in steps:
        if step == "send":
            granted = window.take(size)
            assert 0 <= granted <= min(size, CHUNK)
            sent += granted
        else:
            consumed = min(sent, consumed + size)
            window.credit(consumed)
        assert sent <= consumed + SEND_WINDOW


@given(st.lists(st.tuples(st.sampled_from(["send", "consume"]), SIZES), max_size=200))
def test_a_reader_that_keeps_up_never_stalls_its_sender(steps: list[tuple[str, int]]) -> None:
    window, sent, consumed, reported = ReceiveWindow(), 0, 0, 0
    for step, size in steps:
        if step == "send":
            size = min(size, reported + RECEIVE_WINDOW - sent)
            sent += size
            assert window.arrive(size)
        else:
            size = min(size, sent - consumed)
            consumed += size
            report = window.consume(size)
            if report is not None:
                assert report == consumed
                reported = report
        assert consumed - reported < CHUNK
        if consumed == sent and step == "consume":
            assert reported == consumed


def test_credit_that_goes_back_or_too_far_grants_nothing() -> None:
    window = SendWindow()
    window.take(100)
    window.credit(1_000_000_000)
    window.credit(50)
    granted = 0
    while taken := window.take(CHUNK):
        granted += taken
    assert granted == SEND_WINDOW


def test_tiny_chunks_are_limited_by_number() -> None:
    window = SendWindow()
    granted = [window.take(1) for _ in range(SEND_CHUNKS + 1)]
    assert granted == [1] * SEND_CHUNKS + [0]
    window.credit(10)
    assert [window.take(1) for _ in range(11)] == [1] * 10 + [0]


def test_a_sender_beyond_its_credit_is_noticed() -> None:
    window = ReceiveWindow()
    assert window.arrive(RECEIVE_WINDOW)
    assert not window.arrive(1)


@given(st.integers(0, 65_535), st.integers(1, 32_766))
def test_a_later_number_is_later_around_the_wrap(index: int, steps: int) -> None:
    later = (index + steps) % 65_536
    assert is_later(later, index)
    assert not is_later(index, later)
    assert not is_later(index, index)


def test_numbers_go_out_without_a_gap() -> None:
    sent: list[ToRivetTunnel] = []
    outgoing = Outgoing(RequestId(b"gate", b"requ"), sent.append, index=65_534)
    for _ in range(4):
        outgoing.send(ResponseChunk(b"", False))
    outgoing.end()
    outgoing.send(ResponseChunk(b"", False))
    assert [message.message_id.message_index for message in sent] == [65_534, 65_535, 0, 1]
    assert following(65_535) == 0
