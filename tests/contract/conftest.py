"""One suite for every host: the fixtures serve the same actors and hand out the same raw client.

A later host joins by another ``Serving`` and another row in ``HOSTS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import HostStore
from rivetkit_core.host.web.server import Address, bind, serve
from rivetkit_core.testing import MemoryStore
from tests.contract.actors import Probe, current, factories
from tests.contract.client import RawClient


class Serving(Protocol):
    """A host that serves the suite's actors."""

    @property
    def client(self) -> RawClient: ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """End as a planned shutdown does: accepted work finishes, everything is saved."""
        ...

    def begin_stop(self) -> asyncio.Task[None]:
        """Begin to stop, in a task to await."""
        ...

    async def restart(self) -> None:
        """Stop, and start again with the same data."""
        ...


class Embedded:
    """The embedded host on a loopback port, over a store that outlives it."""

    def __init__(self, store: Callable[[], HostStore], token: str | None = None) -> None:
        self._store = store
        self._token = token
        self._http: httpx.AsyncClient | None = None
        self._serving: asyncio.Task[None] | None = None
        self._client: RawClient | None = None
        self.unsaved: int | None = None

    @property
    def client(self) -> RawClient:
        assert self._client is not None
        return self._client

    async def start(self) -> None:
        host = EmbeddedHost(factories(), store=self._store(), clock=SystemClock(), entropy=SystemEntropy())
        await host.open()
        listener = bind(Address(port=0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready = asyncio.Event()

        async def finish() -> None:
            self.unsaved = await host.close()

        self._serving = asyncio.create_task(
            serve(
                GatewayApp(host, token=self._token),
                listener,
                finish=finish,
                handle_signals=False,
                on_ready=ready.set,
            )
        )
        await ready.wait()
        self._http = httpx.AsyncClient(base_url=base, timeout=20.0, trust_env=False)
        self._client = RawClient(base, self._http)

    def begin_stop(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.stop())

    async def stop(self) -> None:
        if self._serving is None:
            return
        serving, self._serving = self._serving, None
        serving.cancel()
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.result()
        assert self._http is not None
        await self._http.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()


def _sqlite(directory: Path) -> Callable[[], HostStore]:
    return lambda: SqliteStore(directory / "data")


def _memory(_directory: Path) -> Callable[[], HostStore]:
    store = MemoryStore()
    return lambda: store


HOSTS = [
    pytest.param(_sqlite, id="embedded-sqlite"),
    pytest.param(_memory, id="embedded-memory"),
]


@pytest.fixture(autouse=True)
def probe() -> Iterator[Probe]:
    """The strings of this test's actors."""
    current.probe = Probe()
    yield current.probe
    current.probe.gate.set()


@pytest.fixture(params=HOSTS)
async def host(request: pytest.FixtureRequest, tmp_path: Path, probe: Probe) -> AsyncIterator[Serving]:
    serving: Serving = Embedded(request.param(tmp_path))
    await serving.start()
    yield serving
    probe.gate.set()
    await serving.stop()


@pytest.fixture
def client(host: Serving) -> RawClient:
    return host.client
