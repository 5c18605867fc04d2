"""The hosts the suite runs on: each serves the suite's actors and hands out a raw client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import httpx

from rivetkit.client import network_access
from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.clock import SystemClock
from rivetkit_core.edge.metrics import MetricsDoor
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store_port import HostStore
from rivetkit_core.host.engine.environment import EngineEnvironment
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.web.server import Address, bind, serve
from tests.contract.actors import NAMES, factories
from tests.contract.client import RawClient
from tests.engines import RunningEngine

METRICS_TOKEN = "for the scraper"
INSPECTOR = InspectorOptions(metrics_token=METRICS_TOKEN)

_TIMEOUT = 20.0
_LINGER = 0.05


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

    async def leave(self) -> None:
        """End for good, whatever became of the host in the test."""
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
        host = EmbeddedHost(
            factories(),
            store=self._store(),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            inspector=INSPECTOR,
        )
        await host.open()
        listener = bind(Address(port=0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready = asyncio.Event()

        async def finish() -> None:
            self.unsaved = await host.close()

        self._serving = asyncio.create_task(
            serve(
                GatewayApp(host, token=self._token, door=MetricsDoor(METRICS_TOKEN)),
                listener,
                finish=finish,
                handle_signals=False,
                on_ready=ready.set,
            )
        )
        await ready.wait()
        self._http = httpx.AsyncClient(base_url=base, timeout=_TIMEOUT, trust_env=False)
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

    async def leave(self) -> None:
        await self.stop()


class Engine:
    """A host in this process for an engine that outlives it, in a namespace of its own."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine
        self._namespace: str | None = None
        self._host: EngineHost | None = None
        self._http = httpx.AsyncClient(base_url=engine.endpoint, timeout=_TIMEOUT, trust_env=False)
        self._client: RawClient | None = None

    @property
    def client(self) -> RawClient:
        assert self._client is not None
        return self._client

    async def start(self) -> None:
        if self._namespace is None:
            self._namespace = await self._engine.fresh_namespace()
            self._client = RawClient(self._engine.endpoint, self._http, self._namespace, misses=True)
        clock, entropy = SystemClock(), SystemEntropy()
        settings = EngineSettings(endpoint=self._engine.endpoint, namespace=self._namespace)
        self._host = EngineHost(
            factories(),
            environment=EngineEnvironment(settings, clock=clock, entropy=entropy),
            access=network_access(
                settings.endpoint, namespace=settings.namespace, clock=clock, entropy=entropy
            ),
            clock=clock,
            entropy=entropy,
            linger=_LINGER,
            inspector=INSPECTOR,
        )
        await self._host.open()
        await self._engine.wait_for_pool(settings.namespace)

    def begin_stop(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.stop())

    async def stop(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.close()
            await host.access.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def leave(self) -> None:
        await self._engine.clear(self.client.namespace, *NAMES)
        await self.stop()
        await self._http.aclose()
