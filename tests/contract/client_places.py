"""Where the client suite's registry is served: by this process, or on an engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from rivetkit import Registry
from rivetkit.testing import RivetTest
from tests.contract.client_actors import Room
from tests.contract.client_web_actor import Web
from tests.engines import RunningEngine


class Place(Protocol):
    """Serves one registry after another, at the same address; whether actors survive differs."""

    def serving(self) -> AbstractAsyncContextManager[tuple[Registry, str]]:
        """A registry that takes calls for the duration of a block, and the endpoint of its clients."""
        ...

    async def leave(self) -> None:
        """Give back what the place holds, while its registry still runs."""
        ...


class Here:
    """The embedded host, which keeps nothing."""

    def __init__(self) -> None:
        self._port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[Registry, str]]:
        registry = Registry(Room, Web, data_dir=":memory:")
        async with _served(registry, self._port) as url:
            self._port = int(url.rpartition(":")[2])
            yield registry, url

    async def leave(self) -> None:
        pass


class OnEngine:
    """A namespace of an engine."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine
        self._namespace: str | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[Registry, str]]:
        if self._namespace is None:
            self._namespace = await self._engine.fresh_namespace()
        endpoint = self._engine.endpoint_of(self._namespace)
        registry = Registry(Room, Web, engine=endpoint)
        async with _served(registry, None):
            await self._engine.wait_for_pool(self._namespace)
            yield registry, endpoint

    async def leave(self) -> None:
        if self._namespace is not None:
            await self._engine.clear(self._namespace, "room", "web")


class InTest:
    """The host of users' tests, on virtual time: there is no way in but that of this process."""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[Registry, str]]:
        registry = Registry(Room)
        async with RivetTest(registry):
            yield registry, ""

    async def leave(self) -> None:
        pass


MakePlace = Callable[[Callable[[], RunningEngine]], Place]


def here(_engine: Callable[[], RunningEngine]) -> Place:
    return Here()


def on_engine(engine: Callable[[], RunningEngine]) -> Place:
    return OnEngine(engine())


def in_test(_engine: Callable[[], RunningEngine]) -> Place:
    return InTest()


@contextlib.asynccontextmanager
async def _served(registry: Registry, port: int | None) -> AsyncGenerator[str]:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(registry.serve(port=port, on_ready=ready.set_result))
    await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield await ready
    finally:
        server.cancel()
        await asyncio.wait([server])
