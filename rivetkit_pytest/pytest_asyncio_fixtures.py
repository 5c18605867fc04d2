"""The fixture for tests that pytest-asyncio runs; imported only where that is installed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from rivetkit_pytest import rivet_test

if TYPE_CHECKING:
    from rivetkit import Registry
    from rivetkit.testing import RivetTest

_pytest_asyncio: Any = import_module("pytest_asyncio")  # whether the type checker finds it is up to the user


@_pytest_asyncio.fixture
async def _rivet_on_pytest_asyncio(
    request: pytest.FixtureRequest, rivet_registry: Registry, rivet_host: str
) -> AsyncGenerator[RivetTest]:
    async with rivet_test(request, rivet_registry, rivet_host) as rivet:
        yield rivet
