"""The fixture for tests that pytest-asyncio runs; imported only where that is installed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio  # pyright: ignore[reportMissingImports]  # not everybody has it

from rivetkit_pytest import rivet_test

if TYPE_CHECKING:
    from rivetkit import Registry
    from rivetkit.testing import RivetTest


@pytest_asyncio.fixture  # pyright: ignore[reportUnknownMemberType, reportUntypedFunctionDecorator]  # as above
async def _rivet_on_pytest_asyncio(
    pytestconfig: pytest.Config, rivet_registry: Registry, rivet_host: str
) -> AsyncGenerator[RivetTest]:
    async with rivet_test(pytestconfig, rivet_registry, rivet_host) as rivet:
        yield rivet
