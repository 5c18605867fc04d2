"""One suite for every host: the fixtures serve the same actors and hand out the same raw client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.actors import Probe, current
from tests.contract.client import RawClient
from tests.contract.hosts import DIFFERENCES, HOSTS, Differences, Make
from tests.contract.serving import Serving


@pytest.fixture(autouse=True)
def probe() -> Iterator[Probe]:
    """The strings of this test's actors."""
    current.probe = Probe()
    yield current.probe
    current.probe.gate.set()


@pytest.fixture(params=HOSTS)
async def host(request: pytest.FixtureRequest, probe: Probe) -> AsyncIterator[Serving]:
    make: Make = request.param
    serving = make(request)
    await serving.start()
    yield serving
    probe.gate.set()
    await serving.leave()


@pytest.fixture
def client(host: Serving) -> RawClient:
    return host.client


@pytest.fixture
def differences(host: Serving) -> Differences:
    return DIFFERENCES[type(host)]
