"""What a function declares: parameters in the order they travel, their types, and its result.

Arguments travel as one array in declaration order, keyword-only parameters included; every client in
every language can therefore make the same call. ``*args`` and ``**kwargs`` have no place in that array.
"""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from rivetkit._authoring import InvalidActor
from rivetkit._validation import UNSET, Adapter, adapter_for

Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter. ``default`` is ``UNSET`` when the caller has to give a value."""

    name: str
    adapter: Adapter
    default: object
    keyword_only: bool

    @property
    def required(self) -> bool:
        return self.default is UNSET


@dataclass(frozen=True, slots=True)
class Signature:
    """A function without its ``self``: what a caller gives and what comes back."""

    name: str
    parameters: tuple[Parameter, ...]
    result: Adapter
    result_type: object
    shape: inspect.Signature

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
        """Arguments in declaration order; ``UNSET`` for those left to their default.

        Raises:
            TypeError: The arguments do not match the parameters.
        """
        try:
            bound = self.shape.bind(*args, **kwargs)
        except TypeError as mismatch:
            raise TypeError(f"{self.name}() {mismatch}") from None
        return [bound.arguments.get(parameter.name, UNSET) for parameter in self.parameters]

    def arrange(self, values: Sequence[object]) -> tuple[list[object], dict[str, object]]:
        """Turn values in declaration order into positional and keyword arguments for the function."""
        positional: list[object] = []
        keywords: dict[str, object] = {}
        for parameter, value in zip(self.parameters, values, strict=True):
            given = parameter.default if value is UNSET else value
            if parameter.keyword_only:
                keywords[parameter.name] = given
            else:
                positional.append(given)
        return positional, keywords


@functools.cache
def signature_of(function: Function) -> Signature:
    """Read a method's signature, once.

    Raises:
        InvalidActor: A parameter or the result cannot travel, or is not annotated.
    """
    where = function.__qualname__
    hints = hints_of(function)
    shape = inspect.signature(function)
    declared = list(shape.parameters.values())[1:]
    if "return" not in hints:
        raise InvalidActor(
            f"{where} does not say what it returns. Clients decode the result by that type: "
            f"write `-> None` or the type of the result."
        )
    return Signature(
        name=function.__name__,
        parameters=tuple(_parameter(found, hints, where) for found in declared),
        result=checked_adapter(hints["return"], f"the result of {where}"),
        result_type=hints["return"],
        shape=shape.replace(parameters=declared),
    )


def hints_of(function: Function) -> dict[str, object]:
    """Annotations of a method, resolved.

    Raises:
        InvalidActor: One names something that does not exist at module level.
    """
    try:
        return typing.get_type_hints(function, localns=_enclosing_types(function), include_extras=True)
    except NameError as missing:
        raise InvalidActor(
            f"{function.__qualname__} has an annotation that cannot be resolved: {missing.name!r} is "
            f"not defined at module level. Move it out of the function, or out of "
            f"`if TYPE_CHECKING`, to the top of the module."
        ) from missing


def nested_types(owner: type[object]) -> dict[str, object]:
    """Classes written inside a class body; its annotations may name them."""
    return {name: value for name, value in vars(owner).items() if isinstance(value, type)}


def _enclosing_types(function: Function) -> dict[str, object]:
    found: object = sys.modules.get(function.__module__)
    for step in function.__qualname__.split(".")[:-1]:
        found = getattr(found, step, None)
    return nested_types(found) if isinstance(found, type) else {}


def _parameter(found: inspect.Parameter, hints: Mapping[str, object], where: str) -> Parameter:
    if found.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        stars = "*" if found.kind is inspect.Parameter.VAR_POSITIONAL else "**"
        raise InvalidActor(
            f"{where} takes {stars}{found.name}. Arguments travel in declaration order, so each needs a "
            f"name and a type: declare the parameters one by one, or take a list or a dict."
        )
    if found.name not in hints:
        raise InvalidActor(
            f"Parameter {found.name!r} of {where} has no annotation. Arguments are validated by their type: "
            f"write `{found.name}: str` (or whatever it is; `object` accepts anything)."
        )
    if isinstance(found.default, FieldInfo):
        raise InvalidActor(
            f"The default of {found.name!r} of {where} is a pydantic Field, which the method itself would "
            f"receive: write `{found.name}: Annotated[..., Field(...)] = default`"
        )
    return Parameter(
        name=found.name,
        adapter=checked_adapter(hints[found.name], f"parameter {found.name!r} of {where}"),
        default=UNSET if found.default is inspect.Parameter.empty else found.default,
        keyword_only=found.kind is inspect.Parameter.KEYWORD_ONLY,
    )


def checked_adapter(annotation: object, what: str) -> Adapter:
    """An adapter for a type an author declared.

    Raises:
        InvalidActor: pydantic knows no schema for the type.
    """
    try:
        return adapter_for(annotation)
    except Exception as reason:  # schema building runs code of the annotated types
        raise InvalidActor(
            f"The type of {what} cannot travel: {annotation!r}. Use a type pydantic can validate: "
            f"plain data, a pydantic model or a dataclass. ({str(reason).splitlines()[0]})"
        ) from reason
