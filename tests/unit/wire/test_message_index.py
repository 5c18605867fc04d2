"""Numbers of sixteen bits, around the wrap (envoy-protocol 6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.wire.message_index import SPAN, is_later, read_ranges, write_ranges

INDEX = st.integers(0, SPAN - 1)


@given(INDEX, st.sets(st.integers(1, 5000), max_size=200))
def test_what_is_written_is_read(after: int, distances: set[int]) -> None:
    indices = {(after + distance) % SPAN for distance in distances}
    assert read_ranges(write_ranges(indices, after)) == indices


def test_runs_are_written_short_and_in_their_order() -> None:
    assert write_ranges({1, 65_534, 65_535, 0, 4}, 65_532) == "65534-1 4"
    assert write_ranges((), 0) == ""


@pytest.mark.parametrize("text", ["x", "1-", "-1", "1-x", "²"])
def test_what_cannot_be_read_counts_as_none(text: str) -> None:
    assert read_ranges(text) <= {1}


@given(INDEX, st.integers(1, 32_766))
def test_later_is_later_around_the_wrap(index: int, distance: int) -> None:
    assert is_later((index + distance) % SPAN, index)
    assert not is_later(index, (index + distance) % SPAN)
