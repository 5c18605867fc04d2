"""A declared actor, and a client whose server is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rivetkit import Actor, Event, action, actor
from rivetkit.client import ActorConnection, ActorHandle, Client
from rivetkit_core.errors import RivetError, rebuild
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.testing.links import ScriptedAccess, ScriptedLink
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Event as EventMessage

T = TypeVar("T")


@actor(name="counter")
class Counter(Actor):
    state: int = 0
    changed = Event[int]()
    moved = Event[tuple[int, str]]()

    @action
    async def increment(self, by: int = 1) -> int:
        raise NotImplementedError

    @action
    async def reset(self) -> None:
        raise NotImplementedError


class Steady:
    """Entropy that always picks the middle, so that back-off is exact."""

    def bits(self, count: int) -> int:
        return 1 << (count - 1)


@dataclass
class World:
    access: ScriptedAccess = field(default_factory=ScriptedAccess)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.client = Client(transport=self.access, clock=self.clock, entropy=Steady())

    @property
    def link(self) -> ScriptedLink:
        return self.access.link

    @property
    def counter(self) -> ActorHandle[Counter]:
        return self.client.get_or_create(Counter, "a")

    @asynccontextmanager
    async def connected(self, params: object = None) -> AsyncGenerator[ActorConnection[Counter]]:
        async with self.counter.connect(params=params) as conn:
            yield conn

    async def lose(self, code: int = 1006, reason: str = "") -> None:
        self.link.lose(code, reason)
        await settle()

    async def emit(self, *values: object, name: str = "changed") -> None:
        """Let one event with one argument arrive per value."""
        for value in values:
            self.link.deliver(EventMessage(name, cbor.encode([value])))
        await settle()


async def begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start something and let it run until it waits. The caller awaits it."""
    task = asyncio.ensure_future(work)
    await settle()
    return task


async def failure_of(work: asyncio.Future[Any] | Coroutine[Any, Any, Any]) -> RivetError:
    try:
        await work
    except RivetError as failure:
        return failure
    raise AssertionError("it succeeded")


def identity(failure: RivetError) -> str:
    return f"{failure.group}.{failure.code}"


def named(text: str) -> RivetError:
    """The error whose ``identity`` is ``text``."""
    group, _, code = text.partition(".")
    return rebuild(group, code)
