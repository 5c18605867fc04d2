"""Rows of a statement: by position, by the column's name, or as a type of the author's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from rivetkit._validation import adapter_for, validate
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
    """Rows as values of a type: a model or a mapping by column name, anything else from a single column.

    Raises:
        ValidationError: A row does not fit.
    """
    adapter, target = adapter_for(into), f"rows as {into.__name__}"
    made: list[Any] = []
    for row in rows:
        plain = row[0] if into in _SCALARS and len(row) == 1 else row.asdict()
        made.append(validate(plain, adapter, target))
    return made


_SCALARS: frozenset[type[object]] = frozenset({int, float, str, bytes, bool})
