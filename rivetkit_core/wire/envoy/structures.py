"""Layouts that several messages of the envoy protocol share (envoy-protocol 4.3).

Functions over a BARE cursor: ``read_x(reader)`` and ``write_x(writer, value)``. Knows no message.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from typing import TypeVar

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer
from rivetkit_core.wire.envoy.messages import AbortKind, AbortReason, Checkpoint, MessageId, RequestId

T = TypeVar("T")
E = TypeVar("E", bound=enum.IntEnum)

_ID_SIZE = 4


def read_all(reader: Reader, read: Callable[[Reader], T]) -> tuple[T, ...]:
    """Read a counted list; the count is bounded by the bytes that are left."""
    return tuple([read(reader) for _ in range(reader.count("list"))])


def write_all(writer: Writer, values: Collection[T], write: Callable[[Writer, T], None]) -> None:
    writer.uint(len(values))
    for value in values:
        write(writer, value)


def read_enum(reader: Reader, kind: type[E]) -> E:
    ordinal = reader.uint()
    try:
        return kind(ordinal)
    except ValueError as failure:
        raise ProtocolError(f"{kind.__name__} has no member {ordinal}") from failure


def read_blobs(reader: Reader) -> tuple[bytes, ...]:
    return tuple(reader.list(reader.data))


def read_texts(reader: Reader) -> tuple[str, ...]:
    return tuple(reader.list(reader.str))


def read_checkpoint(reader: Reader) -> Checkpoint:
    return Checkpoint(reader.str(), reader.u32(), reader.i64())


def write_checkpoint(writer: Writer, checkpoint: Checkpoint) -> None:
    writer.str(checkpoint.actor_id)
    writer.u32(checkpoint.generation)
    writer.i64(checkpoint.index)


def read_request_id(reader: Reader) -> RequestId:
    return RequestId(reader.fixed(_ID_SIZE), reader.fixed(_ID_SIZE))


def write_request_id(writer: Writer, request: RequestId) -> None:
    writer.fixed(request.gateway_id, _ID_SIZE)
    writer.fixed(request.request_id, _ID_SIZE)


def read_message_id(reader: Reader) -> MessageId:
    return MessageId(reader.fixed(_ID_SIZE), reader.fixed(_ID_SIZE), reader.u16())


def write_message_id(writer: Writer, message: MessageId) -> None:
    writer.fixed(message.gateway_id, _ID_SIZE)
    writer.fixed(message.request_id, _ID_SIZE)
    writer.u16(message.message_index)


def read_abort_reason(reader: Reader) -> AbortReason:
    return AbortReason(read_enum(reader, AbortKind), reader.optional(reader.str))


def write_abort_reason(writer: Writer, reason: AbortReason) -> None:
    writer.uint(reason.kind)
    writer.optional(reason.detail, writer.str)
