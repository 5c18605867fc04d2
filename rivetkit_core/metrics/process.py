"""The actors of one host together, by name: what ended is kept as sums, what runs is asked.

Invariants
    A counter never goes down: what a generation counted is added to the sums when it ends.
    A gauge of an actor is gone when the actor is.
    Two hosts in one process share nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from rivetkit_core._version import VERSION
from rivetkit_core.metrics.exposition import CONTENT_TYPE as CONTENT_TYPE
from rivetkit_core.metrics.exposition import Family, Value, render
from rivetkit_core.metrics.names import (
    ACTOR_LABELS,
    INFO_HELP,
    INFO_LABELS,
    INFO_NAME,
    METRICS,
    PREFIX,
    PROCESS_LABELS,
    Metric,
)
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.metrics.series import Counter, Key, Series, merge


class ProcessMetrics:
    """Where every generation of a host counts. Reading is safe from any thread."""

    def __init__(self) -> None:
        self._live: dict[Recorder, None] = {}
        self._ended: dict[str, dict[Key, Series]] = {}
        self._lock = threading.Lock()
        self._info: tuple[str, ...] | None = None

    def describe(self, *, envoy_version: int, envoy_kind: str, pool: str) -> None:
        """Say what this process is, for ``rivetkit_info``."""
        self._info = ("rivetkit", VERSION, "local", str(envoy_version), envoy_kind, pool)

    def enter(self, recorder: Recorder) -> None:
        """A generation is about to start; ``leave`` must follow."""
        with self._lock:
            self._live[recorder] = None

    def started(self, recorder: Recorder) -> None:
        """That generation's start succeeded."""
        recorder.start_succeeded()
        with self._lock:
            self._keep(recorder.actor_name, recorder.take_shared())

    def leave(self, recorder: Recorder) -> None:
        """That generation has ended. Idempotent."""
        with self._lock:
            if recorder not in self._live:
                return
            del self._live[recorder]
            if recorder.started:
                recorder.count("stopped_total")
            self._keep(recorder.actor_name, recorder.series())

    def families(self) -> Iterator[Family]:
        """Every metric of the process, with what it is now."""
        values = self._values()
        for metric in METRICS:
            if metric.process is not None:
                yield _family(metric, f"{PREFIX}{metric.process}", PROCESS_LABELS, values)
        if self._info is not None:
            yield Family(INFO_NAME, "gauge", INFO_HELP, INFO_LABELS, {self._info: 1})

    def text(self) -> bytes:
        """What a scraper of the process reads."""
        return render(self.families())

    def _keep(self, actor_name: str, counted: Mapping[Key, Series]) -> None:
        sums = self._ended.setdefault(actor_name, {})
        for key, series in counted.items():
            merge(sums, key, series)

    def _values(self) -> dict[tuple[str, ...], Mapping[Key, Value]]:
        with self._lock:
            sums: dict[str, dict[Key, Series]] = {}
            gauges: dict[str, dict[Key, float]] = {}
            for name, ended in self._ended.items():
                for key, series in ended.items():
                    merge(sums.setdefault(name, {}), key, series)
            for recorder in self._live:
                name = recorder.actor_name
                for key, series in recorder.series().items():
                    merge(sums.setdefault(name, {}), key, series)
                values = gauges.setdefault(name, {("active_count",): 0})
                values["active_count",] += recorder.started
                for key, value in recorder.gauges().items():
                    values[key] = values.get(key, 0) + value
        return {(name,): {**gauges.get(name, {}), **sums.get(name, {})} for name in sums.keys() | gauges}


def actor_families(recorder: Recorder) -> Iterator[Family]:
    """Every metric of one actor, with what it is now."""
    values: Mapping[Key, Value] = {**recorder.gauges(), **recorder.series()}
    own = (recorder.actor_id, recorder.actor_name)
    for metric in METRICS:
        if metric.actor is not None:
            yield _family(metric, metric.actor, ACTOR_LABELS, {own: values})


def actor_text(recorder: Recorder) -> bytes:
    """What a scraper of one actor reads."""
    return render(actor_families(recorder))


def _family(
    metric: Metric,
    name: str,
    labels: tuple[str, ...],
    values: Mapping[tuple[str, ...], Mapping[Key, Value]],
) -> Family:
    family = Family(name, metric.kind, metric.help, (*labels, *metric.labels))
    for own, found in values.items():
        for key, value in found.items():
            if key[0] == metric.key:
                family.samples[*own, *key[1:]] = value
        if metric.kind != "histogram" and not metric.labels:
            family.samples.setdefault(own, Counter() if metric.kind == "counter" else 0)
    return family
