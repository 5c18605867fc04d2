"""pydantic at every boundary, and one shape for what it finds.

Bytes become values and values become bytes here and nowhere else in the typed layer. Every failure is
``actor.validation_error`` with ``metadata = {"target": ..., "issues": [{"path", "message", "type"}]}``.
Adapters are not cached here: each declaration builds its own once and keeps it.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, cast

import pydantic
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from rivetkit_core.errors import ProtocolError, ValidationError
from rivetkit_core.wire import cbor

Issue = dict[str, object]
Adapter = TypeAdapter[Any]


class _Unset:
    """A value that was not given: an argument left out, or ``undefined`` on the wire."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()
_ANYTHING: Adapter = TypeAdapter(Any)


def adapter_for(annotation: object) -> Adapter:
    """Build the validator and serializer of a type; pydantic's schema errors pass through."""
    adapter: Adapter = TypeAdapter(cast("Any", annotation))
    return adapter


def resolve(annotation: object, module: str, names: Mapping[str, object] | None = None) -> object:
    """Evaluate the forward references in ``annotation`` with ``names`` and the names of ``module``.

    Raises:
        NameError: A name is not defined at module level.
    """
    holder = type("Holder", (), {"__annotations__": {"value": annotation}, "__module__": module})
    return typing.get_type_hints(holder, localns=dict(names or {}), include_extras=True)["value"]


def failure(target: str, issues: Iterable[Issue], message: str | None = None) -> ValidationError:
    """The one error for values that do not fit."""
    listed = list(issues)
    metadata = {"target": target, "issues": listed}
    return ValidationError("actor", "validation_error", message or f"Invalid {target}", metadata=metadata)


def issue(path: Iterable[object], message: str, kind: str) -> Issue:
    """One finding. Steps that are neither text nor numbers are written as text."""
    steps = [step if isinstance(step, str | int) else str(step) for step in path]
    return {"path": steps, "message": message, "type": kind}


def issues_of(found: pydantic.ValidationError, at: tuple[str | int, ...] = ()) -> list[Issue]:
    """What pydantic found, with paths below ``at``."""
    return [
        issue((*at, *entry["loc"]), entry["msg"], entry["type"])
        for entry in found.errors(include_url=False, include_context=False, include_input=False)
    ]


def validate(value: object, adapter: Adapter, target: str) -> object:
    """Check a value and convert it to its declared type.

    Raises:
        ValidationError: It does not fit.
    """
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as found:
        raise failure(target, issues_of(found)) from found


def to_plain(value: object, adapter: Adapter, target: str) -> object:
    """Take a valid value apart into what CBOR can carry.

    Raises:
        ValidationError: Somewhere inside is a value its type does not describe.
    """
    try:
        return adapter.dump_python(value, mode="python", warnings="error")
    except PydanticSerializationError as found:
        raise failure(target, [issue((), str(found), "serialization")]) from found


def encode(plain: object, target: str) -> bytes:
    """Write plain data as CBOR; dates, decimals, UUIDs and the like take their JSON form if CBOR has none.

    Raises:
        ValidationError: It holds an object that cannot travel.
    """
    try:
        return cbor.encode(plain, default=to_jsonable_python)
    except (PydanticSerializationError, ProtocolError) as found:
        raise failure(target, [issue((), str(found), "serialization")]) from found


def decode(data: bytes, target: str) -> object:
    """Read CBOR. JavaScript's ``undefined`` reads as a missing entry in a map and as None elsewhere.

    Raises:
        ValidationError: The bytes are not one CBOR item.
    """
    value = _read(data, target)
    return _settled(value) if _may_hold_undefined(data) else value


def decode_given(data: bytes, target: str) -> object:
    """Read arguments or an input, where ``undefined`` means a value that was not given: ``UNSET``.

    Raises:
        ValidationError: The bytes are not one CBOR item.
    """
    value = _read(data, target)
    if value is UNSET or not _may_hold_undefined(data):
        return value
    if isinstance(value, list):
        return [item if item is UNSET else _settled(item) for item in cast("list[object]", value)]
    return _settled(value)


def _read(data: bytes, target: str) -> object:
    try:
        return cbor.decode(data, undefined=UNSET)
    except ProtocolError as found:
        raise failure(target, [issue((), str(found), "cbor")]) from found


def _may_hold_undefined(data: bytes) -> bool:
    return b"\xf7" in data or b"$Undefined" in data


def _settled(value: object) -> object:
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {key: _settled(entry) for key, entry in entries.items() if entry is not UNSET}
    if isinstance(value, list):
        return [_settled(item) for item in cast("list[object]", value)]
    return None if value is UNSET else value


def dump(value: object, adapter: Adapter, target: str) -> bytes:
    """Validate a value and write it as CBOR.

    Raises:
        ValidationError: It does not fit its declared type.
    """
    return encode(to_plain(validate(value, adapter, target), adapter, target), target)


def load(data: bytes, adapter: Adapter, target: str) -> object:
    """Read CBOR and validate it.

    Raises:
        ValidationError: It is not CBOR, or does not fit the declared type.
    """
    return validate(decode(data, target), adapter, target)


def dump_anything(value: object, target: str) -> bytes:
    """Write a value of no declared type as CBOR: plain data, models, dataclasses.

    Raises:
        ValidationError: It holds an object that cannot travel.
    """
    return encode(to_plain(value, _ANYTHING, target), target)


def load_anything(data: bytes, target: str) -> object:
    """Read CBOR as plain data.

    Raises:
        ValidationError: It is not CBOR.
    """
    value = decode(data, target)
    return None if value is UNSET else value


def plain_metadata(value: object) -> object:
    """Error metadata as plain data, whatever the author put in: models, dataclasses, sets, dates."""
    return _plain(_ANYTHING.dump_python(value, warnings=False))


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        return {str(key): _plain(entry) for key, entry in entries.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in cast("Iterable[object]", value)]
    return to_jsonable_python(value, fallback=str)
