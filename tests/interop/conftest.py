"""One server on each host for all tests, and one stock TypeScript client for each encoding and module.

Starting Node takes longer than most tests do, so the event loop and the clients live as long as a module.
Tests stay apart by using keys of their own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import get_args

import pytest
from anyio.from_thread import start_blocking_portal

from tests.engines import RunningEngine
from tests.interop.driver import Encoding, TypescriptClient
from tests.interop.server import ServerProcess


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


HOSTS = ["embedded", pytest.param("engine", marks=pytest.mark.engine)]


@pytest.fixture(scope="session", params=HOSTS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    if request.param == "embedded":
        with ServerProcess.embedded(tmp_path_factory.mktemp("rivetkit")) as process:
            yield process
    else:
        with _on_engine(request.getfixturevalue("engine")) as process:
            yield process


@contextlib.contextmanager
def _on_engine(engine: RunningEngine) -> Iterator[ServerProcess]:
    with start_blocking_portal() as portal:
        namespace = portal.call(engine.fresh_namespace)
        with ServerProcess.on_engine(engine.endpoint_of(namespace)) as process:
            portal.call(engine.wait_for_pool, namespace)
            yield process
            portal.call(engine.clear, namespace, "echo", "counter", "room")


@pytest.fixture
def server_endpoint(server: ServerProcess) -> str:
    return server.endpoint


@pytest.fixture(scope="module", params=get_args(Encoding))
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return request.param


@pytest.fixture(scope="module")
async def client(server: ServerProcess, encoding: Encoding) -> AsyncIterator[TypescriptClient]:
    async with TypescriptClient(server.endpoint, encoding) as running:
        yield running


@pytest.fixture
def fresh() -> str:
    """A key that no other test uses."""
    return uuid.uuid4().hex
