"""Metrics and logs: all of this must type-check in strict mode."""

from __future__ import annotations

import logging
from typing import assert_type

from app import Counter
from prometheus_client import CollectorRegistry

from rivetkit import Actor, Registry, action
from rivetkit.prometheus import RivetCollector, export_metrics


class Talkative(Actor):
    @action
    async def talk(self) -> None:
        assert_type(self.ctx.log, logging.LoggerAdapter[logging.Logger])
        self.ctx.log.info("said %s", "hello", extra={"words": 1})


def metrics(registry: Registry) -> None:
    assert_type(registry.metrics(), str)
    assert_type(export_metrics(registry), bool)
    assert_type(export_metrics(registry, to=CollectorRegistry()), bool)
    CollectorRegistry().register(RivetCollector(Registry(Counter)))
