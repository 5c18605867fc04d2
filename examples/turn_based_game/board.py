"""The rules of tic-tac-toe: knows nothing of actors."""

from typing import Literal

Mark = Literal["X", "O"]
Cells = list[Mark | None]

_LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def other(mark: Mark) -> Mark:
    return "O" if mark == "X" else "X"


def winner(cells: Cells) -> Mark | None:
    """Who has three in a row."""
    for first, second, third in _LINES:
        if cells[first] is not None and cells[first] == cells[second] == cells[third]:
            return cells[first]
    return None
