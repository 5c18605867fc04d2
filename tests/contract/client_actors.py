"""What both ways to an actor must do alike is tried on this actor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, UserError, action, actor, create_state
from rivetkit_core.errors import error


class Member(BaseModel):
    name: str


class Visit(BaseModel):
    calls: int = 0


@dataclass
class RoomState:
    title: str
    count: int = 0


@actor(name="room", shutdown_grace_period=0.2)
class Room(Actor):
    state: RoomState
    conn: Conn[Member | None, Visit]
    counted = Event[int]()

    @create_state
    def initial(self, title: str = "untitled") -> RoomState:
        return RoomState(title)

    async def on_before_connect(self, params: Member | None) -> None:
        if params is not None and params.name == "Mallory":
            raise error("auth.forbidden")

    async def create_conn_state(self, params: Member | None) -> Visit:
        return Visit()

    @action
    async def title(self) -> str:
        return self.state.title

    @action
    async def who(self) -> str:
        return self.conn.params.name if self.conn.params else "nobody"

    @action
    async def visits(self) -> int:
        self.conn.state.calls += 1
        return self.conn.state.calls

    @action(durability="strict")
    async def count(self, by: int = 1) -> int:
        self.state.count += by
        self.counted.broadcast(self.state.count)
        return self.state.count

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def life(self) -> int:
        return self.ctx.generation

    @action
    async def fail(self) -> None:
        raise UserError("no", code="nope", metadata={"why": "because"})

    @action
    async def crash(self) -> None:
        raise KeyError("secret")

    @action
    async def wait(self) -> None:
        await asyncio.Event().wait()

    @action
    async def count_elsewhere(self, key: str) -> int:
        return await self.ctx.client.get_or_create(Room, key).call(Room.count, 5)

    @action(durability="strict")
    async def count_then_read_elsewhere(self, key: str) -> int:
        self.state.count += 1
        return await self.ctx.client.get_or_create(Room, key).call(Room.count, 5)

    @action
    async def listen_elsewhere(self, key: str) -> int:
        async with (
            self.ctx.client.get_or_create(Room, key).connect() as room,
            room.events(Room.counted) as counted,
        ):
            await room.call(Room.count, 7)
            async for value in counted:
                return value
        return 0
