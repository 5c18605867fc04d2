"""The error for mistakes in an actor class. Found at registration, never while serving."""

from __future__ import annotations

from typing import ClassVar

from rivetkit_core.errors import RivetError


class Undeclared:
    """Stands where an actor has no ``state`` or ``conn``, and says how to get one."""

    def __init__(self, name: str, declaration: str) -> None:
        self._name = name
        self._declaration = declaration

    def __get__(self, instance: object, owner: type[object]) -> object:
        raise AttributeError(self._explain(owner))

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(self._explain(type(instance)))

    def _explain(self, owner: type[object]) -> str:
        return (
            f"{owner.__name__} declares no {self._name}: write `{self._declaration}` at the top of the class"
        )


class InvalidActor(RivetError):
    """An actor class is written in a way that cannot work; the message says what to write instead."""

    identity: ClassVar[tuple[str, str] | None] = ("registry", "invalid_actor")

    def __init__(self, message: str) -> None:
        super().__init__("registry", "invalid_actor", message)

    def __reduce__(self) -> tuple[object, ...]:
        return (InvalidActor, (self.message,))
