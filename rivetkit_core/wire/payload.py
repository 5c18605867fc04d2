"""What the envelopes of every encoding share about the payloads and fields they carry."""

from __future__ import annotations

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor, cbor_scan
from rivetkit_core.wire.bare import U64_MAX

_STATUSES = frozenset({"completed", "timedOut"})
_NULL, _UNDEFINED = 0xF6, 0xF7


def as_arguments(payload: bytes) -> bytes:
    """Arguments as a CBOR array: null is no argument, anything but an array is one (client-protocol 3.1)."""
    if not payload:
        raise ProtocolError("a payload is empty")
    first = payload[0]
    if first >> 5 == cbor_scan.ARRAY:
        return payload
    if first in (_NULL, _UNDEFINED):
        return cbor.EMPTY_ARRAY
    return b"\x81" + payload


def is_nothing(payload: bytes) -> bool:
    """Whether a CBOR item is null or undefined, which stand for an absent field."""
    return payload[0] in (_NULL, _UNDEFINED)


def checked_status(status: str) -> str:
    """The status of a queue answer, one of the two that exist."""
    if status not in _STATUSES:
        raise ProtocolError(f"queue status {status[:32]!r} is unknown")
    return status


def checked_timeout(value: object) -> int:
    """Milliseconds, a non-negative integer of 64 bits; JavaScript may have written it as a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= U64_MAX:
        raise ProtocolError("timeout is not a non-negative integer")
    return value
