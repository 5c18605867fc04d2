"""The metrics of a registry for programs that use ``prometheus_client`` (``rivetkit[prometheus]``).

Nothing else needs that package: the runtime counts and serves its metrics by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rivetkit._registry import Registry
from rivetkit_core.metrics.exposition import Family, cumulated
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.metrics.series import Counter, Histogram

log = logging.getLogger("rivetkit.metrics")


class RivetCollector(Collector):
    """Gives a registry's metrics, as they are at each scrape. Empty while the registry does not run."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.metric_families():
            yield _metric(family)

    def describe(self) -> Iterator[Metric]:
        for family in ProcessMetrics().families():
            yield _metric(family)


def export_metrics(registry: Registry, to: CollectorRegistry = REGISTRY) -> bool:
    """Have a registry's metrics among those that ``prometheus_client`` exposes.

    One of several registries in a process can; names that are taken already are no error, only a warning.

    Returns:
        Whether they are.
    """
    try:
        to.register(RivetCollector(registry))
    except ValueError as failure:
        log.warning("the metrics of a registry are not exported: %s", failure)
        return False
    return True


def _metric(family: Family) -> Metric:
    metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
    for values, value in family.samples.items():
        labels = dict(zip(family.labels, values, strict=True))
        if isinstance(value, Histogram):
            count = 0.0
            for bound, count in cumulated(value):
                metric.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{family.name}_sum", labels, value.total)
            metric.add_sample(f"{family.name}_count", labels, count)
        else:
            metric.add_sample(
                family.name, labels, value.value if isinstance(value, Counter) else float(value)
            )
    return metric
