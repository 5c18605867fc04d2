"""When the connection to the engine writes, and whom it keeps waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.host.engine.websocket import WebSocketLink
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import (
    KvPut,
    KvRequest,
    MessageId,
    ToRivet,
    ToRivetTunnel,
    WebSocketMessage,
)

SAVE = KvRequest("actor", 1, KvPut((b"k",), (b"v",)))


def said(number: int) -> ToRivetTunnel:
    """Something for a client."""
    return ToRivetTunnel(MessageId(b"gate", b"rqst", number), WebSocketMessage(b"x", binary=True))


class BusyClock(FakeClock):
    """Time that also passes within a step."""

    busy = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.busy


class Wire(asyncio.Transport):
    """A transport to an engine; keeps the messages of each write."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        client = ClientProtocol(parse_uri("ws://engine.test/envoys/connect"), max_size=None)
        self.link = WebSocketLink(client, EnvoyCodec(8), clock)
        self.writes: list[list[ToRivet]] = []
        self.unsent = 0
        self.aborted = False
        self._server = ServerProtocol()
        self.link.connection_made(self)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._server.receive_data(b"".join(list_of_data))
        events = self._server.events_received()
        frames = [bytes(event.data) for event in events if isinstance(event, Frame)]
        if frames:
            self.writes.append([EnvoyCodec(8).decode_to_rivet(frame) for frame in frames])
        for event in events:
            if isinstance(event, Request):
                self._server.send_response(self._server.accept(event))
                self.link.data_received(b"".join(self._server.data_to_send()))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The test says when the engine reads."""

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def clock() -> BusyClock:
    return BusyClock()


@pytest.fixture
async def wire(clock: BusyClock) -> Wire:
    wire = Wire(clock)
    await wire.link.opened()
    return wire


async def test_a_message_is_written_in_the_step_that_sends_it(wire: Wire) -> None:
    wire.link.send(said(1))
    assert wire.writes == [[said(1)]]


async def test_further_traffic_of_a_turn_shares_a_write(wire: Wire) -> None:
    for number in (1, 2, 3):
        wire.link.send(said(number))
    assert wire.writes == [[said(1)]]
    await settle()
    assert wire.writes == [[said(1)], [said(2), said(3)]]


async def test_a_storage_request_never_waits_and_keeps_its_place(wire: Wire) -> None:
    for message in (said(1), said(2), SAVE):
        wire.link.send(message)
    assert wire.writes == [[said(1)], [said(2), SAVE]]


async def test_traffic_does_not_wait_for_a_turn_that_takes_long(wire: Wire, clock: BusyClock) -> None:
    wire.link.send(said(1))
    clock.busy += 0.002
    wire.link.send(said(2))
    assert wire.writes == [[said(1)], [said(2)]]


async def test_nothing_is_written_twice(wire: Wire) -> None:
    wire.link.send(said(1))
    await settle()
    wire.link.send(said(2))
    await settle()
    assert wire.writes == [[said(1)], [said(2)]]


async def test_who_can_waits_while_the_engine_does_not_read(wire: Wire) -> None:
    wire.link.pause_writing()
    waiting = asyncio.create_task(wire.link.writable())
    await settle()
    assert not waiting.done()
    wire.link.resume_writing()
    await waiting


async def test_nobody_waits_for_a_lost_connection(wire: Wire) -> None:
    wire.link.pause_writing()
    wire.link.connection_lost(None)
    await wire.link.writable()


async def test_an_engine_that_reads_nothing_at_all_is_given_up(wire: Wire) -> None:
    wire.unsent = 300 * 1024 * 1024
    wire.link.send(said(1))
    assert wire.aborted
    with pytest.raises(LinkLost, match="does not read"):
        await wire.link.receive()
