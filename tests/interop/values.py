"""JavaScript values on the channel between a test and the driver; the twin of ``values.mjs``.

    JavaScript      here
    undefined       UNDEFINED
    bigint          BigInt, an int that stays apart from a number
    number          int or float
    Uint8Array      bytes
    Date            datetime, aware, UTC
    Set, Map        set, JsMap

Deliberately independent of the encodings under test.
"""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

_MAX_SAFE_INTEGER = 2**53 - 1


class BigInt(int):
    """A JavaScript bigint. Compares like the int it is; ``type(value)`` tells it from a number."""


class Undefined(enum.Enum):
    """The type of ``UNDEFINED``."""

    UNDEFINED = "undefined"


UNDEFINED: Final[Literal[Undefined.UNDEFINED]] = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class JsMap:
    """A JavaScript Map: entries in insertion order, keys of any type."""

    entries: tuple[tuple[object, object], ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A JavaScript value of another class, as text. Never equal to what a test expects by accident."""

    text: str


def pack(value: object) -> object:
    """Turn a Python value into JSON for the driver.

    Raises:
        TypeError: There is no notation for it.
    """
    match value:
        case None | bool() | str():
            return value
        case Undefined():
            return {"@": "undefined"}
        case BigInt():
            return _tagged("bigint", str(int(value)))
        case int():
            return value if abs(value) <= _MAX_SAFE_INTEGER else _tagged("bigint", str(value))
        case float():
            return value if math.isfinite(value) else _tagged("number", _number_name(value))
        case bytes():
            return _tagged("bytes", base64.b64encode(value).decode())
        case datetime():
            return _tagged("date", round(value.timestamp() * 1000))
        case set() | frozenset():
            return _tagged("set", [pack(item) for item in cast("Iterable[object]", value)])
        case JsMap():
            return _tagged("map", _packed_pairs(value.entries))
        case list() | tuple():
            return [pack(item) for item in cast("Iterable[object]", value)]
        case Mapping():
            return _packed_mapping(cast("Mapping[str, object]", value))
        case _:
            raise TypeError(f"no notation for {type(value).__name__}")


def unpack(value: object) -> object:
    """Turn JSON from the driver into Python values."""
    if isinstance(value, list):
        return [unpack(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if "@" in fields:
        return _UNPACK[fields["@"]](fields.get("v"))
    return {key: unpack(entry) for key, entry in fields.items()}


def _tagged(kind: str, payload: object) -> dict[str, object]:
    return {"@": kind, "v": payload}


def _number_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _packed_pairs(pairs: Iterable[tuple[object, object]]) -> list[list[object]]:
    return [[pack(key), pack(entry)] for key, entry in pairs]


def _packed_mapping(value: Mapping[str, object]) -> dict[str, object]:
    if "@" in value:
        return _tagged("object", _packed_pairs(value.items()))
    return {key: pack(entry) for key, entry in value.items()}


def _pairs(payload: Any) -> list[tuple[object, object]]:
    return [(unpack(key), unpack(entry)) for key, entry in payload]


_UNPACK: dict[str, Callable[[Any], object]] = {
    "undefined": lambda _: UNDEFINED,
    "bigint": lambda payload: BigInt(payload),
    "number": lambda payload: float(payload.replace("Infinity", "inf")),
    "bytes": lambda payload: base64.b64decode(payload),
    "date": lambda payload: datetime.fromtimestamp(payload / 1000, UTC),
    "set": lambda payload: {unpack(item) for item in payload},
    "map": lambda payload: JsMap(tuple(_pairs(payload))),
    "object": lambda payload: dict(_pairs(payload)),
    "other": lambda payload: Other(str(payload)),
}
