"""One suite for every host: the fixtures serve the same actors and hand out the same raw client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import HostStore
from rivetkit_core.testing import MemoryStore
from tests.contract.actors import Probe, current
from tests.contract.client import RawClient
from tests.contract.serving import Embedded, Engine, Serving
from tests.engines import RunningEngine


def _sqlite(request: pytest.FixtureRequest) -> Serving:
    directory: Path = request.getfixturevalue("tmp_path")
    return Embedded(lambda: SqliteStore(directory / "data"))


def _memory(_request: pytest.FixtureRequest) -> Serving:
    store: HostStore = MemoryStore()
    return Embedded(lambda: store)


def _engine(request: pytest.FixtureRequest) -> Serving:
    running: RunningEngine = request.getfixturevalue("engine")
    return Engine(running)


EMBEDDED = [
    pytest.param(_sqlite, id="embedded-sqlite"),
    pytest.param(_memory, id="embedded-memory"),
]
HOSTS = [*EMBEDDED, pytest.param(_engine, id="engine", marks=pytest.mark.engine)]


@pytest.fixture(autouse=True)
def probe() -> Iterator[Probe]:
    """The strings of this test's actors."""
    current.probe = Probe()
    yield current.probe
    current.probe.gate.set()


@pytest.fixture(params=HOSTS)
async def host(request: pytest.FixtureRequest, probe: Probe) -> AsyncIterator[Serving]:
    make: Callable[[pytest.FixtureRequest], Serving] = request.param
    serving = make(request)
    await serving.start()
    yield serving
    probe.gate.set()
    await serving.leave()


@pytest.fixture
def client(host: Serving) -> RawClient:
    return host.client
