"""An engine that is spoken to in version 6 of the protocol, as an older one would have to be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from rivetkit.client import network_access
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.host.engine.environment import EngineEnvironment
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.link import Dialer
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.engine.websocket import EnvoyAddress, WebSocketDialer
from tests.contract.actors import Probe, current, factories
from tests.contract.client import RawClient, by_key
from tests.engines import RunningEngine

pytestmark = pytest.mark.engine


class VersionSix(EngineEnvironment):
    """Leads to the engine, and speaks the older version there."""

    def __init__(self, settings: EngineSettings) -> None:
        self._clock_here = SystemClock()
        super().__init__(settings, clock=self._clock_here, entropy=SystemEntropy())
        self._address = EnvoyAddress(
            settings.endpoint, settings.namespace, settings.pool, self.envoy_key, settings.version
        )

    async def prepare(self) -> Dialer:
        await super().prepare()
        return WebSocketDialer(self._address, 6, self._clock_here)


@pytest.fixture
async def client(engine: RunningEngine) -> AsyncIterator[RawClient]:
    current.probe = Probe()
    settings = EngineSettings(endpoint=engine.endpoint, namespace=await engine.fresh_namespace())
    clock, entropy = SystemClock(), SystemEntropy()
    host = EngineHost(
        factories(),
        environment=VersionSix(settings),
        access=network_access(engine.endpoint, namespace=settings.namespace, clock=clock, entropy=entropy),
        clock=clock,
        entropy=entropy,
        linger=0.05,
    )
    await host.open()
    async with engine.api(settings.namespace) as api:
        assert await api.wait_for_pool("default") == 6
    async with httpx.AsyncClient(base_url=engine.endpoint, timeout=20.0, trust_env=False) as http:
        yield RawClient(engine.endpoint, http, settings.namespace)
    await host.close()


async def test_actions_and_state(client: RawClient) -> None:
    counter = by_key("counter", "a")
    assert [await client.call(counter, "increment") for _ in range(3)] == [1, 2, 3]
    assert await client.call(counter, "get") == 3


async def test_a_live_connection(client: RawClient) -> None:
    async with client.connect(by_key("counter", "a")) as connection:
        await connection.init()
        assert await connection.call(1, "increment") == 1
