"""Metric families as the text a scraper reads: Prometheus text format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rivetkit_core.metrics.names import Kind
from rivetkit_core.metrics.series import Counter, Histogram, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Value = float | Series


@dataclass(slots=True)
class Family:
    """One metric with its series.

    Attributes:
        samples: By the values of ``labels``.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    samples: dict[tuple[str, ...], Value] = field(default_factory=dict[tuple[str, ...], Value])


def render(families: Iterable[Family]) -> bytes:
    """The text for all families; one without series is announced, so that scrapers know its name."""
    return "".join(line + "\n" for family in families for line in _lines(family)).encode()


def number(value: float) -> str:
    """A number as the format writes it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


def cumulated(histogram: Histogram) -> Iterator[tuple[str, float]]:
    """Upper bounds as label values, each with the observations up to it."""
    count = 0
    for bound, found in zip((*histogram.bounds, math.inf), tuple(histogram.counts), strict=True):
        count += found
        yield number(bound), count


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help, quotes=False)}"
    yield f"# TYPE {family.name} {family.kind}"
    for values in sorted(family.samples):
        value, labels = family.samples[values], dict(zip(family.labels, values, strict=True))
        if isinstance(value, Histogram):
            yield from _histogram_lines(family.name, labels, value)
        else:
            shown = value.value if isinstance(value, Counter) else value
            yield f"{family.name}{_braces(labels)} {number(shown)}"


def _histogram_lines(name: str, labels: Mapping[str, str], value: Histogram) -> Iterator[str]:
    count = 0.0
    for bound, count in cumulated(value):
        yield f"{name}_bucket{_braces({**labels, 'le': bound})} {number(count)}"
    yield f"{name}_sum{_braces(labels)} {number(value.total)}"
    yield f"{name}_count{_braces(labels)} {number(count)}"


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
