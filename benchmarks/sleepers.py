"""Actors that sleep as soon as they can, and what happens to them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic import BaseModel

from rivetkit import Actor, Queue, action, actor, resource

SOON = 0.01


@dataclass
class Awake:
    """How many sleepers of this process are awake."""

    count: int = 0


awake = Awake()

late: list[float] = []
"""Milliseconds between the time at which a ``Sleeper`` was due and its run, in this process."""


class Note(BaseModel):
    text: str = ""
    rings: int = 0


@actor(name="sleeper", sleep_timeout=SOON)
class Sleeper(Actor):
    """Has state, and may be woken by a call or by its own plan."""

    state: Note

    @resource
    async def counted(self) -> AsyncGenerator[None]:
        """Is the last thing to end."""
        awake.count += 1
        yield None
        awake.count -= 1

    @action
    async def remember(self, text: str) -> int:
        """Change the state; returns which life of the actor this is."""
        self.state.text = text
        return self.ctx.generation

    @action
    async def plan(self, at: float) -> None:
        """Ring at a wall-clock time."""
        await self.ctx.schedule.at(at, Sleeper.ring)

    @action
    async def ring(self) -> None:
        fire = self.ctx.scheduled_fire
        if fire is not None:
            late.append((time.time() - fire.scheduled_at.timestamp()) * 1000)
        self.state.rings += 1


@actor(name="hourly", sleep_timeout=30.0)
class Hourly(Actor):
    """Rings every hour."""

    state: Note

    @action
    async def begin(self) -> None:
        await self.ctx.schedule.cron.set("hourly", "0 * * * *", Hourly.ring)

    @action
    async def ring(self) -> None:
        self.state.rings += 1

    @action
    async def lives(self) -> tuple[int, int]:
        """How often it rang, and in how many lives."""
        return self.state.rings, self.ctx.generation


@actor(name="clerk")
class Clerk(Actor):
    """Receives messages and completes them."""

    orders = Queue[int, int]()

    async def run(self) -> None:
        async for order in self.orders:
            await order.complete(order.body)

    @action
    async def left(self) -> int:
        return await self.ctx.queue.size()


ACTORS = (Sleeper, Hourly, Clerk)
