"""Metrics and logs: each marked line must be an error."""

from __future__ import annotations

from app import Counter
from prometheus_client import CollectorRegistry

from rivetkit import Actor, Registry, action
from rivetkit.prometheus import RivetCollector, export_metrics


class Talkative(Actor):
    @action
    async def talk(self) -> None:
        self.ctx.log.info("said", extra="hello")  # E: extra is a mapping
        self.ctx.log = None  # E: the log is the actor's


def metrics(registry: Registry) -> None:
    registry.metrics().decode()  # E: it is text
    export_metrics(Counter)  # E: of a registry, not of an actor
    export_metrics(registry, CollectorRegistry)  # E: to a registry of the other kind, not to its class
    CollectorRegistry().register(RivetCollector(Counter))  # E: of a registry, not of an actor
