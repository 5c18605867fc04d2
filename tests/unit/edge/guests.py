"""Clients that stay connected to a scripted actor from one generation to the next."""

from __future__ import annotations

import asyncio
import itertools

from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.edge.local import LocalChannel, LocalLink, LocalPipe, serve_local
from rivetkit_core.edge.replay import Replay
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, SubscriptionRequest, ToClient
from rivetkit_core.wire.persisted import CONN_PREFIX, ConnRecord, decode_conn
from tests.unit.actor.scripted import World

_numbers = itertools.count(1)


class RecordingChannel(LocalChannel):
    """Remembers what was acknowledged."""

    def __init__(self, pipe: LocalPipe, origin: SocketOrigin) -> None:
        super().__init__(pipe, origin)
        self.acked: list[int] = []

    def ack(self, index: int) -> None:
        self.acked.append(index)
        super().ack(index)


class Guest:
    """One client. ``last``: the number its gateway gave out last."""

    def __init__(self, world: World, *, last: int = 0) -> None:
        self.id = SocketId(b"gate", next(_numbers).to_bytes(4, "big"))
        self.pipe = LocalPipe(world.script.config)
        self.pipe.to_server = Replay(last)
        self.channel = RecordingChannel(self.pipe, SocketOrigin(self.id, "/connect", {"a": "b"}))
        self.link = LocalLink(self.pipe)
        self.serving: asyncio.Task[bool] | None = None
        self.received: list[ToClient] = []

    async def visit(self, task: ActorTask, *, resumed: bool = False) -> None:
        """Be served by a generation, from now on."""
        self.serving = asyncio.create_task(serve_local(task, self.channel, cbor.NULL, resumed=resumed))
        await settle()

    async def request(self, id: int, name: str, *args: object) -> None:
        self.link.send(ActionRequest(id, name, cbor.encode(list(args))))
        await settle()

    async def subscribe(self, event: str, *, on: bool = True) -> None:
        self.link.send(SubscriptionRequest(event, on))
        await settle()

    async def leave(self) -> None:
        await self.link.close()
        await settle()

    def news(self) -> list[ToClient]:
        """What came since this was asked last."""
        came = list(self.pipe.to_client)
        self.pipe.to_client.clear()
        self.received += came
        return came


async def sleep(task: ActorTask, *guests: Guest) -> None:
    """Put a generation to sleep, and see that its guests stay."""
    await task.stop(StopKind.SLEEP)
    for guest in guests:
        assert guest.serving is not None
        assert await guest.serving
        guest.serving = None


async def wake(world: World, *guests: Guest) -> ActorTask:
    """The next generation, with those who stayed."""
    task = world.task()
    await task.start(None, live=[guest.id for guest in guests])
    for guest in guests:
        await guest.visit(task, resumed=True)
    return task


async def records(world: World) -> list[ConnRecord]:
    """The connections that storage has."""
    stored = await world.store.storage(world.ACTOR_ID).list(CONN_PREFIX)
    return [decode_conn(value) for _, value in stored]
