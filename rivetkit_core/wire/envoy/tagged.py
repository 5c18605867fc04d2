"""BARE unions as tables: which tag stands for which type, and how its fields are laid out.

A tag is a position in the table, so a table reads like the schema. Knows no message and no version: a
version of the protocol is a choice of tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer

M = TypeVar("M")
T = TypeVar("T")

# A table holds writers of different types, each reached only through the type it writes.
_Write = Callable[[Writer, Any], None]
_Read = Callable[[Reader], object]


@dataclass(frozen=True, slots=True)
class Variant:
    """One member of a union."""

    kind: type[object]
    write: _Write
    read: _Read


@dataclass(frozen=True, slots=True)
class Unspoken:
    """A member that exists on the wire and has no type here; reading one fails by its tag and name."""

    name: str


def variant(kind: type[M], write: Callable[[Writer, M], None], read: Callable[[Reader], M]) -> Variant:
    """A member with a body."""
    return Variant(kind, write, read)


def bare_variant(kind: type[object]) -> Variant:
    """A member without a body: fields of ``kind`` are not carried and read as their defaults."""
    value = kind()
    return Variant(kind, lambda writer, message: None, lambda reader: value)


class TaggedUnion(Generic[T]):
    """Reads and writes one union. ``name`` appears in errors."""

    __slots__ = ("_name", "_readers", "_writers")

    def __init__(self, name: str, *members: Variant | Unspoken) -> None:
        self._name = name
        self._readers = tuple(
            member.read if isinstance(member, Variant) else self._refusal(tag, member)
            for tag, member in enumerate(members)
        )
        self._writers = {
            member.kind: (tag, member.write)
            for tag, member in enumerate(members)
            if isinstance(member, Variant)
        }

    def _refusal(self, tag: int, member: Unspoken) -> _Read:
        def read(reader: Reader) -> object:
            raise ProtocolError(f"{self._name}: tag {tag}, {member.name}, is not spoken here")

        return read

    def write(self, writer: Writer, value: T) -> None:
        entry = self._writers.get(type(value))
        if entry is None:
            raise ProtocolError(f"{self._name} has no {type(value).__name__}")
        tag, write = entry
        writer.uint(tag)
        write(writer, value)

    def read(self, reader: Reader) -> T:
        tag = reader.uint()
        if tag >= len(self._readers):
            raise ProtocolError(f"{self._name} has no tag {tag}")
        return cast("T", self._readers[tag](reader))
