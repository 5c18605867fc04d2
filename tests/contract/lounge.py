"""Actors whose clients stay connected while they sleep, for the contract suite."""

from __future__ import annotations

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, action, actor
from tests.contract.probe import current


class Visit(BaseModel):
    """What an actor knows of one connection."""

    name: str
    calls: int = 0


class LoungeState(BaseModel):
    connects: int = 0
    left: list[str] = []
    log: list[str] = []


class LoungeActions(Actor):
    """Counts who comes and goes."""

    state: LoungeState
    conn: Conn[str | None, Visit]

    news = Event[str]()

    async def create_conn_state(self, params: str | None) -> Visit:
        return Visit(name=params or "nobody")

    async def on_connect(self, conn: Conn[str | None, Visit]) -> None:
        if conn.params is not None:
            self.state.connects += 1

    async def on_disconnect(self, conn: Conn[str | None, Visit]) -> None:
        if conn.params is not None:
            self.state.left.append(f"{conn.params} after {conn.state.calls}")
            current.probe.disconnected.set()

    async def on_wake(self) -> None:
        if self.ctx.generation > 1:
            self.news.broadcast(f"life {self.ctx.generation}")

    async def on_sleep(self) -> None:
        current.probe.asleep.set()

    async def on_destroy(self) -> None:
        current.probe.destroyed.append(self.ctx.actor_id)

    @action
    async def visit(self) -> list[object]:
        """Who is calling, in which life, and for the how manieth time."""
        self.conn.state.calls += 1
        return [self.conn.id, self.conn.params, self.conn.state.calls, self.ctx.generation]

    @action
    async def say(self, text: str) -> None:
        self.news.broadcast(text)

    @action
    async def present(self) -> list[str]:
        return sorted(conn.params for conn in self.ctx.conns if conn.params is not None)

    @action
    async def book(self) -> list[object]:
        return [self.state.connects, self.state.left]

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def hold(self, text: str) -> str:
        """Wait for the gate in the first life, which may not come to the end of this."""
        self.state.log.append(f"{text} {self.ctx.generation}")
        current.probe.entered.set()
        if self.ctx.generation == 1:
            await current.probe.gate.wait()
        return text

    @action
    async def log(self) -> list[str]:
        return self.state.log

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()


@actor(name="lounge", sleep_timeout=0.1)
class Lounge(LoungeActions):
    """Sleeps as soon as nothing happens."""


@actor(name="den", sleep_grace_period=0.3)
class Den(LoungeActions):
    """Sleeps when it is told to, and does not wait long for what is under way."""
