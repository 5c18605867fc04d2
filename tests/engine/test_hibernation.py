"""Websockets of clients that a real engine keeps while their actor is away (envoy-protocol 6.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.link import EnvoyLink, LinkLost
from rivetkit_core.host.engine.tunnel.socket import TunnelSocket
from rivetkit_core.host.engine.tunnel.sockets import Restored, StoredSocket
from rivetkit_core.host.engine.tunnel.tunnel import Tunnel
from rivetkit_core.host.engine.websocket import EnvoyAddress, WebSocketDialer
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    CommandEntry,
    Commands,
    EngineWebSocketOpen,
    EventEntry,
    Events,
    Metadata,
    Ping,
    Pong,
    RequestId,
    Running,
    SleepIntent,
    StartActor,
    StopActor,
    StopCode,
    Stopped,
    ToEnvoyTunnel,
    ToRivetTunnel,
)
from tests.engines import RunningEngine

pytestmark = pytest.mark.engine

_PATIENCE = 20.0


class Host:
    """Runs one actor by hand; its websockets go through a real ``Tunnel`` on a real connection.

    Attributes:
        known: What the actor stored of its websockets when it last slept.
        lives: What became of them at each start.
    """

    def __init__(self, link: EnvoyLink) -> None:
        self._link = link
        self._tunnel = Tunnel(find=lambda _actor, _generation: None, send=self._send, clock=SystemClock())
        self._next_index: dict[RequestId, int] = {}
        self._place = Checkpoint("", 0, 0)
        self._events = 0
        self.known: dict[RequestId, StoredSocket] = {}
        self.sockets: asyncio.Queue[tuple[RequestId, TunnelSocket]] = asyncio.Queue()
        self.open: dict[RequestId, TunnelSocket] = {}
        self.lives: asyncio.Queue[Restored] = asyncio.Queue()
        self.asleep = asyncio.Event()

    async def serve(self) -> None:
        """Take what the engine says until the connection ends."""
        self._link.send(Metadata({"counter": "{}"}, "{}"))
        with suppress(LinkLost):
            while True:
                match await self._link.receive():
                    case Ping(ts=ts):
                        self._link.send(Pong(ts))
                    case Commands(entries=entries):
                        for entry in entries:
                            self._obey(entry)
                    case ToEnvoyTunnel() as message:
                        self._take(message)
                    case _:
                        pass

    async def sleep(self) -> None:
        """Let go of every websocket, and wait until the actor is away."""
        self._report(SleepIntent())
        await self.asleep.wait()

    def _obey(self, entry: CommandEntry) -> None:
        match entry.command:
            case StartActor(hibernating_requests=listed):
                self._place, self._events = entry.checkpoint, 0
                self.asleep.clear()
                restored = self._tunnel.restore(listed, self.known)
                self.open = dict(restored.attached)
                self.lives.put_nowait(restored)
                self._report(Running())
            case StopActor():
                for id, socket in self.open.items():
                    self.known[id] = StoredSocket(socket.received_index, self._next_index[id])
                    socket.ack(socket.received_index)
                    socket.hibernate()
                self._report(Stopped(StopCode.OK))
                self.asleep.set()

    def _take(self, message: ToEnvoyTunnel) -> None:
        number = message.message_id
        id = RequestId(number.gateway_id, number.request_id)
        if isinstance(message.kind, EngineWebSocketOpen) and id not in self.open:
            place = {id: StoredSocket(received_index=number.message_index, next_index=0)}
            self.open[id] = self._tunnel.restore([id], place).attached[id]
            self.sockets.put_nowait((id, self.open[id]))
        else:
            self._tunnel.receive(message)

    def _report(self, event: Running | SleepIntent | Stopped) -> None:
        place = Checkpoint(self._place.actor_id, self._place.generation, self._events)
        self._events += 1
        self._link.send(Events((EventEntry(place, event),)))

    def _send(self, message: ToRivetTunnel) -> None:
        number = message.message_id
        self._next_index[RequestId(number.gateway_id, number.request_id)] = number.message_index + 1
        self._link.send(message)


class Stage:
    """A host and a client of its actor, connected, with one message each way behind them."""

    def __init__(
        self, host: Host, client: ClientConnection, id: RequestId, api: EngineApi, actor_id: str
    ) -> None:
        self.host = host
        self.client = client
        self.id = id
        self._api = api
        self._actor_id = actor_id

    async def sleep(self) -> None:
        """Put the actor to sleep, and wait until the engine knows it."""
        await self.host.sleep()
        while (await self._api.get_actor(self._actor_id)).sleep_ts is None:
            await SystemClock().sleep(0.02)


@pytest.fixture
async def stage(engine: RunningEngine) -> AsyncIterator[Stage]:
    namespace = await engine.fresh_namespace()
    address = EnvoyAddress(engine.endpoint, namespace, "default", "hibernating-host", 1)
    link = await WebSocketDialer(address, 8, SystemClock()).dial()
    host = Host(link)
    serving = asyncio.create_task(host.serve())
    await engine.wait_for_pool(namespace)
    async with engine.api(namespace) as api:
        actor = await api.create_actor("counter", "a", pool="default")
        url = f"{engine.endpoint.replace('http', 'ws')}/gateway/{actor.actor_id}/anything"
        async with (
            asyncio.timeout(_PATIENCE),
            connect(url, subprotocols=[Subprotocol("rivet")], proxy=None) as client,
        ):
            assert (await host.lives.get()).attached == {}
            id, socket = await host.sockets.get()
            await client.send("hello")
            assert await socket.receive() == b"hello"
            await socket.send(b"welcome", text=True)
            assert await client.recv() == "welcome"
            yield Stage(host, client, id, api, actor.actor_id)
        await api.delete_actor(actor.actor_id)
    await link.close(1000, "envoy.shutdown")
    await serving


async def test_a_message_wakes_the_actor_and_its_websocket_goes_on(stage: Stage) -> None:
    host, client = stage.host, stage.client
    await stage.sleep()
    await client.send("are you there?")
    restored = await host.lives.get()
    assert list(restored.attached) == [stage.id]
    socket = restored.attached[stage.id]
    assert await socket.receive() == b"are you there?"
    await socket.send(b"yes", text=True)
    assert await client.recv() == "yes"


async def test_a_websocket_that_nobody_remembers_is_closed_at_the_next_start(stage: Stage) -> None:
    host, client = stage.host, stage.client
    await stage.sleep()
    host.known.clear()
    await client.send("are you there?")
    assert (await host.lives.get()).attached == {}
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (
        1000,
        "ws.meta_not_found_during_restore",
    )
