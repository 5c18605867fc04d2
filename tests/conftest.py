"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.engines import RunningEngine, running_engine

pytest_plugins = ["rivetkit_pytest", "pytester"]

FAULTS = "tests/engine/faults"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, a file's tests stay together, since they share what is costly to start.

    What kills engines and measures their patience runs on one worker, first: it takes longest.
    """
    for item in items:
        folder = item.path.parent.relative_to(item.config.rootpath).as_posix()
        item.add_marker(pytest.mark.xdist_group(FAULTS if folder == FAULTS else f"{folder}/{item.path.name}"))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Long groups first, so that no worker is left with one at the end."""
    marks = {mark.name for mark in item.iter_markers()}
    return 0 if "faults" in item.path.parts else 1 if marks & {"crash", "engine", "interop", "e2e"} else 2


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
