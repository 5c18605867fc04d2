"""Stored records of an actor, byte for byte those of every RivetKit runtime (actor-runtime 2.1 to 2.3).

    01                      ActorRecord       written v4, read v1 to v4
    02 + connection id      ConnRecord        written v4, read v3 and v4
    05 01 01                QueueMetadata     v4
    05 01 02 + u64 (big)    QueueMessage      v4
    06                      last alarm        v1

A value is a u16 version and a BARE body without anything after it. Anything else is
``protocol.invalid_persisted_data``, with the record's label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import persisted_legacy as legacy
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.persisted_legacy import ScheduleEvent as ScheduleEvent

T = TypeVar("T")

ACTOR_KEY = b"\x01"
CONN_PREFIX = b"\x02"
QUEUE_METADATA_KEY = b"\x05\x01\x01"
QUEUE_MESSAGE_PREFIX = b"\x05\x01\x02"
LAST_ALARM_KEY = b"\x06"

_VERSION = 4
_ALARM_VERSION = 1
_INVALID = "invalid_persisted_data"


@dataclass(frozen=True, slots=True)
class ActorRecord:
    """The actor's snapshot. ``input`` and ``state`` are CBOR; ``state`` is empty until first set."""

    input: bytes | None = None
    has_initialized: bool = False
    state: bytes = b""
    scheduled_events: tuple[ScheduleEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnRecord:
    """One connection that outlives sleep. Ids of gateway and request have four bytes each."""

    id: str
    parameters: bytes
    state: bytes
    subscriptions: tuple[str, ...] = ()
    gateway_id: bytes = bytes(4)
    request_id: bytes = bytes(4)
    server_message_index: int = 0
    client_message_index: int = 0
    request_path: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class QueueMetadata:
    """Next message id and number of stored messages."""

    next_id: int
    size: int


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One queued message; times in milliseconds. The last four are read but never written by this runtime."""

    name: str
    body: bytes
    created_at: int
    failure_count: int | None = None
    available_at: int | None = None
    in_flight: bool | None = None
    in_flight_at: int | None = None


def conn_key(conn_id: str) -> bytes:
    return CONN_PREFIX + conn_id.encode()


def queue_message_key(message_id: int) -> bytes:
    """Big-endian, so that keys sort in the order of arrival."""
    return QUEUE_MESSAGE_PREFIX + message_id.to_bytes(8, "big")


def encode_actor(record: ActorRecord) -> bytes:
    writer = _writer(_VERSION)
    writer.optional(record.input, writer.data)
    writer.bool(record.has_initialized)
    writer.data(record.state)

    def write_event(event: ScheduleEvent) -> None:
        writer.str(event.event_id)
        writer.i64(event.timestamp)
        writer.str(event.action)
        writer.optional(event.args, writer.data)

    writer.list(record.scheduled_events, write_event)
    return writer.finish()


def decode_actor(data: bytes) -> ActorRecord:
    """Read a snapshot of any version.

    A short-lived writer of version 4 left out the option byte of event arguments. Its records are
    recognised by not reading as well-formed ones.
    """
    try:
        return _decode(data, "actor", (1, 2, 3, 4), _read_actor)
    except ProtocolError:
        if data[:2] != _VERSION.to_bytes(2, "little"):
            raise
        try:
            return _decode(data, "actor", (_VERSION,), _read_raw_args_actor)
        except ProtocolError:
            pass
        raise


def _read_actor(reader: Reader, version: int) -> ActorRecord:
    actor_input = reader.optional(reader.data)
    has_initialized = reader.bool()
    state = reader.data()
    if version < 3:
        legacy.skip_connections(reader, version)
        events = legacy.read_events(reader, version)
    else:
        events = reader.list(lambda: _read_event(reader))
    return ActorRecord(actor_input, has_initialized, state, tuple(events))


def _read_raw_args_actor(reader: Reader, _version: int) -> ActorRecord:
    return ActorRecord(
        reader.optional(reader.data),
        reader.bool(),
        reader.data(),
        tuple(reader.list(lambda: legacy.read_raw_args_event(reader))),
    )


def _read_event(reader: Reader) -> ScheduleEvent:
    return ScheduleEvent(reader.str(), reader.i64(), reader.str(), reader.optional(reader.data))


def encode_conn(record: ConnRecord) -> bytes:
    writer = _writer(_VERSION)
    writer.str(record.id)
    writer.data(record.parameters)
    writer.data(record.state)
    writer.list(record.subscriptions, writer.str)
    writer.fixed(record.gateway_id, 4)
    writer.fixed(record.request_id, 4)
    writer.u16(record.server_message_index)
    writer.u16(record.client_message_index)
    writer.str(record.request_path)
    writer.uint(len(record.request_headers))
    for name, value in record.request_headers.items():
        writer.str(name)
        writer.str(value)
    return writer.finish()


def decode_conn(data: bytes) -> ConnRecord:
    return _decode(data, "connection", (3, 4), _read_conn)


def _read_conn(reader: Reader, _version: int) -> ConnRecord:
    return ConnRecord(
        id=reader.str(),
        parameters=reader.data(),
        state=reader.data(),
        subscriptions=tuple(reader.list(reader.str)),
        gateway_id=reader.fixed(4),
        request_id=reader.fixed(4),
        server_message_index=reader.u16(),
        client_message_index=reader.u16(),
        request_path=reader.str(),
        request_headers=dict(reader.list(lambda: (reader.str(), reader.str()))),
    )


def encode_queue_metadata(record: QueueMetadata) -> bytes:
    writer = _writer(_VERSION)
    writer.u64(record.next_id)
    writer.u32(record.size)
    return writer.finish()


def decode_queue_metadata(data: bytes) -> QueueMetadata:
    return _decode(data, "queue metadata", (_VERSION,), lambda r, _: QueueMetadata(r.u64(), r.u32()))


def encode_queue_message(record: QueueMessage) -> bytes:
    writer = _writer(_VERSION)
    writer.str(record.name)
    writer.data(record.body)
    writer.i64(record.created_at)
    writer.optional(record.failure_count, writer.u32)
    writer.optional(record.available_at, writer.i64)
    writer.optional(record.in_flight, writer.bool)
    writer.optional(record.in_flight_at, writer.i64)
    return writer.finish()


def decode_queue_message(data: bytes) -> QueueMessage:
    return _decode(data, "queue message", (_VERSION,), _read_queue_message)


def _read_queue_message(reader: Reader, _version: int) -> QueueMessage:
    return QueueMessage(
        name=reader.str(),
        body=reader.data(),
        created_at=reader.i64(),
        failure_count=reader.optional(reader.u32),
        available_at=reader.optional(reader.i64),
        in_flight=reader.optional(reader.bool),
        in_flight_at=reader.optional(reader.i64),
    )


def encode_last_alarm(timestamp: int | None) -> bytes:
    """The alarm last set with the host, in milliseconds; None if none is."""
    writer = _writer(_ALARM_VERSION)
    writer.optional(timestamp, writer.i64)
    return writer.finish()


def decode_last_alarm(data: bytes) -> int | None:
    return _decode(data, "last alarm", (_ALARM_VERSION,), lambda r, _: r.optional(r.i64))


def _writer(version: int) -> Writer:
    writer = Writer()
    writer.u16(version)
    return writer


def _decode(data: bytes, label: str, versions: tuple[int, ...], read: Callable[[Reader, int], T]) -> T:
    reader = Reader(data)
    try:
        version = reader.u16()
        if version not in versions:
            raise ProtocolError(f"version {version} is unknown")
        record = read(reader, version)
        reader.finish()
    except ProtocolError as failure:
        raise ProtocolError(failure.reason, code=_INVALID, label=label) from failure
    return record
