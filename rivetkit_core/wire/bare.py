"""BARE primitives, as the client protocol, the envoy protocol and the stored records use them.

A cursor over bytes and a growing buffer; knows no message. Layouts live with the messages.

    uint         LEB128, minimal, at most 64 bits
    str, data    uint byte length, then that many bytes (str is UTF-8)
    optional     one byte, 0 or 1, then the value if 1
    list, map    uint count, then the items
    u16 ... i64  little-endian, fixed width
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from rivetkit_core.errors import ProtocolError

K = TypeVar("K")
T = TypeVar("T")

U64_MAX = (1 << 64) - 1
_UINT_MAX_BYTES = 10  # ten groups of seven bits carry 64


class Reader:
    """A cursor over one message. Every read advances within the data or raises ``ProtocolError``."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data)
        self._position = 0

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return self._end - self._position

    def fixed(self, size: int) -> bytes:
        """Read exactly ``size`` bytes without a length prefix."""
        start = self._position
        end = start + size
        if end > self._end:
            raise self._short(size)
        self._position = end
        return self._data[start:end]

    def _short(self, size: int) -> ProtocolError:
        return ProtocolError(f"{size} bytes expected at offset {self._position}, {self.remaining} left")

    def u8(self) -> int:
        position = self._position
        if position >= self._end:
            raise self._short(1)
        self._position = position + 1
        return self._data[position]

    def u16(self) -> int:
        return int.from_bytes(self.fixed(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.fixed(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.fixed(8), "little")

    def i64(self) -> int:
        return int.from_bytes(self.fixed(8), "little", signed=True)

    def uint(self) -> int:
        """Read a LEB128 number; one padded with zero groups or wider than 64 bits is refused."""
        position = self._position
        if position < self._end and (byte := self._data[position]) < 0x80:
            self._position = position + 1  # nearly every length and tag is one byte
            return byte
        return self._wide_uint()

    def _wide_uint(self) -> int:
        value = 0
        for index in range(_UINT_MAX_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise ProtocolError(f"padded uint before offset {self._position}")
                if value > U64_MAX:
                    break
                return value
        raise ProtocolError(f"uint wider than 64 bits before offset {self._position}")

    def bool(self) -> bool:
        byte = self.u8()
        if byte > 1:
            raise ProtocolError(f"bool is {byte} before offset {self._position}")
        return byte == 1

    def data(self) -> bytes:
        return self.fixed(self.uint())

    def str(self) -> str:
        size = self.uint()
        end = self._position + size
        if end > self._end:
            raise self._short(size)
        try:
            text = self._data[self._position : end].decode()
        except UnicodeDecodeError as failure:
            raise ProtocolError(f"invalid UTF-8 before offset {end}") from failure
        self._position = end
        return text

    def optional(self, read: Callable[[], T]) -> T | None:
        """Read an option; ``read`` is called only if it is present."""
        return read() if self.bool() else None

    def count(self, kind: builtins.str) -> int:
        """Read how many items a ``kind`` has. They take at least a byte each, so the data bounds it."""
        count = self.uint()
        if count > self.remaining:
            raise ProtocolError(f"{kind} of {count} items in {self.remaining} bytes")
        return count

    def list(self, read: Callable[[], T]) -> list[T]:
        """Read a counted list."""
        return [read() for _ in range(self.count("list"))]

    def map(self, read_key: Callable[[], K], read_value: Callable[[], T]) -> dict[K, T]:
        """Read a map; a key that comes twice is refused."""
        entries: dict[K, T] = {}
        for _ in range(self.count("map")):
            key = read_key()
            if key in entries:
                raise ProtocolError(f"map key twice before offset {self._position}")
            entries[key] = read_value()
        return entries

    def finish(self) -> None:
        """Refuse bytes after the message."""
        if self.remaining:
            raise ProtocolError(f"{self.remaining} bytes after the end")


class Writer:
    """Builds one message. Numbers that do not fit their width raise ``ProtocolError``."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def finish(self) -> bytes:
        return bytes(self._parts)

    def _integer(self, value: int, size: int, *, signed: bool = False) -> None:
        try:
            self._parts += value.to_bytes(size, "little", signed=signed)
        except OverflowError as failure:
            raise ProtocolError(f"{value} does not fit in {size} bytes") from failure

    def u8(self, value: int) -> None:
        self._integer(value, 1)

    def u16(self, value: int) -> None:
        self._integer(value, 2)

    def u32(self, value: int) -> None:
        self._integer(value, 4)

    def u64(self, value: int) -> None:
        self._integer(value, 8)

    def i64(self, value: int) -> None:
        self._integer(value, 8, signed=True)

    def uint(self, value: int) -> None:
        if not 0 <= value <= U64_MAX:
            raise ProtocolError(f"{value} does not fit in a uint")
        while value >= 0x80:
            self._parts.append(value & 0x7F | 0x80)
            value >>= 7
        self._parts.append(value)

    def bool(self, value: bool) -> None:
        self._parts.append(1 if value else 0)

    def fixed(self, value: bytes, size: int) -> None:
        """Write ``value`` without a length prefix; it must have exactly ``size`` bytes."""
        if len(value) != size:
            raise ProtocolError(f"{size} bytes expected, got {len(value)}")
        self._parts += value

    def data(self, value: bytes) -> None:
        self.uint(len(value))
        self._parts += value

    def str(self, value: str) -> None:
        try:
            self.data(value.encode())
        except UnicodeEncodeError as failure:
            raise ProtocolError("text with a lone surrogate") from failure

    def optional(self, value: T | None, write: Callable[[T], None]) -> None:
        self.bool(value is not None)
        if value is not None:
            write(value)

    def list(self, values: Iterable[T], write: Callable[[T], None]) -> None:
        items = tuple(values)
        self.uint(len(items))
        for item in items:
            write(item)

    def map(
        self, entries: Mapping[K, T], write_key: Callable[[K], None], write_value: Callable[[T], None]
    ) -> None:
        self.uint(len(entries))
        for key, value in entries.items():
            write_key(key)
            write_value(value)
