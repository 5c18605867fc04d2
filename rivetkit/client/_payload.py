"""Values without a declaration as bytes: connection parameters, calls and events by name, inputs.

Typed calls do not come here; their references carry the codecs.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from rivetkit._references import Input
from rivetkit._validation import adapter_for, decode, encode, to_plain
from rivetkit_core.errors import RivetError, error

_ANYTHING = adapter_for(Any)


def encode_value(value: object, target: str) -> bytes:
    """Plain data, models and dataclasses as one CBOR item.

    Raises:
        ValidationError: It holds an object that cannot travel.
    """
    return encode(to_plain(value, _ANYTHING, target), target)


def decode_value(data: bytes, target: str) -> object:
    """One CBOR item as plain data.

    Raises:
        ValidationError: The bytes are not CBOR.
    """
    return decode(data, target)


def decode_event(args: bytes, name: str) -> tuple[object, ...]:
    """The arguments of an event as plain data."""
    values = decode_value(args, f"event `{name}` payload")
    return tuple(cast("list[object]", values)) if isinstance(values, list) else (values,)


def encode_input(value: object) -> bytes | None:
    """What an actor is created with: a typed ``Input``, plain data, or None for nothing."""
    if value is None:
        return None
    return cast("Input[Any]", value).encode() if isinstance(value, Input) else encode_value(value, "input")


async def encode_params(params: object) -> bytes | None:
    """Connection parameters. A callable is called for a fresh value, and awaited if it says so.

    Raises:
        ValidationError: They hold an object that cannot travel.
        RivetError: ``client.get_params_failed``: the callable raised.
    """
    value = await _provided(params) if callable(params) else params
    return None if value is None else encode_value(value, "connection parameters")


async def _provided(provider: object) -> object:
    try:
        value: object = provider() if callable(provider) else provider
        return await value if inspect.isawaitable(value) else value
    except RivetError:
        raise
    except Exception as failure:
        reason = f"{type(failure).__name__}: {failure}"
        raise error("client.get_params_failed", reason=reason) from failure
