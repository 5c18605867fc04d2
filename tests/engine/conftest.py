"""Namespaces for tests that speak with the engine itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.engines import RunningEngine


@pytest.fixture
def fresh_namespace(engine: RunningEngine) -> Callable[[], Awaitable[str]]:
    return engine.fresh_namespace
