"""A scripted engine in virtual time, and an envoy that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine import ScriptedEngine
from rivetkit_core.wire.envoy.messages import Checkpoint
from tests.contract.engine.puppet import Puppet


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def engine(clock: FakeClock) -> AsyncIterator[ScriptedEngine]:
    made = ScriptedEngine(clock)
    yield made
    made.close()


@pytest.fixture
async def envoy(engine: ScriptedEngine) -> Puppet:
    return await connected(engine)


@pytest.fixture
async def place(engine: ScriptedEngine, envoy: Puppet) -> Checkpoint:
    """An actor that runs on ``envoy``."""
    engine.create_actor("counter")
    return await envoy.start()


async def connected(engine: ScriptedEngine, envoy_key: str = "envoy-1", *, protocol: int = 8) -> Puppet:
    """An envoy with a new connection."""
    puppet = Puppet(await engine.dialer(envoy_key=envoy_key, protocol=protocol).dial())
    await puppet.ready()
    return puppet
