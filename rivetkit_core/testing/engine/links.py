"""Connections in memory: messages are handed over as objects, in order, each in a turn of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.testing.engine.envoys import Connection, Hello
from rivetkit_core.wire.envoy.messages import ToEnvoy, ToRivet

if TYPE_CHECKING:
    from rivetkit_core.testing.engine.engine import ScriptedEngine


class ScriptedEnvoyLink:
    """Implements ``EnvoyLink`` for the host, and ``Peer`` for the engine.

    Attributes:
        closed: Code and reason once it ended, whoever ended it.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.closed: tuple[int, str] | None = None
        self.connection: Connection | None = None
        self._incoming: deque[ToEnvoy] = deque()
        self._wake = asyncio.Event()
        self._handle: Callable[[ToRivet], None] = _ignore
        self._left: Callable[[], None] = _nothing

    def attach(
        self, connection: Connection, handle: Callable[[ToRivet], None], left: Callable[[], None]
    ) -> None:
        """Say who takes what the host sends, and who wants to know that it closed the connection."""
        self.connection, self._handle, self._left = connection, handle, left

    def send(self, message: ToRivet) -> None:
        if self.closed is None:
            asyncio.get_running_loop().call_soon(self._arrive, message)

    async def writable(self) -> None:
        """The engine takes everything at once."""

    async def receive(self) -> ToEnvoy:
        while not self._incoming:
            if self.closed is not None:
                raise LinkLost(*self.closed)
            self._wake.clear()
            await self._wake.wait()
        return self._incoming.popleft()

    async def close(self, code: int, reason: str) -> None:
        await asyncio.sleep(0)  # what was sent before arrives first
        if self.closed is None:
            self.end(code, reason)
            self._left()

    def abort(self) -> None:
        if self.closed is None:
            self.end(1006, "")
            self._left()

    def deliver(self, message: ToEnvoy) -> None:
        self._incoming.append(message)
        self._wake.set()

    def end(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason
            self._wake.set()

    def _arrive(self, message: ToRivet) -> None:
        if self.closed is None:
            self._handle(message)


class ScriptedDialer:
    """Implements ``Dialer``; keeps every link it opened, oldest first."""

    def __init__(self, engine: ScriptedEngine, hello: Hello) -> None:
        self._engine = engine
        self.hello = hello
        self.links: list[ScriptedEnvoyLink] = []

    async def dial(self) -> ScriptedEnvoyLink:
        """Open a link; refused ones end on the first ``receive``.

        Raises:
            LinkLost: The engine is down.
        """
        await asyncio.sleep(0)
        if not self._engine.up:
            raise LinkLost(1006, "connection refused")
        link = ScriptedEnvoyLink(self.hello.protocol)
        self.links.append(link)
        connection = self._engine.connect(self.hello, link)
        link.attach(
            connection,
            lambda message: self._engine.handle(connection, message),
            lambda: self._engine.disconnected(connection),
        )
        return link


def _ignore(_message: ToRivet) -> None:
    """No engine is attached yet."""


def _nothing() -> None:
    """No engine is attached yet."""
