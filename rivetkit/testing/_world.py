"""What a test needs of the place its actors run in: a host, time, and the power over lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from rivetkit._hosting import Hosting
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.port import ActorAccess, ActorKey, Link, RawAnswer, RawRequest, RawSocket, Target
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse


class NotOnThisHost(Exception):
    """A test asked for something that only virtual time makes possible."""


class World(Protocol):
    """One host and its surroundings, which outlive it.

    Attributes:
        is_virtual: Whether time is the test's.
    """

    is_virtual: bool

    @property
    def clock(self) -> Clock: ...

    @property
    def entropy(self) -> Entropy: ...

    @property
    def access(self) -> ActorAccess:
        """The way to the actors of the host that runs now."""
        ...

    def note_progress(self) -> None:
        """The test called an actor."""
        ...

    async def enter(self) -> None:
        """Take what outlives hosts."""
        ...

    async def leave(self) -> None:
        """Give it back. Idempotent."""
        ...

    async def start(self, factories: Iterable[ActorFactory]) -> Hosting:
        """Open a host for these actors, over what earlier ones stored."""
        ...

    async def stop(self, *, for_good: bool = False) -> int:
        """Close it; returns how many actors could not save. ``for_good``: what they stored is not needed."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            NotOnThisHost: It would really take that long.
        """
        ...

    async def sleep(self, actor_id: str) -> None: ...

    async def crash(self, actor_id: str) -> None: ...

    async def generation(self, actor_id: str) -> int: ...

    async def is_awake(self, actor_id: str) -> bool: ...


class CurrentAccess:
    """Leads to the host that runs now, so that handles survive a restart; during one, callers wait."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """Let callers wait until ``release``."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def resolve(self, target: Target) -> str:
        return await (await self._now()).resolve(target)

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        return await (await self._now()).create(name, key, input=input, region=region)

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        return await (await self._now()).call(target, action, args, params=params)

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        return await (await self._now()).enqueue(target, queue, request, params=params)

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        return await (await self._now()).connect(target, params=params)

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        return await (await self._now()).fetch(target, request, params=params)

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        return await (await self._now()).websocket(target, path, protocols=protocols, params=params)

    async def aclose(self) -> None:
        """Nothing: the world owns its hosts."""

    async def _now(self) -> ActorAccess:
        await self._open.wait()
        access = self._world.access
        self._world.note_progress()
        return access
