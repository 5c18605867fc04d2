"""A complete decoder for the CBOR that JavaScript clients write, tags included.

``cbor`` uses a C library for the common payload and comes here for the rest: tagged values, indefinite
containers, keys that are not text. It decides what is valid; anything it refuses is refused. The result is
still in compat form: a native set becomes ``["$Set", items]``, ``undefined`` becomes ``UNDEFINED``.

    tag 0, 1          datetime              tag 258           $Set
    tag 2, 3          int                   tag 259 (Map)     dict, keys as they are
    tag 4             float                 tag 64            bytes
    tag 27            "/source/flags" or {"name", "message"}
    tag 65-82, 84-86  typed arrays (RFC 8746): list of numbers
"""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal, DecimalException
from typing import cast

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor_scan as scan
from rivetkit_core.wire.compat import UNDEFINED, utc

_FLOATS = {2: ">e", 4: ">f", 8: ">d"}
_SIMPLE: dict[int, object] = {20: False, 21: True, 22: None, 23: UNDEFINED}
_TYPED_ARRAYS = {
    65: ">H", 66: ">I", 67: ">Q", 68: "<B", 69: "<H", 70: "<I", 71: "<Q",
    72: "<b", 73: ">h", 74: ">i", 75: ">q", 77: "<h", 78: "<i", 79: "<q",
    80: ">e", 81: ">f", 82: ">d", 84: "<e", 85: "<f", 86: "<d",
}  # fmt: skip


def decode_item(data: bytes) -> object:
    """Decode the one item that ``data`` consists of."""
    decoder = _Decoder(data)
    value = decoder.item(0)
    if decoder.position != len(data):
        raise ProtocolError(f"{len(data) - decoder.position} bytes after the item")
    return value


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def item(self, depth: int) -> object:
        start = self.position
        major, argument, self.position = scan.head(self._data, start)
        if major == scan.UNSIGNED:
            return argument
        if major == scan.NEGATIVE:
            return -1 - argument
        if major == scan.BYTES:
            return self._take(argument)
        if major == scan.TEXT:
            return self._text(argument)
        if major == scan.SIMPLE:
            return self._simple(start, argument)
        if depth >= scan.MAX_DEPTH:
            raise ProtocolError(f"nested deeper than {scan.MAX_DEPTH}")
        if major == scan.ARRAY:
            return self._array(argument, depth + 1)
        if major == scan.MAP:
            return self._map(argument, depth + 1)
        return self._tagged(argument, depth + 1)

    def _take(self, size: int) -> bytes:
        start = self.position
        end = start + size
        if end > len(self._data):
            raise ProtocolError(f"a string of {size} bytes is cut off at offset {len(self._data)}")
        self.position = end
        return self._data[start:end]

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as failure:
            raise ProtocolError("text is not UTF-8") from failure

    def _simple(self, start: int, argument: int) -> object:
        layout = _FLOATS.get(self.position - start - 1)
        if layout is not None:
            return struct.unpack(layout, self._data[start + 1 : self.position])[0]
        if self.position - start > 1 or argument not in _SIMPLE:
            raise ProtocolError(f"simple value {argument} is not assigned")
        return _SIMPLE[argument]

    def _array(self, count: int, depth: int) -> list[object]:
        items: list[object] = []
        while len(items) != count and not self._ended(count):
            items.append(self.item(depth))
        return items

    def _map(self, count: int, depth: int, *, text_keys: bool = True) -> dict[object, object]:
        items: dict[object, object] = {}
        read = 0
        while read != count and not self._ended(count):
            key = self.item(depth)
            items[_text_key(key) if text_keys else _hashable(key)] = self.item(depth)
            read += 1
        return items

    def _ended(self, count: int) -> bool:
        if count == scan.INDEFINITE and scan.at_break(self._data, self.position):
            self.position += 1
            return True
        return False

    def _tagged(self, tag: int, depth: int) -> object:
        if tag == 259:
            major, count, self.position = scan.head(self._data, self.position)
            if major != scan.MAP:
                raise ProtocolError("tag 259 without a map")
            return self._map(count, depth, text_keys=False)
        return _apply(tag, self.item(depth))


def _apply(tag: int, content: object) -> object:
    match tag, content:
        case 0, str():
            return _from_text(content)
        case 1, int() | float() if not isinstance(content, bool):
            return utc(content)
        case 2, bytes():
            return int.from_bytes(content, "big")
        case 3, bytes():
            return -1 - int.from_bytes(content, "big")
        case 4, [int() as exponent, int() as mantissa]:
            return _decimal(mantissa, exponent)
        case 27, list():
            return _javascript_object(cast("list[object]", content))
        case 64, bytes():
            return content
        case 258, list():
            return ["$Set", cast("list[object]", content)]
        case _, bytes() if tag in _TYPED_ARRAYS:
            return _numbers(_TYPED_ARRAYS[tag], content)
        case _:
            raise ProtocolError(f"tag {tag} is unknown, or does not fit its content")


def _from_text(text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ProtocolError("a date without an offset")
        return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError) as failure:
        raise ProtocolError("a date that is not ISO 8601") from failure


def _decimal(mantissa: int, exponent: int) -> float:
    try:
        return float(Decimal((int(mantissa < 0), _digits(mantissa), exponent)))
    except (DecimalException, ValueError, OverflowError) as failure:
        raise ProtocolError("a decimal fraction out of range") from failure


def _digits(value: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(value))))


def _javascript_object(parts: list[object]) -> object:
    match parts:
        case ["RegExp", str() as source, str() as flags]:
            return f"/{source}/{flags}"
        case [str() as name, str() as message]:
            return {"name": name, "message": message}
        case _:
            raise ProtocolError("tag 27 with an object that is neither RegExp nor Error")


def _numbers(layout: str, content: bytes) -> list[object]:
    if len(content) % struct.calcsize(layout):
        raise ProtocolError("a typed array with a partial element")
    return [element for (element,) in struct.iter_unpack(layout, content)]


def _text_key(key: object) -> str:
    """JavaScript turns number and boolean keys into text."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return _decimal_text(key)
    raise ProtocolError("a map key that is neither text nor an integer")


def _decimal_text(value: int) -> str:
    try:
        return str(value)
    except ValueError as failure:
        raise ProtocolError("a map key of too many digits") from failure


def _hashable(key: object) -> object:
    try:
        hash(key)
    except TypeError as failure:
        raise ProtocolError("a Map key that is an array or an object") from failure
    return key
