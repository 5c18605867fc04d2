from __future__ import annotations

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import persisted
from rivetkit_core.wire.bare import Writer
from rivetkit_core.wire.persisted import ActorRecord, ConnRecord, QueueMessage, QueueMetadata, ScheduleEvent

ACTORS = {
    "empty": ("0400 00 00 00 00", ActorRecord()),
    "initialized": (
        "0400 01 04 a1616e07 01 08 a165636f756e7402 00",
        ActorRecord(bytes.fromhex("a1616e07"), True, bytes.fromhex("a165636f756e7402")),
    ),
    "with an event": (
        "0400 01 03 010203 01 03 040506 01 07 6576656e742d31 2a00000000000000 04 70696e67 01 02 0708",
        ActorRecord(
            b"\x01\x02\x03",
            True,
            b"\x04\x05\x06",
            (ScheduleEvent("event-1", 42, "ping", b"\x07\x08"),),
        ),
    ),
    "an event without arguments": (
        "0400 00 01 01 f6 01 02 6531 0068e5cf8b010000 04 7469636b 00",
        ActorRecord(None, True, b"\xf6", (ScheduleEvent("e1", 1700000000000, "tick"),)),
    ),
}
CONNS = {
    "full": (
        "0400 06 636f6e6e2d31 01 f6 01 a0 01 07 75706461746564 01020304 05060708 0900 0a00"
        " 08 2f636f6e6e656374 01 03 782d61 01 62",
        ConnRecord(
            "conn-1",
            b"\xf6",
            b"\xa0",
            ("updated",),
            b"\x01\x02\x03\x04",
            b"\x05\x06\x07\x08",
            9,
            10,
            "/connect",
            {"x-a": "b"},
        ),
    ),
    "small": (
        "0400 01 63 02 0102 01 03 00 0a0b0c0d 14151617 0900 0a00 01 2f 00",
        ConnRecord("c", b"\x01\x02", b"\x03", (), b"\x0a\x0b\x0c\x0d", b"\x14\x15\x16\x17", 9, 10, "/"),
    ),
}
METADATA = {
    "new": ("0400 0100000000000000 00000000", QueueMetadata(1, 0)),
    "used": ("0400 2a00000000000000 07000000", QueueMetadata(42, 7)),
}
MESSAGES = {
    "plain": (
        "0400 03 6a6f62 05 a16178182a c801000000000000 00 00 00 00",
        QueueMessage("job", bytes.fromhex("a16178182a"), 456),
    ),
    "in flight": (
        "0400 01 61 01 01 2a00000000000000 01 02000000 01 2b00000000000000 01 01 01 2c00000000000000",
        QueueMessage("a", b"\x01", 42, 2, 43, True, 44),
    ),
}
ALARMS = {"none": ("0100 00", None), "set": ("0100 01 0068e5cf8b010000", 1700000000000)}


@pytest.mark.parametrize(("golden", "record"), ACTORS.values(), ids=ACTORS)
def test_an_actor_record_has_these_bytes(golden: str, record: ActorRecord) -> None:
    assert persisted.encode_actor(record).hex() == golden.replace(" ", "")
    assert persisted.decode_actor(bytes.fromhex(golden)) == record


@pytest.mark.parametrize(("golden", "record"), ACTORS.values(), ids=ACTORS)
def test_version_three_of_an_actor_record_differs_in_the_prefix_only(
    golden: str, record: ActorRecord
) -> None:
    assert persisted.decode_actor(b"\x03\x00" + bytes.fromhex(golden)[2:]) == record


@pytest.mark.parametrize(("golden", "record"), CONNS.values(), ids=CONNS)
def test_a_connection_record_has_these_bytes(golden: str, record: ConnRecord) -> None:
    assert persisted.encode_conn(record).hex() == golden.replace(" ", "")
    assert persisted.decode_conn(bytes.fromhex(golden)) == record
    assert persisted.decode_conn(b"\x03\x00" + bytes.fromhex(golden)[2:]) == record


@pytest.mark.parametrize(("golden", "record"), METADATA.values(), ids=METADATA)
def test_queue_metadata_has_these_bytes(golden: str, record: QueueMetadata) -> None:
    assert persisted.encode_queue_metadata(record).hex() == golden.replace(" ", "")
    assert persisted.decode_queue_metadata(bytes.fromhex(golden)) == record


@pytest.mark.parametrize(("golden", "record"), MESSAGES.values(), ids=MESSAGES)
def test_a_queue_message_has_these_bytes(golden: str, record: QueueMessage) -> None:
    assert persisted.encode_queue_message(record).hex() == golden.replace(" ", "")
    assert persisted.decode_queue_message(bytes.fromhex(golden)) == record


@pytest.mark.parametrize(("golden", "alarm"), ALARMS.values(), ids=ALARMS)
def test_the_last_alarm_has_these_bytes(golden: str, alarm: int | None) -> None:
    assert persisted.encode_last_alarm(alarm).hex() == golden.replace(" ", "")
    assert persisted.decode_last_alarm(bytes.fromhex(golden)) == alarm


def test_keys_have_these_bytes() -> None:
    assert persisted.ACTOR_KEY.hex() == "01"
    assert persisted.conn_key("conn-1").hex() == "02636f6e6e2d31"
    assert persisted.queue_message_key(1).hex() == "0501020000000000000001"
    assert persisted.queue_message_key(258).hex() == "0501020000000000000102"


def test_event_arguments_without_their_option_byte_are_read() -> None:
    record = persisted.decode_actor(
        bytes.fromhex("0400000101f601026531010000000000000001740 28101".replace(" ", ""))
    )

    assert record.scheduled_events == (ScheduleEvent("e1", 1, "t", b"\x81\x01"),)


def older_snapshot(version: int, timestamp: int) -> bytes:
    """A snapshot with one connection and one event, as version 1 or 2 wrote it."""
    writer = Writer()
    writer.u16(version)
    writer.bool(False)
    writer.bool(True)
    writer.data(b"\xf6")
    writer.uint(1)
    for text in ("conn", "token"):
        writer.str(text)
    writer.data(b"\xa0")
    writer.data(b"\xa0")
    writer.list(["updated"], writer.str)
    writer.u64(5)
    if version == 2:
        writer.optional(b"request", writer.data)
    writer.uint(1)
    writer.str("e1")
    writer.u64(timestamp)
    writer.u8(0)
    writer.str("tick")
    writer.optional(b"\x80", writer.data)
    if version == 2:
        writer.uint(1)
        writer.data(b"request")
        writer.i64(1)
        writer.i64(2)
    return writer.finish()


@pytest.mark.parametrize("version", [1, 2])
def test_older_snapshots_lose_their_connections_and_keep_their_events(version: int) -> None:
    record = persisted.decode_actor(older_snapshot(version, 7))

    assert record == ActorRecord(None, True, b"\xf6", (ScheduleEvent("e1", 7, "tick", b"\x80"),))


def test_a_time_of_version_one_is_clamped_to_signed_range() -> None:
    record = persisted.decode_actor(older_snapshot(1, 2**64 - 1))

    assert record.scheduled_events[0].timestamp == 2**63 - 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x05\x00\x00\x00\x00\x00", id="unknown version"),
        pytest.param(b"\x04\x00\x00\x00\x00\x00\x00", id="trailing byte"),
        pytest.param(b"\x04\x00\x00\x00\x00", id="cut off"),
    ],
)
def test_a_damaged_record_is_named(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        persisted.decode_actor(data)

    assert caught.value.code == "invalid_persisted_data"
    assert caught.value.metadata == {"label": "actor", "reason": caught.value.reason}
