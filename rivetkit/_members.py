"""What a class declares, found by walking it: actions, groups, events, annotations.

Looks and answers; judging what it finds is the business of ``_checks``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from rivetkit._action import Action
from rivetkit._action_group import ActionGroup
from rivetkit._actor import Actor
from rivetkit._authoring import InvalidActor
from rivetkit._codecs import CallCodec, InputCodec
from rivetkit._contract import Contract
from rivetkit._event import Event
from rivetkit._resource import Resource
from rivetkit._signature import Function, nested_types
from rivetkit._state import Initial
from rivetkit._validation import UNSET, resolve
from rivetkit_core.config import Durability

K = TypeVar("K")

_ACTION = cast("type[Action[..., Any, Any]]", Action)
_GROUP = cast("type[ActionGroup[Any]]", ActionGroup)
_EVENT = cast("type[Event[Any]]", Event)
_RESOURCE = cast("type[Resource[Any]]", Resource)
_INITIAL = cast("type[Initial[..., Any]]", Initial)
_ROOTS: tuple[type[object], ...] = (object, Contract, Actor, ActionGroup)


@dataclass(frozen=True, slots=True)
class Member:
    """An attribute as the class sees it: the most derived one wins."""

    attribute: str
    value: object
    owner: type[object]


@dataclass(frozen=True, slots=True)
class FoundAction:
    """An action with its wire name and the group attributes that lead to it."""

    name: str
    path: tuple[str, ...]
    function: Function
    codec: CallCodec
    durability: Durability | None
    timeout: float | None

    @property
    def where(self) -> str:
        return self.function.__qualname__


@dataclass(frozen=True, slots=True)
class FoundInitial:
    """A ``@create_state`` method and the codec of its input."""

    function: Function
    codec: InputCodec

    @property
    def where(self) -> str:
        return self.function.__qualname__


def authored_bases(cls: type[object]) -> list[type[object]]:
    """The classes in ``cls``'s line that authors wrote, most derived first."""
    return [base for base in cls.__mro__ if base not in _ROOTS]


def members(cls: type[object]) -> list[Member]:
    """Everything authors put on a class and its bases, in order of declaration."""
    found: dict[str, Member] = {}
    for base in reversed(authored_bases(cls)):
        for attribute, value in vars(base).items():
            found[attribute] = Member(attribute, value, base)
    return list(found.values())


def actions(cls: type[object], path: tuple[str, ...] = ()) -> Iterator[FoundAction]:
    """Every action, those of groups included."""
    for member in members(cls):
        if declared := narrowed(member.value, _ACTION):
            name = ".".join((*path, declared.name))
            options = declared.durability, declared.timeout
            yield FoundAction(name, path, declared.function, declared.codec, *options)
        elif group := narrowed(member.value, _GROUP):
            yield from actions(type(group), (*path, member.attribute))


def groups(cls: type[object]) -> Iterator[type[ActionGroup[Any]]]:
    """Every group class reachable from ``cls``."""
    for member in members(cls):
        if group := narrowed(member.value, _GROUP):
            yield type(group)
            yield from groups(type(group))


def events(cls: type[object]) -> list[Event[Any]]:
    """Every event of the class."""
    return [event for member in members(cls) if (event := narrowed(member.value, _EVENT))]


def initials(cls: type[object]) -> list[FoundInitial]:
    """Every ``@create_state`` method."""
    found = [initial for member in members(cls) if (initial := narrowed(member.value, _INITIAL))]
    return [FoundInitial(initial.function, initial.codec) for initial in found]


def resources(cls: type[object]) -> list[tuple[str, Resource[Any]]]:
    """Every ``@resource`` with its name for authors, in order of declaration."""
    return [
        (f"{cls.__name__}.{member.attribute}", declared)
        for member in members(cls)
        if (declared := narrowed(member.value, _RESOURCE))
    ]


def narrowed(value: object, kind: type[K]) -> K | None:
    """``value`` if it is a ``kind``."""
    return value if isinstance(value, kind) else None


def attribute(cls: type[object], name: str) -> object:
    """What authors assigned to ``name``, unbound; ``UNSET`` if nobody did."""
    return next((vars(base)[name] for base in authored_bases(cls) if name in vars(base)), UNSET)


def raw_annotation(cls: type[object], name: str) -> tuple[object, type[object]] | None:
    """An annotation as written, and the class that has it."""
    for base in authored_bases(cls):
        written = inspect.get_annotations(base)
        if name in written:
            return written[name], base
    return None


def annotation(cls: type[object], name: str) -> object | None:
    """The type an author annotated ``name`` with; None if it has no annotation.

    Raises:
        InvalidActor: It names something that does not exist at module level.
    """
    found = raw_annotation(cls, name)
    if found is None:
        return None
    written, owner = found
    try:
        return resolve(written, owner.__module__, nested_types(owner))
    except NameError as missing:
        raise InvalidActor(
            f"The annotation `{name}: {written}` of {owner.__name__} cannot be resolved: {missing.name!r} is "
            f"not defined at module level. Move it out of the function, or out of `if TYPE_CHECKING`, to the "
            f"top of the module."
        ) from missing
