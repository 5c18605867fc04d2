"""The real link against a real websocket server, on both event loops people use."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from websockets import Subprotocol
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.host.engine.websocket import EnvoyAddress, WebSocketDialer, WebSocketLink
from rivetkit_core.wire.envoy.messages import KvPut, KvRequest, Stopping

LARGE = 64 * 1024 * 1024
"""More than two sockets hold."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def dialled() -> AsyncGenerator[tuple[WebSocketLink, ServerConnection]]:
    """A link, and the server's end of it."""
    accepted: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def accept(connection: ServerConnection) -> None:
        accepted.set_result(connection)
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0, subprotocols=[Subprotocol("rivet")], max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        address = EnvoyAddress(f"http://127.0.0.1:{port}", "default", "default", "key", 1)
        link = await WebSocketDialer(address, 8, SystemClock()).dial()
        assert isinstance(link, WebSocketLink)
        try:
            yield link, await accepted
        finally:
            link.abort()


async def test_a_message_arrives() -> None:
    async with dialled() as (link, server):
        link.send(Stopping())
        assert await server.recv() == b"\x03"


async def test_what_is_sent_on_a_dropped_connection_is_dropped_in_silence() -> None:
    async with dialled() as (link, _):
        link.abort()
        link.send(Stopping())
        with pytest.raises(LinkLost):
            await link.receive()
        link.send(Stopping())
        await link.close(1000, "envoy.reconnect")


async def test_a_connection_that_the_engine_resets_is_lost_and_can_be_closed() -> None:
    async with dialled() as (link, server):
        raw: socket.socket = server.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        server.transport.abort()
        with pytest.raises(LinkLost):
            await link.receive()
        await link.close(1000, "envoy.reconnect")


async def test_what_has_not_left_the_process_when_a_connection_is_dropped_never_arrives() -> None:
    async with dialled() as (link, server):
        server.transport.pause_reading()
        request = KvRequest("actor", 1, KvPut((b"key",), (bytes(LARGE),)))
        link.send(request)
        link.abort()
        server.transport.resume_reading()
        with pytest.raises(ConnectionClosedError):
            await server.recv()
