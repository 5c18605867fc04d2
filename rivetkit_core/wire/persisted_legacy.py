"""Older layouts of the actor snapshot, for reading only (actor-runtime 2.2).

Versions 1 and 2 kept connections in the snapshot and a kind with every event. What they know of
connections is dropped: those clients are gone. Times of version 1 are unsigned and clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader

_I64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """A call due at ``timestamp``, in milliseconds; ``args`` is a CBOR array."""

    event_id: str
    timestamp: int
    action: str
    args: bytes | None = None


def skip_connections(reader: Reader, version: int) -> None:
    """Pass over the connection list of version 1 or 2."""
    reader.list(lambda: _skip_connection(reader, version))


def _skip_connection(reader: Reader, version: int) -> None:
    reader.str()
    reader.str()
    reader.data()
    reader.data()
    reader.list(reader.str)
    reader.u64()
    if version == 2:
        reader.optional(reader.data)


def read_events(reader: Reader, version: int) -> list[ScheduleEvent]:
    """The events of version 1 or 2; in version 2 also pass over the hibernating websockets after them."""
    events = reader.list(lambda: _read_event(reader, version))
    if version == 2:
        reader.list(lambda: (reader.data(), reader.i64(), reader.i64()))
    return events


def _read_event(reader: Reader, version: int) -> ScheduleEvent:
    event_id = reader.str()
    timestamp = min(reader.u64(), _I64_MAX) if version == 1 else reader.i64()
    kind = reader.u8()
    if kind != 0:
        raise ProtocolError(f"event kind {kind} is unknown")
    return ScheduleEvent(event_id, timestamp, reader.str(), reader.optional(reader.data))


def read_raw_args_event(reader: Reader) -> ScheduleEvent:
    """An event whose arguments lack the option byte; empty ones are absent."""
    return ScheduleEvent(reader.str(), reader.i64(), reader.str(), reader.data() or None)
