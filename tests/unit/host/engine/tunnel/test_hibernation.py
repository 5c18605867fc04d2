"""Websockets that outlive a generation, as far as the tunnel knows (envoy-protocol 6.5)."""

from __future__ import annotations

import pytest

from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.edge.websocket import SocketClosed
from rivetkit_core.host.engine.tunnel.indices import Outgoing
from rivetkit_core.host.engine.tunnel.socket import TunnelSocket
from rivetkit_core.host.engine.tunnel.sockets import StoredSocket
from rivetkit_core.testing import FakeClock
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    HostWebSocketClose,
    HostWebSocketOpen,
    ToRivetTunnel,
    WebSocketMessage,
    WebSocketMessageAck,
)
from tests.unit.actor.scripted import Script, World
from tests.unit.host.engine.tunnel.fakes import Engine, connect, engine_of, request_id


class Solo:
    """One websocket without a tunnel."""

    def __init__(self, *, index: int = 0) -> None:
        self.clock = FakeClock()
        self.sent: list[ToRivetTunnel] = []
        self.ends = 0
        self.socket = TunnelSocket(
            Outgoing(request_id(1), self.sent.append),
            index=index,
            can_hibernate=True,
            max_payload=1000,
            clock=self.clock,
            ended=self._ended,
            origin=SocketOrigin(SocketId(b"gate", b"req1"), "/connect", {}),
        )

    @property
    def said(self) -> list[object]:
        return [message.kind for message in self.sent]

    def _ended(self) -> None:
        self.ends += 1


def text(data: bytes) -> WebSocketMessage:
    return WebSocketMessage(data, binary=False)


async def test_whether_a_websocket_hibernates_is_told_when_it_opens() -> None:
    async with engine_of(World(Script()), can_hibernate=lambda _, head: head.path == "/connect") as engine:
        await engine.give(1, connect())
        assert engine.about(1)[0] == HostWebSocketOpen(can_hibernate=True)


async def test_acknowledgements_are_sent_in_batches() -> None:
    solo = Solo()
    for index in (1, 2, 3, 2):
        solo.socket.ack(index)
    assert solo.said == []
    await solo.clock.advance(0.1)
    assert solo.said == [WebSocketMessageAck(3)]
    solo.socket.ack(3)
    await solo.clock.advance(1)
    assert solo.said == [WebSocketMessageAck(3)]


async def test_acknowledgements_wrap_around() -> None:
    solo = Solo()
    solo.socket.ack(65_535)
    solo.socket.ack(0)
    await solo.clock.advance(0.1)
    assert solo.said == [WebSocketMessageAck(0)]


async def test_letting_go_acknowledges_and_says_nothing_else() -> None:
    solo = Solo()
    solo.socket.ack(4)
    solo.socket.hibernate()
    solo.socket.hibernate()
    await solo.socket.close(1000, "")
    await solo.clock.advance(1)
    assert solo.said == [WebSocketMessageAck(4)]
    assert solo.ends == 1
    with pytest.raises(SocketClosed):
        await solo.socket.receive()
    with pytest.raises(SocketClosed):
        await solo.socket.send(b"", text=True)


async def test_a_websocket_says_which_message_it_delivered() -> None:
    solo = Solo(index=4)
    solo.socket.arrive(5, text(b"five"))
    solo.socket.arrive(6, text(b"six"))
    assert await solo.socket.receive() == b"five"
    assert solo.socket.received_index == 5


def restored() -> tuple[Engine, TunnelSocket]:
    """A websocket taken up after its message number 4."""
    engine = Engine(FakeClock())
    known = {request_id(1): StoredSocket(received_index=4, next_index=9)}
    return engine, engine.tunnel.restore([request_id(1)], known).attached[request_id(1)]


async def test_a_restored_websocket_goes_on_where_it_was() -> None:
    engine, socket = restored()
    engine.give_at(1, 4, text(b"seen before"))
    engine.give_at(1, 5, text(b"new"))
    assert await socket.receive() == b"new"
    await socket.send(b"hello", text=True)
    assert engine.about(1) == [HostWebSocketOpen(can_hibernate=True), text(b"hello")]
    assert engine.indices(1) == [9, 10]


async def test_a_client_that_left_while_the_actor_slept_is_opened_and_closed() -> None:
    engine, socket = restored()
    await engine.give(1, connect(), EngineWebSocketClose(1000, "bye"))
    with pytest.raises(SocketClosed):
        await socket.receive()
    assert engine.closes(1) == []


async def test_a_websocket_that_nobody_stored_is_closed() -> None:
    engine = Engine(FakeClock())
    result = engine.tunnel.restore([request_id(1)], {})
    assert result.attached == {}
    assert engine.about(1) == [HostWebSocketClose(1000, "ws.meta_not_found_during_restore")]


async def test_a_stored_websocket_that_is_not_listed_has_gone() -> None:
    engine = Engine(FakeClock())
    result = engine.tunnel.restore([], {request_id(1): StoredSocket(0, 1)})
    assert result.gone == (request_id(1),)
    assert engine.sent == []


async def test_what_a_client_says_while_its_actor_starts_is_kept() -> None:
    engine = Engine(FakeClock())
    engine.tunnel.expect("actor", [request_id(1)])
    engine.give_at(1, 5, text(b"wake up"))
    engine.give_at(1, 6, EngineWebSocketClose(1000))
    known = {request_id(1): StoredSocket(received_index=4, next_index=9)}
    socket = engine.tunnel.restore([request_id(1)], known).attached[request_id(1)]
    assert await socket.receive() == b"wake up"
    with pytest.raises(SocketClosed):
        await socket.receive()


async def test_what_a_client_says_to_an_actor_that_does_not_start_is_forgotten() -> None:
    engine = Engine(FakeClock())
    engine.tunnel.expect("actor", [request_id(1)])
    engine.give_at(1, 5, text(b"wake up"))
    engine.tunnel.give_up([request_id(1)])
    known = {request_id(1): StoredSocket(received_index=4, next_index=9)}
    socket = engine.tunnel.restore([request_id(1)], known).attached[request_id(1)]
    engine.give_at(1, 5, text(b"again"))
    assert await socket.receive() == b"again"


async def test_what_is_kept_for_a_starting_actor_is_bounded() -> None:
    engine = Engine(FakeClock())
    engine.tunnel.expect("actor", [request_id(1)])
    for index in range(5, 5 + 2000):
        engine.give_at(1, index, text(b""))
    known = {request_id(1): StoredSocket(received_index=4, next_index=9)}
    engine.tunnel.restore([request_id(1)], known)
    engine.give_at(1, 2005, text(b""))
    assert engine.closes(1) == [(1008, "ws.message_index_skip")]
