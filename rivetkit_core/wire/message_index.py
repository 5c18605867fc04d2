"""Numbers of messages: sixteen bits that wrap around (envoy-protocol 6.1)."""

from __future__ import annotations

from collections.abc import Iterable

SPAN = 1 << 16
_HALF = 32_767


def following(index: int) -> int:
    """The number after ``index``."""
    return (index + 1) % SPAN


def is_later(index: int, than: int) -> bool:
    """Whether one number comes after another, seen around the wrap."""
    return index != than and (index - than) % SPAN < _HALF


def write_ranges(indices: Iterable[int], after: int) -> str:
    """Numbers that come after ``after``, as text: runs in their order, ``7-9 12``."""
    runs: list[list[int]] = []
    for index in sorted(indices, key=lambda index: (index - after) % SPAN):
        if runs and index == following(runs[-1][-1]):
            runs[-1][1:] = [index]
        else:
            runs.append([index])
    return " ".join("-".join(map(str, run)) for run in runs)


def read_ranges(text: str) -> set[int]:
    """The numbers of ``write_ranges``; what cannot be read counts as none."""
    found: set[int] = set()
    for run in text.split():
        first, _, last = run.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            continue
        start, count = int(first) % SPAN, (int(last or first) - int(first)) % SPAN
        found.update((start + step) % SPAN for step in range(count + 1))
    return found
