"""The error for mistakes in an actor class. Found at registration, never while serving."""

from __future__ import annotations

from typing import ClassVar

from rivetkit_core.errors import RivetError


class InvalidActor(RivetError):
    """An actor class is written in a way that cannot work; the message says what to write instead."""

    identity: ClassVar[tuple[str, str] | None] = ("registry", "invalid_actor")

    def __init__(self, message: str) -> None:
        super().__init__("registry", "invalid_actor", message)

    def __reduce__(self) -> tuple[object, ...]:
        return (InvalidActor, (self.message,))
