"""Payloads of JSON clients: JSON text to and from the CBOR that the core carries (client-protocol 2.2, 2.3).

Both sides are in compat form, so ``$`` pairs pass through unread; what JSON lacks beyond that (dates,
byte strings, big ints, undefined) is given its tag, and NaN becomes null as in JavaScript.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from typing import NoReturn

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.compat import Tagger, finite, number, revive

# Heads of integers beyond 53 bits and of maps with keys of any type, which JSON text would not show.
_NEEDS_TAGS = re.compile(rb"[\x1b\x3b\xc2\xc3\xd9]")


def cbor_to_json(data: bytes) -> str:
    """One CBOR payload as JSON text.

    Raises:
        ProtocolError: The payload is malformed.
    """
    tree = cbor.decode_compat(data)
    if _NEEDS_TAGS.search(data) is None:
        with contextlib.suppress(ProtocolError):  # the encoder itself refuses bytes, dates and NaN
            return dumps(tree)
    return dumps(_TRANSCODER.tag(tree))


def json_to_cbor(text: str | bytes) -> bytes:
    """One JSON text as a CBOR payload.

    Raises:
        ProtocolError: It is not JSON, nested more than 128 levels, or has a lone surrogate.
    """
    return cbor.encode_compat(loads(text))


def value_to_json(value: object) -> object:
    """A Python value in compat form, ready for ``dumps``."""
    return _TAGGER.tag(value)


def json_to_value(tree: object) -> object:
    """Read the compat form that ``loads`` returned; undefined becomes None."""
    return revive(tree, None)


def dumps(tree: object) -> str:
    """Compact JSON text, non-ASCII unescaped."""
    try:
        text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as failure:
        raise ProtocolError(f"not encodable: {failure}", label="value") from failure
    return text


def loads(text: str | bytes) -> object:
    """Parse JSON strictly: UTF-8, and none of the literals that JavaScript refuses.

    Raises:
        ProtocolError: It is not JSON or nested too deeply.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()
        return json.loads(decoded, parse_constant=_refuse_constant)
    except UnicodeDecodeError as failure:
        raise ProtocolError("JSON that is not UTF-8") from failure
    except (ValueError, RecursionError) as failure:
        raise ProtocolError(f"invalid JSON: {failure}") from failure


def _refuse_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def _real(value: float) -> int | float | None:
    return finite(number(value))


def _integer(value: int) -> int:
    return value


def _instant(value: dt.datetime) -> str:
    """JavaScript's ``Date.toJSON``: UTC with milliseconds."""
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


_TAGGER = Tagger(integer=_integer, real=_real, instant=_instant)
_TRANSCODER = Tagger(integer=_integer, real=_real, instant=_instant, escape=False)
