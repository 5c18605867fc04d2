"""The page about metrics and logs says what the code does."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rivetkit import Actor, Registry, action
from rivetkit._running import configure_logging
from rivetkit.prometheus import RivetCollector, export_metrics
from rivetkit_core.metrics.names import METRICS

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = ROOT / "docs" / "snippets"
PAGE = (ROOT / "docs" / "observability.md").read_text()
SOURCES = [path for name in ("rivetkit", "rivetkit_core") for path in (ROOT / name).rglob("*.py")]

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LOGGER = re.compile(r'getLogger\("(rivetkit\.[\w.]+)"')


@pytest.fixture
def snippets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(SNIPPETS), *sys.path])
    yield
    for path in SNIPPETS.glob("*.py"):
        sys.modules.pop(path.stem, None)


class Greeter(Actor):
    @action
    async def greet(self) -> str:
        return "hello"


def in_memory(*actors: type[Actor]) -> Registry:
    return Registry(*actors, data_dir=":memory:", engine="embedded")


def code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def samples(text: str) -> set[str]:
    """Samples with their labels in one order and their values as one kind of number, bounds left out."""
    return {
        str((name, sorted(pair for pair in _LABEL.findall(labels) if pair[0] != "le"), float(value)))
        for name, labels, value in _SAMPLE.findall(text)
    }


def test_the_table_names_every_metric_with_its_labels() -> None:
    rows = [
        f"| {code(metric.actor)} | {code(metric.process)} | {metric.kind} "
        f"| {', '.join(map(code, metric.labels))} | {metric.help} |"
        for metric in METRICS
    ]
    kinds = ("| counter |", "| gauge |", "| histogram |")
    assert [line for line in PAGE.splitlines() if any(kind in line for kind in kinds)] == rows


def test_every_logger_is_on_the_page() -> None:
    names = {name for path in SOURCES for name in _LOGGER.findall(path.read_text())}
    assert "rivetkit.host" in names
    assert sorted(name for name in names if f"`{name}`" not in PAGE) == []


async def test_a_record_of_an_actor_becomes_json_with_its_fields(
    snippets: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rivetkit.actor")
    parcel = import_module("fields").Parcel
    registry = in_memory(parcel)
    async with registry.lifespan():
        await registry.client.get_or_create(parcel, "a").call(parcel.scan, "here")
    formatter = import_module("json_logs").JsonFormatter()
    (line,) = [json.loads(formatter.format(record)) for record in caplog.records]
    assert line.pop("actor_id")
    assert line == {
        "level": "info",
        "logger": "rivetkit.actor",
        "message": "scanned",
        "actor_name": "parcel",
        "actor_key": ["a"],
        "generation": 1,
        "place": "here",
    }


async def test_a_registry_gives_its_metrics_while_it_runs() -> None:
    registry = in_memory(Greeter)
    assert registry.metrics() == ""
    async with registry.lifespan():
        await registry.client.get_or_create(Greeter, "a").call(Greeter.greet)
        line = 'rivet_rivetkit_actor_action_call_total{actor_name="greeter",action="greet"} 1'
        assert line in registry.metrics().splitlines()
        assert 'envoy_kind="unknown",pool_name="default"} 1' in registry.metrics()


async def test_what_prometheus_client_exposes_is_the_same() -> None:
    registry, collected = in_memory(Greeter), CollectorRegistry(auto_describe=True)
    assert export_metrics(registry, to=collected)
    assert generate_latest(collected) == b""
    async with registry.lifespan():
        await registry.client.get_or_create(Greeter, "a").call(Greeter.greet)
        theirs = generate_latest(collected).decode()
        assert samples(theirs) == samples(registry.metrics())
        assert 'action_duration_seconds_bucket{action="greet",actor_name="greeter",le="+Inf"} 1.0' in theirs


def test_a_second_registry_is_a_warning_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    collected = CollectorRegistry(auto_describe=True)
    assert export_metrics(in_memory(Greeter), to=collected)
    assert not export_metrics(in_memory(Greeter), to=collected)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rivetkit.metrics", "WARNING")


def test_the_collector_of_the_page_is_registered(snippets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    collected = CollectorRegistry(auto_describe=True)
    monkeypatch.setattr("prometheus_client.REGISTRY", collected)
    import_module("metrics_collector")
    with pytest.raises(ValueError, match="Duplicated"):
        collected.register(RivetCollector(in_memory(Greeter)))


def test_nothing_else_needs_prometheus_client() -> None:
    importers = [path.name for path in SOURCES if "import prometheus_client" in path.read_text()]
    importers += [path.name for path in SOURCES if "from prometheus_client" in path.read_text()]
    assert set(importers) == {"prometheus.py"}


async def test_an_application_shows_the_metrics_on_a_route_of_its_own(
    snippets: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RIVETKIT_STORAGE_PATH", str(tmp_path))
    app = import_module("metrics_route").app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        answer = await http.get("/internal/metrics")
    assert "# TYPE rivet_rivetkit_actor_active_count gauge" in answer.text


def test_libraries_that_log_what_they_send_are_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setenv("RIVET_LOG_LEVEL", "DEBUG")
    levels = {name: logging.getLogger(name).level for name in ("uvicorn", "httpx", "httpcore", "websockets")}
    try:
        configure_logging()
        assert {logging.getLogger(name).level for name in levels} == {logging.WARNING}
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
