"""Arguments, results, payloads and inputs as bytes, by the types their declarations name.

    arguments  one array in declaration order; trailing defaults are left out
    payload    an array: a tuple is spread, anything else is its single element
    input      one value: whole for a ``@create_state`` method with one parameter, a map by name for several

A codec reads its types on first use: declaring an actor costs nothing and may mention later classes.
Codecs know types and bytes; they know neither actors nor connections.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import cast

import pydantic

from rivetkit._authoring import InvalidActor
from rivetkit._signature import Function, Parameter, Signature, checked_adapter, nested_types, signature_of
from rivetkit._validation import (
    UNSET,
    Adapter,
    Issue,
    decode,
    decode_given,
    dump,
    encode,
    failure,
    issue,
    issues_of,
    load,
    resolve,
    to_plain,
    validate,
)
from rivetkit_core.errors import ValidationError, error

UNDEFINED = b"\xf7"

Arguments = tuple[list[object], dict[str, object]]


class CallCodec:
    """The bytes of one function's calls."""

    def __init__(self, function: Function) -> None:
        self._function = function

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self._function)

    def encode_args(self, args: Sequence[object], kwargs: Mapping[str, object], target: str) -> bytes:
        """Bind a Python call and write its arguments.

        Raises:
            TypeError: The arguments do not match the parameters.
            ValidationError: A value does not fit its parameter.
        """
        given = self.signature.bind(args, kwargs)
        while given and given[-1] is UNSET:
            given.pop()
        parameters = self.signature.parameters[: len(given)]
        values = _checked(parameters, given, target)
        plain = [
            to_plain(value, parameter.adapter, target)
            for parameter, value in zip(parameters, values, strict=True)
        ]
        return encode(plain, target)

    def decode_args(self, data: bytes, target: str) -> Arguments:
        """Read an array of arguments into what the function is called with.

        Raises:
            ValidationError: An argument is missing, too many or does not fit.
        """
        decoded = decode_given(data, target)
        given = cast("list[object]", decoded) if isinstance(decoded, list) else [decoded]
        parameters = self.signature.parameters
        if len(given) > len(parameters):
            found = f"Expected at most {len(parameters)} arguments, got {len(given)}"
            raise failure(target, [issue((len(parameters),), found, "unexpected_positional_argument")])
        padded = [*given, *[UNSET] * (len(parameters) - len(given))]
        return self.signature.arrange(_checked(parameters, padded, target))

    def encode_output(self, value: object, target: str) -> bytes:
        return dump(value, self.signature.result, target)

    def decode_output(self, data: bytes, target: str) -> object:
        return load(data, self.signature.result, target)


class InputCodec:
    """The bytes an actor is created with, for its ``@create_state`` method."""

    TARGET = "input"

    def __init__(self, function: Function) -> None:
        self._function = function

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self._function)

    def encode(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
        """Bind a Python call and write it as one value; ``undefined`` when nothing was given.

        Raises:
            TypeError: The arguments do not match the parameters.
            ValidationError: A value does not fit its parameter.
        """
        values = self.signature.bind(args, kwargs)
        given = {
            parameter: value
            for parameter, value in zip(self.signature.parameters, values, strict=True)
            if value is not UNSET
        }
        if not given:
            return UNDEFINED
        checked = _checked(tuple(given), list(given.values()), self.TARGET)
        plain = {
            parameter.name: to_plain(value, parameter.adapter, self.TARGET)
            for parameter, value in zip(given, checked, strict=True)
        }
        whole = len(self.signature.parameters) == 1
        return encode(next(iter(plain.values())) if whole else plain, self.TARGET)

    def decode(self, data: bytes | None) -> Arguments:
        """Read an input into what the function is called with. A list is not spread.

        Raises:
            ValidationError: The input does not fit.
            RivetError: ``actor.missing_input``, when there is none and a parameter needs a value.
        """
        value = UNSET if data is None else decode_given(data, self.TARGET)
        parameters = self.signature.parameters
        if value is UNSET and any(parameter.required for parameter in parameters):
            raise error("actor.missing_input")
        if not parameters:
            return [], {}
        if len(parameters) == 1:
            return self.signature.arrange([self._whole(value, parameters[0])])
        return self.signature.arrange(self._by_name(value, parameters))

    def _whole(self, value: object, parameter: Parameter) -> object:
        if value is UNSET:
            return UNSET
        try:
            return validate(value, parameter.adapter, self.TARGET)
        except ValidationError:
            # Clients of other languages write a missing input as null.
            if value is None and not parameter.required:
                return UNSET
            if value is None:
                raise error("actor.missing_input") from None
            raise

    def _by_name(self, value: object, parameters: tuple[Parameter, ...]) -> list[object]:
        given: object = {} if value is UNSET or value is None else value
        if not isinstance(given, Mapping):
            names = ", ".join(parameter.name for parameter in parameters)
            raise failure(self.TARGET, [issue((), f"Input should be a map with {names}", "dict_type")])
        entries = cast("Mapping[object, object]", given)
        known = {parameter.name for parameter in parameters}
        unknown = [
            issue((name,), "Unexpected keyword argument", "unexpected_keyword_argument")
            for name in entries
            if name not in known
        ]
        values = [entries.get(parameter.name, UNSET) for parameter in parameters]
        return _checked(parameters, values, self.TARGET, unknown)


class EventCodec:
    """The bytes of one event's payload."""

    def __init__(self, payload: object, module: str, where: str) -> None:
        self._payload = payload
        self._module = module
        self._where = where

    @cached_property
    def adapter(self) -> Adapter:
        """The payload's adapter.

        Raises:
            InvalidActor: The payload type cannot be resolved or cannot travel.
        """
        return checked_adapter(self._type, f"the payload of {self._where}")

    def encode(self, payload: object, target: str) -> bytes:
        plain = to_plain(validate(payload, self.adapter, target), self.adapter, target)
        return encode(list(cast("Sequence[object]", plain)) if self._spread else [plain], target)

    def decode(self, data: bytes, target: str) -> object:
        decoded = decode(data, target)
        args = cast("list[object]", decoded) if isinstance(decoded, list) else [decoded]
        if self._spread:
            return validate(args, self.adapter, target)
        if len(args) > 1:
            raise failure(target, [issue((1,), f"Expected one value, got {len(args)}", "too_many")])
        return validate(args[0] if args else None, self.adapter, target)

    @cached_property
    def _type(self) -> object:
        try:
            return resolve(self._payload, self._module)
        except NameError as missing:
            raise InvalidActor(
                f"The payload type of {self._where} cannot be resolved: {missing.name!r} is not defined at "
                f"module level."
            ) from missing

    @cached_property
    def _spread(self) -> bool:
        origin = typing.get_origin(self._type) or self._type
        return isinstance(origin, type) and issubclass(origin, tuple)


class QueueCodec:
    """The bytes of one queue's messages and replies. A reply declared as None is none."""

    def __init__(self, name: str, declared: Sequence[object], owner: type[object]) -> None:
        body, reply = (*declared, None)[:2]
        self._body = body
        self._reply = None if reply is type(None) else reply
        self._owner = owner
        self._queue = name
        self._message_target = f"queue `{name}` message"
        self._reply_target = f"queue `{name}` completion response"

    @property
    def message_type(self) -> object:
        """The type of its messages, as far as it can be resolved."""
        try:
            return resolve(self._body, self._owner.__module__, nested_types(self._owner))
        except NameError:
            return self._body

    @property
    def has_reply(self) -> bool:
        return self._reply is not None

    @cached_property
    def body(self) -> Adapter:
        """The messages' adapter.

        Raises:
            InvalidActor: Their type cannot be resolved or cannot travel.
        """
        return self._adapter(self._body, self._message_target)

    @cached_property
    def reply(self) -> Adapter:
        """The replies' adapter.

        Raises:
            InvalidActor: Their type cannot be resolved or cannot travel.
        """
        return self._adapter(self._reply, self._reply_target)

    def encode_body(self, body: object) -> bytes:
        return dump(body, self.body, self._message_target)

    def decode_body(self, data: bytes) -> object:
        return load(data, self.body, self._message_target)

    def encode_reply(self, reply: object) -> bytes | None:
        return dump(reply, self.reply, self._reply_target) if self.has_reply else None

    def decode_reply(self, data: bytes | None) -> object:
        if not self.has_reply:
            return None
        if data is not None:
            return load(data, self.reply, self._reply_target)
        try:
            return self.reply.validate_python(None)
        except pydantic.ValidationError:
            raise error("queue.no_reply", name=self._queue) from None

    def _adapter(self, declared: object, target: str) -> Adapter:
        try:
            resolved = resolve(declared, self._owner.__module__, nested_types(self._owner))
        except NameError as missing:
            raise InvalidActor(
                f"The type of the {target} of {self._owner.__name__} cannot be resolved: {missing.name!r} is "
                f"not defined at module level."
            ) from missing
        return checked_adapter(resolved, f"the {target} of {self._owner.__name__}")


def _checked(
    parameters: Sequence[Parameter], given: Sequence[object], target: str, issues: Sequence[Issue] = ()
) -> list[object]:
    """Validate values in declaration order and report everything that is wrong with them at once."""
    found = list(issues)
    values: list[object] = []
    for parameter, value in zip(parameters, given, strict=True):
        if value is UNSET:
            if parameter.required:
                found.append(issue((parameter.name,), "Field required", "missing"))
            values.append(parameter.default)
            continue
        try:
            values.append(parameter.adapter.validate_python(value))
        except pydantic.ValidationError as wrong:
            found.extend(issues_of(wrong, (parameter.name,)))
    if found:
        raise failure(target, found)
    return values
