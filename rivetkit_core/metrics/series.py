"""Numbers that only grow: plain objects, so that counting in a hot path costs an addition.

One thread writes. Another may read: what it sees of a histogram may be one observation apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds, for what users wait for."""

FAST_DURATIONS = (0.0001, 0.0005, *DURATIONS[:13], 25.0, 50.0)
"""Upper bounds in seconds, for single statements."""


class Counter:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def merge(self, other: Counter) -> None:
        """Add what another one counted."""
        self.value += other.value


class Histogram:
    """How long something took.

    Attributes:
        bounds: Upper bounds of the buckets, ascending.
        counts: Observations of each bucket alone, and at the end those above every bound.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = DURATIONS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Add what another one with the same bounds observed."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


Series = Counter | Histogram
Key = tuple[str, ...]
"""A metric and the values of its labels."""


def merge(into: dict[Key, Series], key: Key, series: Series) -> None:
    """Add a series to the one with the same key, which is made if it is missing."""
    known = into.get(key)
    if isinstance(series, Counter):
        counter = known if isinstance(known, Counter) else Counter()
        counter.merge(series)
        into[key] = counter
    else:
        histogram = known if isinstance(known, Histogram) else Histogram(series.bounds)
        histogram.merge(series)
        into[key] = histogram
