"""State that evolves: a version on the state's class, and one function for every step to it.

What is stored says its version, so that a later class knows which steps are left:

    version 1       the state itself; states written before the class had versions are of version 1
    version n > 1   {"$version": n, "$state": the state}

Versions live inside of the state's own bytes because these are written together and belong together, in the
engine and in copies of the data too; the record around them stays what every runtime knows.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from rivetkit._authoring import InvalidActor
from rivetkit_core.errors import RivetError, error

P = ParamSpec("P")
R = TypeVar("R")

_VERSION, _STATE = "$version", "$state"
_ATTRIBUTE = "state_version"
_MARK = "__rivet_from_version__"


def migrate_state(from_version: int) -> Callable[[Callable[P, R]], staticmethod[P, R]]:
    """Mark a static method of the state's class that leads from one version to the next.

    It takes the state as plain data (what JSON has, and bytes) and returns plain data that fits the next
    version. The class says its own version, ``state_version: ClassVar[int] = 3``, and has a step from every
    version before it. Steps run when an actor wakes with an older state, and must not depend on anything
    that changes: they are as old as what they read.
    """

    def mark(function: Callable[P, R]) -> staticmethod[P, R]:
        static = isinstance(function, staticmethod)
        step = cast("staticmethod[P, R]", function) if static else staticmethod(function)
        setattr(step, _MARK, from_version)
        return step

    return mark


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps to a state's version: the first one leads from version 1."""

    steps: tuple[Callable[[object], object], ...] = ()

    @property
    def version(self) -> int:
        return len(self.steps) + 1

    def marked(self, plain: object) -> object:
        """A state as it is stored."""
        return plain if self.version == 1 else {_VERSION: self.version, _STATE: plain}

    def climbed(self, stored: object) -> object:
        """A stored state, brought to the present version.

        Raises:
            RivetError: ``actor.state_unreadable``: it is newer, or a step failed.
        """
        version, plain = _unmarked(stored)
        if not 1 <= version <= self.version:
            raise _unreadable(f"it has version {version}, and this code knows {self.version}")
        for number, step in enumerate(self.steps[version - 1 :], version):
            try:
                plain = step(plain)
            except Exception as failure:
                raise _unreadable(
                    f"the step from version {number} failed with {type(failure).__name__}"
                ) from failure
        return plain


def ladder_of(declared: object) -> Ladder:
    """The ladder of a state's type.

    Raises:
        InvalidActor: A step is missing, is there twice, or leads nowhere.
    """
    cls = typing.get_origin(declared) or declared
    if not isinstance(cls, type):
        return Ladder()
    steps = _steps(cls)
    version: object = getattr(cls, _ATTRIBUTE, None)
    if version is None and not steps:
        return Ladder()
    name = cls.__name__
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        wanted = max(steps, default=0) + 1
        raise InvalidActor(
            f"{name} does not say which version of the state it is: write "
            f"`{_ATTRIBUTE}: ClassVar[int] = {wanted}` into it"
        )
    missing = [number for number in range(1, version) if number not in steps]
    if missing:
        raise InvalidActor(
            f"{name} is version {version}, but nothing leads from version {missing[0]} to "
            f"{missing[0] + 1}: write a function with `@migrate_state({missing[0]})`"
        )
    beyond = [number for number in steps if not 1 <= number < version]
    if beyond:
        raise InvalidActor(
            f"{name} has a step from version {beyond[0]}, but is version {version} itself: set "
            f"`{_ATTRIBUTE}` to {max(steps) + 1}, or remove the step"
        )
    return Ladder(tuple(steps[number] for number in range(1, version)))


def _steps(cls: type[object]) -> dict[int, Callable[[object], object]]:
    attributes: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    found: dict[int, Callable[[object], object]] = {}
    for attribute in attributes.values():
        number: object = getattr(attribute, _MARK, None)
        if not isinstance(attribute, staticmethod) or not isinstance(number, int):
            continue
        if number in found:
            raise InvalidActor(f"{cls.__name__} has two steps from version {number}: keep one")
        step = cast("staticmethod[[object], object]", attribute).__func__
        if number < 1 or not _takes_the_state(step):
            raise InvalidActor(
                f"{cls.__name__} has a step from version {number} that cannot run: versions count from 1, "
                f"and a step is a plain function of one argument, the state: "
                f"`@migrate_state({max(number, 1)})`, `@staticmethod`, `def step(state)`"
            )
        found[number] = step
    return found


def _takes_the_state(step: Callable[[object], object]) -> bool:
    if inspect.iscoroutinefunction(step) or inspect.isasyncgenfunction(step):
        return False
    try:
        inspect.signature(step).bind(None)
    except TypeError:
        return False
    return True


def _unmarked(stored: object) -> tuple[int, object]:
    if not isinstance(stored, Mapping):
        return 1, stored
    entries = cast("Mapping[object, object]", stored)
    version = entries.get(_VERSION)
    if set(entries) != {_VERSION, _STATE} or not isinstance(version, int):
        return 1, cast("object", stored)
    return version, entries[_STATE]


def _unreadable(reason: str) -> RivetError:
    return error("actor.state_unreadable", reason=reason)
