"""Fixtures for the whole suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.engines import RunningEngine, running_engine

pytest_plugins = ["rivetkit_pytest", "pytester"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """The one engine of a session, started by the first test that asks; tests use namespaces of their own.

    It is looked after in a thread, since every test has an event loop of its own.
    """
    storage = tmp_path_factory.mktemp("engine")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_engine(storage)) as running,
    ):
        yield running
