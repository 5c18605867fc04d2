"""Fixtures for the tests of one actor."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.unit.actor.scripted import end_all


@pytest.fixture(autouse=True)
async def no_life_outlives_its_test(anyio_backend: str) -> AsyncGenerator[None]:
    """A task that is left pending complains in whatever test the garbage is collected."""
    yield
    await end_all()
