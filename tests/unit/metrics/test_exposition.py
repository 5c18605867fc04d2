"""The text scrapers read, checked with the parser of the library that everybody scrapes with."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rivetkit_core.metrics.exposition import Family, number, render
from rivetkit_core.metrics.series import Counter, Histogram


def test_label_values_survive_whatever_they_hold() -> None:
    nasty = 'back\\slash "quoted"\nnew line'
    text = render([Family("depth", "gauge", "How deep.\nReally.", ("name",), {(nasty,): 3})]).decode()
    (family,) = text_string_to_metric_families(text)
    (sample,) = family.samples
    assert sample.labels == {"name": nasty}
    assert sample.value == 3
    assert len(text.splitlines()) == 3


def test_buckets_are_cumulative_and_end_with_infinity() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 9.0):
        histogram.observe(seconds)
    text = render([Family("took_seconds", "histogram", "Time.", (), {(): histogram})]).decode()
    assert text.splitlines()[2:] == [
        'took_seconds_bucket{le="0.1"} 2',
        'took_seconds_bucket{le="1"} 3',
        'took_seconds_bucket{le="+Inf"} 4',
        "took_seconds_sum 9.65",
        "took_seconds_count 4",
    ]


def test_a_metric_without_series_is_announced() -> None:
    text = render([Family("errors_total", "counter", "Errors.", ("kind",))])
    assert text == b"# HELP errors_total Errors.\n# TYPE errors_total counter\n"


def test_a_counter_shows_its_count() -> None:
    counter = Counter()
    counter.value = 2
    assert render([Family("calls_total", "counter", "Calls.", (), {(): counter})]).endswith(
        b"\ncalls_total 2\n"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.25, "0.25"), (1e16, "10000000000000000"), (float("inf"), "+Inf")]
)
def test_numbers_are_written_as_the_format_wants_them(value: float, text: str) -> None:
    assert number(value) == text
