"""Private records of schedules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.schedule_records import (
    SCHEDULE_INDEX_KEY,
    HistoryRow,
    Job,
    RetryRecord,
    RunError,
    ScheduleIndex,
    decode_history,
    decode_index,
    decode_job,
    decode_retry,
    encode_history,
    encode_index,
    encode_job,
    encode_retry,
    history_key,
    job_key,
    retry_key,
)

DECODERS: list[Callable[[bytes], object]] = [decode_index, decode_job, decode_history, decode_retry]

JOB = Job(
    slot=3,
    name="ä",
    kind="cron",
    action="a.b",
    args=b"\x81\x01",
    next_at=5,
    expression="* * * * *",
    timezone="UTC",
    running=7,
    first_row=2,
    next_row=8,
)
FAILED = HistoryRow(
    action="a",
    scheduled_at=1,
    fired_at=2,
    finished_at=3,
    result="error",
    error=RunError("g", "c", "m", b"\xf6"),
)


def test_keys_are_apart_from_every_reserved_one() -> None:
    assert SCHEDULE_INDEX_KEY.hex() == "70790173"
    assert job_key(1).hex() == "7079016a00000001"
    assert history_key(1, 258).hex() == "70790168000000010000000000000102"
    assert retry_key("x").hex() == "7079017278"


def test_records_read_back_as_they_were_written() -> None:
    assert decode_job(encode_job(JOB)) == JOB
    assert decode_history(encode_history(FAILED)) == FAILED
    running = HistoryRow(action="a", scheduled_at=1, fired_at=2)
    assert decode_history(encode_history(running)) == running
    assert decode_index(encode_index(ScheduleIndex(4, (1, 3)))) == ScheduleIndex(4, (1, 3))
    assert decode_retry(encode_retry(RetryRecord(1, 2, 3, 4))) == RetryRecord(1, 2, 3, 4)


def test_the_stored_form_does_not_change() -> None:
    assert encode_index(ScheduleIndex(2, (0, 1))).hex() == "01008202820001"
    assert encode_retry(RetryRecord(1, 5, 1000, 300_000)).hex() == "01008401051903e81a000493e0"


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary() | st.binary().map(b"\x01\x00".__add__))
def test_no_bytes_raise_anything_but_a_protocol_error(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError as failure:
        assert failure.code == "invalid_persisted_data"


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("fields", [[], [1], ["x"] * 4, [None] * 14, [1] * 6, {"a": 1}, 5], ids=str)
def test_fields_in_the_wrong_place_are_refused(decode: Callable[[bytes], object], fields: object) -> None:
    with pytest.raises(ProtocolError):
        decode(b"\x01\x00" + cbor.encode(fields))


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(ProtocolError, match="version 2 is unknown"):
        decode_job(b"\x02\x00" + encode_job(JOB)[2:])
