"""Payloads: the CBOR dialect that the TypeScript client reads and writes (client-protocol 2.2, 2.4).

``encode`` writes the compat form, which every client understands. ``decode`` reads it, and the native
forms (tags, bignums, byte strings) that JavaScript clients write as well.

Both let the C library do the work. A payload that needs more than it can give is recognised beforehand, by
type, or afterwards, by the bytes that can occur in it, and takes the slower path; the result is the same.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, cast

import cbor2

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor_exact
from rivetkit_core.wire.cbor_scan import MAX_DEPTH
from rivetkit_core.wire.cbor_scan import item_end as item_end
from rivetkit_core.wire.compat import MAX_SAFE_INTEGER as MAX_SAFE_INTEGER
from rivetkit_core.wire.compat import UNDEFINED as UNDEFINED
from rivetkit_core.wire.compat import Tagger, number, revive, seconds_of

NULL = b"\xf6"
EMPTY_ARRAY = b"\x80"

_INT_LOW, _INT_HIGH = -(1 << 32), (1 << 32) - 1  # JavaScript reads wider CBOR integers as bigint
_SCALARS = frozenset({str, bool, float, type(None)})
# "$", floats, undefined and simple values. Without any of these bytes there is nothing to revive.
_SPECIAL = re.compile(rb"[$\xe0-\xf3\xf7-\xfb]")
_FLOAT64 = b"\xfb"
_UNDEFINED_OR_SIMPLE = re.compile(rb"[\xf7\xf8]")
# Tags the C library would interpret by itself, some of them (shared references) in ways that amplify.
_LIBRARY_TAGS: tuple[int, ...] = (
    0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip


def encode(value: object, *, default: Callable[[object], object] | None = None) -> bytes:
    """Encode one payload. Equal values of equal types, with keys in equal order, give equal bytes.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, dict, set, aware datetime, ``UNDEFINED``.
            Keys become text. Nesting is limited to 128 levels.
        default: Asked for a replacement of anything else, including keys and datetimes without a zone.

    Raises:
        ProtocolError: Something in it has no form on the wire, or it is circular.
    """
    if not _is_plain(value, 0):
        value = _tagger(default, escape=True).tag(value)
    return _dump(value)


def encode_compat(tree: object) -> bytes:
    """Encode a tree that is in compat form already: its ``$`` pairs are kept as they are."""
    if not _is_plain(tree, 0):
        tree = _tagger(None, escape=False).tag(tree)
    return _dump(tree)


def decode(data: bytes, *, undefined: object = None) -> object:
    """Decode one payload into plain, mutable Python values; dates are aware datetimes in UTC.

    Args:
        data: Exactly one CBOR item, in compat or native form.
        undefined: What to put where JavaScript had ``undefined``.

    Raises:
        ProtocolError: The bytes are malformed, nested more than 128 levels, or hold an unknown tag.
    """
    value = _load_fast(data)
    if value is not _UNABLE:
        if _SPECIAL.search(data) is None:
            return value
        with contextlib.suppress(ProtocolError):
            return revive(value, undefined)
    return revive(cbor_exact.decode_item(data), undefined)


def decode_compat(data: bytes) -> object:
    """Decode one payload but keep its ``$`` pairs; native sets become pairs, undefined is ``UNDEFINED``."""
    value = _UNABLE if _UNDEFINED_OR_SIMPLE.search(data) else _load_fast(data)
    if value is _UNABLE:
        return cbor_exact.decode_item(data)
    return _whole_numbers(value) if _FLOAT64 in data else value


def _whole_numbers(value: object) -> object:
    """The same tree with JavaScript's large integers, which travel as floats, as ``int`` again."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in cast("dict[object, object]", value).items()}
    return value


def _dump(tree: object) -> bytes:
    try:
        return cbor2.dumps(tree)
    except (cbor2.CBOREncodeError, UnicodeEncodeError, RecursionError) as failure:
        raise ProtocolError(f"not encodable: {failure}", label="value") from failure


def _tagger(default: Callable[[object], object] | None, *, escape: bool) -> Tagger:
    return Tagger(integer=_integer, real=_real, instant=_instant, default=default, escape=escape)


def _integer(value: int) -> int | float:
    return value if _INT_LOW <= value <= _INT_HIGH else float(value)


def _real(value: float) -> float:
    return value


def _instant(value: dt.datetime) -> cbor2.CBORTag:
    seconds = seconds_of(value)
    whole = seconds.is_integer() and 0 <= seconds <= _INT_HIGH
    return cbor2.CBORTag(1, int(seconds) if whole else seconds)


def _is_plain(value: object, depth: int) -> bool:
    """Whether the C encoder gives the compat form of ``value`` by itself."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        return _INT_LOW <= cast("int", value) <= _INT_HIGH
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        items = cast("dict[object, object]", value)
        return all(map(_is_text, items)) and _all_plain(items.values(), depth + 1)
    if kind is list:
        members = cast("list[object]", value)
        if len(members) == 2 and type(members[0]) is str and members[0].startswith("$"):
            return False
        return _all_plain(members, depth + 1)
    return False


def _all_plain(values: Iterable[object], depth: int) -> bool:
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind is int:
            if not _INT_LOW <= cast("int", value) <= _INT_HIGH:
                return False
        elif not _is_plain(value, depth):
            return False
    return True


def _is_text(key: object) -> bool:
    return type(key) is str


_UNABLE = object()


def _load_fast(data: bytes) -> object:
    """What the C decoder makes of untagged, definite, text-keyed data; ``_UNABLE`` for anything else."""
    if not _LIBRARY_KEEPS_LIMITS:
        return _UNABLE
    stream = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_refuse_tag,
        semantic_decoders=_REFUSE_TAGS,
        object_hook=_text_keyed,
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        strict_hashable_types=True,
    )
    try:
        value = decoder.decode()
    except cbor2.CBORDecodeError:
        return _UNABLE
    return value if stream.tell() == len(data) else _UNABLE


def _refuse_tag(_content: object, _immutable: bool) -> NoReturn:
    raise cbor2.CBORDecodeError("tagged")


def _text_keyed(items: Mapping[str, object], _immutable: bool) -> Mapping[str, object]:
    "".join(items)  # raises for a key that is not text; the quickest such test there is
    return items


# Releases before 6 cannot be told to limit nesting; with them every payload takes the exact decoder.
_LIBRARY_KEEPS_LIMITS = hasattr(cbor2.CBORDecoder, "max_depth") and hasattr(
    cbor2.CBORDecoder, "strict_hashable_types"
)
_REFUSE_TAGS: dict[int, Callable[[object, bool], NoReturn]] = dict.fromkeys(_LIBRARY_TAGS, _refuse_tag)
