"""One server for all tests, and one stock TypeScript client for each encoding and module.

Starting Node takes longer than most tests do, so the event loop and the clients live as long as a module.
Tests stay apart by using keys of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import get_args

import pytest

from tests.interop.driver import Encoding, TypescriptClient
from tests.interop.server import ServerProcess


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("rivetkit")) as process:
        yield process


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
