"""Rows of a statement: by position, by the column's name, or as a type of the author's."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, overload

from pydantic import BaseModel
from typing_extensions import is_typeddict

from rivetkit._validation import Adapter, adapter_for, validate
from rivetkit_core.host.port import SqlResult

_T = TypeVar("_T")


class Row(Sequence[Any]):
    """One row: ``row[0]``, ``row["name"]``, or unpacked. Equal to a tuple of the same values."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: Mapping[str, int], values: tuple[object, ...]) -> None:
        self._columns = columns
        self._values = values

    @overload
    def __getitem__(self, index: int | str, /) -> Any: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Any]: ...
    def __getitem__(self, index: int | str | slice, /) -> Any:
        return self._values[self._columns[index] if isinstance(index, str) else index]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def asdict(self) -> dict[str, Any]:
        """The values by column name; of columns with one name, the last."""
        return {name: self._values[index] for name, index in self._columns.items()}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            return (self._values, list(self._columns)) == (other._values, list(other._columns))
        return self._values == other

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={self._values[index]!r}' for name, index in self._columns.items())})"


class Result:
    """What a statement did.

    Attributes:
        rows: What it returned.
        columns: Their names.
        changes: How many rows it inserted, updated or deleted.
        last_insert_id: The row id of the last row it inserted; None if it inserted none.
    """

    def __init__(self, result: SqlResult) -> None:
        by_name = {name: index for index, name in enumerate(result.columns)}
        self.columns = result.columns
        self.rows = [Row(by_name, row) for row in result.rows]
        self.changes = result.changes
        self.last_insert_id = result.last_insert_row_id


def rows_as(rows: Sequence[Row], into: type[_T]) -> list[_T]:
    """Rows as values of a type: a model or mapping by column names, anything else from a single column.

    Raises:
        ValidationError: A row does not fit.
    """
    adapter, by_name = _reader(into)
    target = f"rows as {getattr(into, '__name__', into)}"
    made: list[Any] = []
    for row in rows:
        plain = row.asdict() if by_name or len(row) != 1 else row[0]
        made.append(validate(plain, adapter, target))
    return made


@lru_cache(maxsize=256)
def _reader(into: type[object]) -> tuple[Adapter, bool]:
    """The validator of a type, and whether it has fields of its own."""
    kind = typing.get_origin(into) or into
    by_name = dataclasses.is_dataclass(kind) or is_typeddict(kind) or issubclass(kind, BaseModel | Mapping)
    return adapter_for(into), by_name
