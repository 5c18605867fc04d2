"""One server a host for all tests, and one stock TypeScript client for each host, encoding and module.

Starting Node or an engine takes longer than most tests do, so the event loop and the engine live as long as
the session. Tests stay apart by using keys of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import get_args

import pytest

from tests.engines import RunningEngine
from tests.interop.driver import Encoding, TypescriptClient
from tests.interop.runtime import PYTHON_POOL, TYPESCRIPT_POOL, Neighbours, typescript_runtime
from tests.interop.server import Place, ServerProcess

HOSTS = ["embedded", pytest.param("engine", marks=pytest.mark.engine)]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def engine_place(engine: RunningEngine) -> Place:
    return Place.on_engine(engine.endpoint, await engine.fresh_namespace())


@pytest.fixture(scope="session")
def embedded_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.embedded(tmp_path_factory.mktemp("rivetkit"))


@pytest.fixture(scope="session", params=HOSTS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with ServerProcess(request.getfixturevalue(f"{request.param}_place")) as process:
        yield process


@pytest.fixture
def server_endpoint(server: ServerProcess) -> str:
    return server.place.endpoint


@pytest.fixture(scope="module", params=get_args(Encoding))
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return request.param


@pytest.fixture(scope="module")
async def client(server: ServerProcess, encoding: Encoding) -> AsyncIterator[TypescriptClient]:
    place = server.place
    async with TypescriptClient(place.endpoint, encoding, namespace=place.namespace) as running:
        yield running


@pytest.fixture
def fresh() -> str:
    """A key that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session")
async def namespace(engine: RunningEngine) -> Neighbours:
    return Neighbours(engine.endpoint, await engine.fresh_namespace(PYTHON_POOL, TYPESCRIPT_POOL))


@pytest.fixture(scope="session")
def python_side(namespace: Neighbours) -> Iterator[None]:
    with ServerProcess(namespace.place(PYTHON_POOL)):
        yield


@pytest.fixture(scope="session")
async def typescript_side(namespace: Neighbours) -> AsyncIterator[None]:
    async with typescript_runtime(namespace):
        yield


@pytest.fixture(scope="session")
def neighbours(namespace: Neighbours, python_side: None, typescript_side: None) -> Neighbours:
    """A namespace in which both runtimes serve."""
    return namespace
