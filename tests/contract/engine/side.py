"""What the suite asks of an engine: a connection for an envoy, and the ways of operators and clients.

``FakeSide`` is the scripted engine, ``WireSide`` the same behind a websocket. A real one joins by another
class and another row in ``SIDES``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.link import EnvoyLink
from rivetkit_core.testing import SentFrame
from rivetkit_core.testing.engine import ScriptedEngine, ScriptedEngineServer
from tests.contract.engine.socket_link import SocketLink

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes


class ClientSocket(Protocol):
    """A client's websocket to an actor."""

    @property
    def closed(self) -> tuple[int, str] | None: ...

    def send(self, data: bytes | str) -> None: ...

    async def receive(self) -> SentFrame | None:
        """The next frame, or None once it is closed."""
        ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


class Side(Protocol):
    """An engine and the clients in front of it."""

    @property
    def namespace(self) -> str: ...

    async def dial(self, envoy_key: str = "envoy-1", *, version: int = 1, protocol: int = 8) -> EnvoyLink: ...

    async def create(self, name: str = "counter") -> str:
        """Create an actor; does not wait until it runs."""
        ...

    async def sleep(self, actor_id: str) -> None: ...

    async def reschedule(self, actor_id: str) -> None: ...

    def destroy(self, actor_id: str) -> asyncio.Task[None]:
        """Begin to destroy; the task ends when the engine says that it is done."""
        ...

    def request(
        self, actor_id: str, path: str = "/", *, body: bytes = b"", streaming: bool = False
    ) -> asyncio.Task[Answer]:
        """Send a request and read the whole answer."""
        ...

    async def websocket(self, actor_id: str, path: str = "/") -> ClientSocket: ...


class FakeSide:
    """The scripted engine, in the system's time."""

    namespace = "default"

    def __init__(self) -> None:
        self.engine = ScriptedEngine(SystemClock())
        self._tasks: set[asyncio.Task[object]] = set()

    async def open(self) -> None:
        """Make it ready to be dialled."""

    async def dial(self, envoy_key: str = "envoy-1", *, version: int = 1, protocol: int = 8) -> EnvoyLink:
        return await self.engine.dialer("default", envoy_key, version, protocol=protocol).dial()

    async def create(self, name: str = "counter") -> str:
        return self.engine.create_actor(name)

    async def sleep(self, actor_id: str) -> None:
        self.engine.sleep_actor(actor_id)

    async def reschedule(self, actor_id: str) -> None:
        self.engine.reschedule_actor(actor_id)

    def destroy(self, actor_id: str) -> asyncio.Task[None]:
        return self._task(self.engine.destroy_actor(actor_id))

    def request(
        self, actor_id: str, path: str = "/", *, body: bytes = b"", streaming: bool = False
    ) -> asyncio.Task[Answer]:
        async def ask() -> Answer:
            response = await self.engine.request(
                actor_id, "POST" if body else "GET", path, {"x-test": "1"}, body, streaming=streaming
            )
            return Answer(response.status, response.headers, await response.read())

        return self._task(ask())

    async def websocket(self, actor_id: str, path: str = "/") -> ClientSocket:
        return self.engine.websocket(actor_id, path, {"sec-websocket-protocol": "rivet"})

    async def close(self) -> None:
        """End it, and what the test left behind."""
        self.engine.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _task(self, work: Coroutine[object, object, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task


class WireSide(FakeSide):
    """The scripted engine's server: what the suite says holds for the bytes, too."""

    def __init__(self) -> None:
        super().__init__()
        self._server = ScriptedEngineServer(self.engine)
        self._links: list[SocketLink] = []

    async def open(self) -> None:
        await self._server.__aenter__()
        self.engine.connections.pools.add("default")

    async def dial(self, envoy_key: str = "envoy-1", *, version: int = 1, protocol: int = 8) -> EnvoyLink:
        link = await SocketLink.open(
            self._server.port, envoy_key=envoy_key, version=version, protocol=protocol
        )
        self._links.append(link)
        return link

    async def close(self) -> None:
        for link in self._links:
            await link.close(1000, "envoy.shutdown")
        await self._server.__aexit__(None, None, None)
        await super().close()
