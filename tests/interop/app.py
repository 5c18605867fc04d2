"""The actors that the interop tests drive. They exist to be called from TypeScript, not to be an example."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from rivetkit import (
    ActionGroup,
    Actor,
    Conn,
    Event,
    Queue,
    QueueRef,
    RivetError,
    UserError,
    action,
    actor,
    create_state,
)
from rivetkit_core.errors import error
from tests.interop.nomad import Nomad
from tests.interop.parlour import Parlour


class Point(BaseModel):
    x: int
    y: int


class InnerActions(ActionGroup[Actor]):
    """Reached as ``nested.inner.deep``."""

    @action
    async def deep(self, value: object) -> object:
        return [*self.actor.ctx.key, value]


class NestedActions(ActionGroup[Actor]):
    """Reached as ``nested``."""

    inner = InnerActions()


@actor(name="echo")
class Echo(Actor):
    """Values in, values out; and every way an action can fail."""

    nested = NestedActions()

    async def create_vars(self) -> asyncio.Event:
        return asyncio.Event()

    vars: asyncio.Event

    @action
    async def echo(self, value: object) -> object:
        return value

    @action
    async def key(self) -> list[str]:
        return list(self.ctx.key)

    @action
    async def nothing(self) -> None:
        return None

    @action
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @action
    async def shout(self, text: str) -> str:
        return text.upper()

    @action
    async def shift(self, point: Point, by: int) -> Point:
        return Point(x=point.x + by, y=point.y + by)

    @action
    async def reverse(self, data: bytes) -> bytes:
        return data[::-1]

    @action
    async def day_after(self, moment: datetime) -> datetime:
        return moment + timedelta(days=1)

    @action
    async def union(self, left: set[int], right: set[int]) -> set[int]:
        return left | right

    @action
    async def square(self, number: int) -> int:
        return number * number

    @action
    async def refuse(self) -> None:
        raise UserError("bad thing", code="bad_thing", metadata={"field": "x", "n": 3})

    @action(name="crash")
    async def fail_for_a_reason_clients_must_not_see(self) -> None:
        raise RuntimeError("the password is swordfish")

    @action
    async def wait(self) -> str:
        await self.vars.wait()
        return "released"

    @action
    async def release(self) -> None:
        self.vars.set()

    @action
    async def large(self, size: int) -> str:
        return "x" * size


class CounterState(BaseModel):
    count: int


@actor(name="counter")
class Counter(Actor):
    """State made from a single input value, and events."""

    state: CounterState

    changed = Event[int]()
    moved = Event[tuple[int, str]]()

    @create_state
    def initial(self, start: int = 0) -> CounterState:
        return CounterState(count=start)

    @action
    async def increment(self, by: int = 1) -> int:
        self.state.count += by
        self.changed.broadcast(self.state.count)
        self.moved.broadcast((by, "up" if by > 0 else "down"))
        return self.state.count

    @action
    async def count(self) -> int:
        return self.state.count

    @action
    async def save(self) -> None:
        await self.ctx.save_state()

    @action
    async def destroy(self) -> None:
        await self.ctx.destroy()


class RoomState(BaseModel):
    title: str
    limit: int


class Member(BaseModel):
    name: str


class Visit(BaseModel):
    calls: int = 0


class Line(BaseModel):
    author: str
    text: str


@actor(name="room")
class Room(Actor):
    """State made from several input fields, connection parameters, and hooks that refuse."""

    state: RoomState
    conn: Conn[Member, Visit]

    said = Event[Line]()
    whispered = Event[str]()

    @create_state
    async def initial(self, title: str = "untitled", limit: int = 10) -> RoomState:
        return RoomState(title=title, limit=limit)

    async def on_before_connect(self, params: Member, /) -> None:
        if params.name == "taken":
            raise UserError("choose another name", code="name_taken", metadata={"name": params.name})
        if params.name == "banned":
            raise error("auth.forbidden")

    async def create_conn_state(self, params: Member, /) -> Visit:
        return Visit()

    @action
    async def describe(self) -> RoomState:
        return self.state

    @action
    async def name(self) -> str:
        return self.conn.params.name

    @action
    async def count_calls(self) -> int:
        self.conn.state.calls += 1
        return self.conn.state.calls

    @action
    async def say(self, text: str) -> None:
        self.said.broadcast(Line(author=self.conn.params.name, text=text))

    @action
    async def whisper(self, text: str) -> None:
        self.whispered.send(self.conn, text)

    @action
    async def leave(self) -> None:
        await self.conn.disconnect("bye")


@actor(name="relay")
class Relay(Actor):
    """Calls other actors, of any runtime."""

    @action
    async def forward(self, name: str, key: list[str], action: str, args: list[object]) -> object:
        return await self.ctx.client.get_by_name(name, key).call_by_name(action, *args)

    @action
    async def failure(self, name: str, key: list[str], action: str, args: list[object]) -> object:
        try:
            await self.ctx.client.get_by_name(name, key).call_by_name(action, *args)
        except RivetError as failed:
            return [failed.group, failed.code, failed.message, failed.metadata]
        return None

    @action
    async def next_event(
        self, name: str, key: list[str], event: str, action: str, args: list[object]
    ) -> list[object]:
        handle = self.ctx.client.get_by_name(name, key)
        async with handle.connect() as conn, conn.events_by_name(event) as events:
            await conn.call_by_name(action, *args)
            return list(await anext(events))


class Task(BaseModel):
    text: str
    data: object = None


@actor(name="worker", max_queue_size=3)
class Worker(Actor):
    """Receives when told to."""

    tasks = Queue[Task, object]()
    notes = Queue[object]()
    guarded = Queue[object]()

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> bool:
        return queue != Worker.guarded

    @action
    async def work(self) -> str:
        """Complete the oldest task with what it carried."""
        job = await self.tasks.next(timeout=5.0)
        assert job is not None
        await job.complete(job.body.data)
        return job.body.text

    @action
    async def drain(self) -> list[object]:
        return [job.body for job in await self.notes.try_next_batch(10)]


@actor(name="web")
class Web(Actor):
    """Answers raw requests and websockets."""

    conn: Conn[object, None]

    async def on_request(self, request: Request) -> Response:
        match request.url.path:
            case "/echo":
                told = [
                    request.method,
                    str(request.url.query),
                    request.headers.get("x-asked"),
                    self.conn.params,
                ]
                return Response(await request.body(), 201, {"x-told": json.dumps(told)})
            case "/stream":
                return StreamingResponse(part for part in ("one ", "two ", "three"))
            case "/refuse":
                raise UserError("bad thing", code="bad_thing", metadata={"n": 3})
            case _:
                return Response(f"nothing at {request.url.path}", 404)

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json([websocket.url.path, websocket.url.query, self.conn.params])
        while True:
            match await websocket.receive():
                case {"type": "websocket.receive", "text": "close"}:
                    await websocket.close(4001, "as you say")
                case {"type": "websocket.receive", "text": "crash"}:
                    raise RuntimeError("the password is swordfish")
                case {"type": "websocket.receive", "text": str(text)}:
                    await websocket.send_text(text)
                case {"type": "websocket.receive", "bytes": bytes(data)}:
                    await websocket.send_bytes(data)
                case _:
                    return


ACTORS = (Echo, Counter, Room, Relay, Worker, Nomad, Parlour, Web)
