"""One engine for all tests of a session; tests stay apart by using namespaces of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.engine.running import RunningEngine, running_engine


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningEngine]:
    async with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def fresh_namespace(engine: RunningEngine) -> Callable[[], Awaitable[str]]:
    return engine.fresh_namespace
