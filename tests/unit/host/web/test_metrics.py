"""``/metrics`` of a process, on every application that can serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import httpx
import pytest

from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.edge.metrics import MetricsDoor
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.engine.front import FrontApp
from rivetkit_core.host.engine.serverless import ServerlessHost
from rivetkit_core.host.engine.serverless_app import ServerlessApp
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.web.asgi import AsgiApp, Receive, Scope, Send, respond
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.testing import FakeClock
from tests.unit.host.embedded.fakes import new_host

DOOR = MetricsDoor("secret")
SETTINGS = EngineSettings()
RIGHT = {"authorization": "Bearer secret"}


class Host:
    """A host of an engine that runs nothing."""

    is_open = True
    is_in_touch = True
    factories: Mapping[str, ActorFactory] = {}

    def __init__(self) -> None:
        self.metrics = ProcessMetrics()

    async def open(self) -> None: ...

    async def close(self) -> int:
        return 0


async def beside(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An application with metrics of its own."""
    await respond(send, 200, [], b"mine")


def application(kind: str, door: MetricsDoor | None, fallback: AsgiApp | None = None) -> AsgiApp:
    if kind == "embedded":
        return GatewayApp(new_host(), door=door, fallback=fallback)
    if kind == "engine":
        return FrontApp(Host(), SETTINGS, door=door, fallback=fallback)
    host = cast("ServerlessHost", Host())
    return ServerlessApp(host, SETTINGS, clock=FakeClock(), door=door, fallback=fallback)


async def get(app: AsgiApp, path: str = "/metrics", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.get(path, headers=headers)


KINDS = pytest.mark.parametrize("kind", ["embedded", "engine", "serverless"])


@KINDS
async def test_the_token_opens(kind: str) -> None:
    answer = await get(application(kind, DOOR), **RIGHT)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE rivet_rivetkit_actor_started_total counter" in answer.text


@KINDS
async def test_without_a_token_in_the_environment_nothing_is_shown(kind: str) -> None:
    answer = await get(application(kind, None), **RIGHT)
    assert (answer.status_code, answer.text) == (403, "metrics not enabled")


@KINDS
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}])
async def test_nothing_else_opens(kind: str, headers: dict[str, str]) -> None:
    answer = await get(application(kind, DOOR), **headers)
    assert (answer.status_code, answer.text) == (401, "metrics request requires a valid bearer token")


@KINDS
async def test_an_application_keeps_its_metrics_unless_ours_are_wanted(kind: str) -> None:
    assert (await get(application(kind, None, beside))).text == "mine"
    assert (await get(application(kind, DOOR, beside))).status_code == 401


async def test_a_serverless_host_shows_them_below_its_base_path() -> None:
    app = application("serverless", DOOR, beside)
    assert (await get(app, "/api/rivet/metrics", **RIGHT)).status_code == 200
    closed = application("serverless", None, beside)
    assert (await get(closed, "/api/rivet/metrics", **RIGHT)).status_code == 403
