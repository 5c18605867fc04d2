"""One suite for every engine: what it says about the protocol holds for the scripted one and the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rivetkit_core.wire.envoy.messages import Checkpoint
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.side import FakeSide, Side, WireSide

SIDES = [pytest.param(FakeSide, id="scripted"), pytest.param(WireSide, id="scripted-wire")]

Connect = Callable[[], Awaitable[Puppet]]


@pytest.fixture(params=SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    opened: FakeSide = request.param()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def connect(side: Side) -> Connect:
    """Connects the same envoy, again and again."""

    async def connected() -> Puppet:
        puppet = Puppet(await side.dial(), side.namespace)
        await puppet.ready()
        return puppet

    return connected


@pytest.fixture
async def envoy(connect: Connect) -> Puppet:
    """An envoy that is connected."""
    return await connect()


@pytest.fixture
async def place(side: Side, envoy: Puppet) -> Checkpoint:
    """An actor that runs on ``envoy``: where its start command stood."""
    await side.create()
    return await envoy.start()
