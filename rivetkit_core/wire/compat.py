"""The compat layer: values that JSON has no form for, as two-element arrays (client-protocol 2.2).

    ["$BigInt", "<decimal>"]         int beyond 2^53-1
    ["$Uint8Array", "<base64>"]      bytes; "$ArrayBuffer" is read as well
    ["$Set", [items]]                set
    ["$Undefined", 0]                UNDEFINED
    ["$$x", y]                       the plain pair ["$x", y], escaped with one more "$"

``Tagger`` makes this form and ``revive`` reads it. Both work on values; bytes are the business of ``cbor``
and ``json_form``. JavaScript keeps a bigint apart from a number and an ArrayBuffer from a Uint8Array; Python
has one int and one bytes, so a small bigint comes back as a number and a buffer as a Uint8Array.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.cbor_scan import MAX_DEPTH

MAX_SAFE_INTEGER = (1 << 53) - 1
"""Beyond it a JavaScript number loses precision."""

_INTEGRAL_FROM = 1 << 32
_INTEGRAL_TO = 1 << 53
_DECIMAL = re.compile(r"-?[0-9]+")
_LEAVES = frozenset({str, int, bool, type(None), bytes, dt.datetime})


class Undefined(enum.Enum):
    """JavaScript's ``undefined``, where it must be told from ``null``."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED


class Tagger:
    """Turns a Python value into the compat form; a new tree, the value is left alone.

    Args:
        integer: Form of an int of at most 53 bits.
        real: Form of a float.
        instant: Form of an aware datetime.
        default: Asked for a replacement of any other object; the answer is converted in turn.
        escape: Off for a tree that is in compat form already and keeps its pairs.
    """

    def __init__(
        self,
        *,
        integer: Callable[[int], object],
        real: Callable[[float], object],
        instant: Callable[[dt.datetime], object],
        default: Callable[[object], object] | None = None,
        escape: bool = True,
    ) -> None:
        self._integer = integer
        self._real = real
        self._instant = instant
        self._default = default
        self._escape = escape

    def tag(self, value: object, depth: int = 0) -> object:
        """Convert one value.

        Raises:
            ProtocolError: It is circular or nested too deeply, holds an object no form exists for, or
                two keys of a dict have the same text.
        """
        match value:
            case None | bool():
                return value
            case str():
                return str.__str__(value)
            case int() if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                return self._integer(int(value))
            case float():
                return self._real(float(value))
            case _ if depth >= MAX_DEPTH:
                raise ProtocolError(f"circular, or nested deeper than {MAX_DEPTH}", label="value")
            case int():
                return _big_integer(int(value))
            case list() | tuple():
                return self._sequence(cast("Iterable[object]", value), depth)
            case dict():
                return self._mapping(cast("Mapping[object, object]", value), depth)
            case _:
                return self._extra(value, depth)

    def _sequence(self, items: Iterable[object], depth: int) -> list[object]:
        tagged = [self.tag(item, depth + 1) for item in items]
        if self._escape and len(tagged) == 2 and isinstance(tagged[0], str) and tagged[0].startswith("$"):
            tagged[0] = "$" + tagged[0]
        return tagged

    def _mapping(self, items: Mapping[object, object], depth: int) -> dict[str, object]:
        tagged = {self._key(key, depth): self.tag(value, depth + 1) for key, value in items.items()}
        if len(tagged) != len(items):
            raise ProtocolError("two keys of a dict have the same text", label="value")
        return tagged

    def _key(self, key: object, depth: int) -> str:
        match key:
            case str():
                return str.__str__(key)
            case bool():
                return "true" if key else "false"
            case int():
                return str(int(key))
            case _ if self._default is not None and depth < MAX_DEPTH:
                return self._key(self._default(key), depth + 1)
            case _:
                raise ProtocolError(f"{type(key).__name__} cannot be a key", label="value")

    def _extra(self, value: object, depth: int) -> object:
        match value:
            case bytes() | bytearray():
                return ["$Uint8Array", base64.b64encode(value).decode()]
            case memoryview():
                return ["$Uint8Array", base64.b64encode(cast("memoryview[int]", value).tobytes()).decode()]
            case set() | frozenset() if depth + 1 < MAX_DEPTH:
                members = (self.tag(item, depth + 2) for item in cast("Iterable[object]", value))
                return ["$Set", sorted(members, key=_sort_key)]  # a set has no order, its bytes must
            case dt.datetime() if value.tzinfo is not None:
                return self._instant(value)
            case Undefined.UNDEFINED:
                return ["$Undefined", 0]
            case _ if self._default is not None:
                return self.tag(self._default(value), depth + 1)
            case _:
                reason = f"{type(value).__name__} has no form on the wire"
                if isinstance(value, dt.datetime):
                    reason = "a datetime without a time zone is ambiguous"
                raise ProtocolError(reason, label="value")


def _big_integer(value: int) -> list[object]:
    try:
        return ["$BigInt", str(value)]
    except ValueError as failure:  # the interpreter bounds the digits
        raise ProtocolError("an int has too many digits", label="value") from failure


def revive(value: object, undefined: object, depth: int = 0) -> object:
    """Read the compat form back: a new tree of plain, mutable Python values.

    Args:
        value: What a CBOR or JSON decoder made.
        undefined: What stands for JavaScript's ``undefined`` in the result.
        depth: How deep ``value`` is already nested.

    Raises:
        ProtocolError: An unknown ``$`` tag, a known one with unfit contents, or too much nesting.
    """
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is float:
        return number(cast("float", value))
    if value is UNDEFINED:
        return undefined
    if depth >= MAX_DEPTH:
        raise ProtocolError(f"nested deeper than {MAX_DEPTH}")
    if kind is list:
        return _revive_list(cast("list[object]", value), undefined, depth)
    if kind is dict:
        inner = depth + 1
        return {
            key: item if type(item) in _LEAVES else revive(item, undefined, inner)
            for key, item in cast("dict[object, object]", value).items()
        }
    raise ProtocolError(f"a {kind.__name__} has no meaning here")


def number(value: float) -> int | float:
    """JavaScript integers beyond 32 bits arrive as floats; give them back as ints."""
    if value.is_integer() and _INTEGRAL_FROM <= abs(value) <= _INTEGRAL_TO:
        return int(value)
    return value


def utc(seconds: float) -> dt.datetime:
    """Seconds since the epoch as an aware datetime."""
    try:
        return _EPOCH + dt.timedelta(seconds=seconds)
    except (OverflowError, ValueError) as failure:
        raise ProtocolError(f"{seconds} seconds is no date") from failure


def seconds_of(instant: dt.datetime) -> float:
    """Seconds since the epoch; microseconds survive the round trip."""
    return (instant - _EPOCH) / dt.timedelta(seconds=1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _revive_list(items: list[object], undefined: object, depth: int) -> object:
    inner = depth + 1
    if len(items) == 2:
        tag = items[0]
        if isinstance(tag, str) and tag.startswith("$"):
            return _revive_pair(tag, items[1], undefined, inner)
    return [item if type(item) in _LEAVES else revive(item, undefined, inner) for item in items]


def _revive_pair(tag: str, content: object, undefined: object, depth: int) -> object:
    match tag:
        case "$BigInt":
            return _integer(content)
        case "$Uint8Array" | "$ArrayBuffer":
            return _bytes(content)
        case "$Undefined":
            return undefined
        case "$Set":
            return _set(revive(content, undefined, depth))
        case _ if tag.startswith("$$"):
            return [tag[1:], revive(content, undefined, depth)]
        case _:
            raise ProtocolError(f"unknown tag {tag[:32]!r}")


def _integer(text: object) -> int:
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        raise ProtocolError("$BigInt without decimal digits")
    try:
        return int(text)
    except ValueError as failure:  # the interpreter bounds the digits, because parsing them is quadratic
        raise ProtocolError(f"$BigInt of {len(text)} digits") from failure


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise ProtocolError("$Uint8Array without text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as failure:
        raise ProtocolError("$Uint8Array with invalid base64") from failure


def _set(members: object) -> object:
    """A set, or a list if a member cannot be in a Python set (an array or an object)."""
    if not isinstance(members, list):
        raise ProtocolError("$Set without an array")
    items = cast("list[object]", members)
    try:
        return set(items)
    except TypeError:
        return items


def _sort_key(value: object) -> tuple[int, str]:
    text = repr(value)
    return len(text), text


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinities; JavaScript writes null."""
    return value if math.isfinite(value) else None
