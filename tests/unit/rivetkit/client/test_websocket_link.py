from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from live_world import failure_of, identity
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from rivetkit.client._link import MAX_BACKLOG, open_link
from rivetkit_core.errors import Forbidden, Overloaded, ProtocolError
from rivetkit_core.host.port import Link, LinkClosed
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    Init,
    SubscriptionRequest,
    ToServer,
)

INIT = Init("actor-1", "connection-1")


@dataclass
class Peer:
    """A websocket server with one client at a time; what it does is the test's."""

    script: Callable[[ServerConnection], Awaitable[None]]
    seen: list[Request] = field(default_factory=list[Request])
    server: Server | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int | None = None

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.seen.append(socket.request)
        try:
            await self.script(socket)
        except ConnectionClosed:
            pass
        finally:
            await socket.wait_closed()
            self.close_code = socket.close_code
            self.ended.set()

    @property
    def base(self) -> str:
        assert self.server is not None
        port: int = next(iter(self.server.sockets)).getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def open(self, encoding: Encoding = Encoding.BARE, params_json: str | None = None) -> Link:
        return await open_link(
            f"{self.base}/gateway/counter/connect?rvt-key=a",
            Codec(encoding),
            params_json=params_json,
            headers={"x-mine": "yes"},
            shown=self.base,
        )


@asynccontextmanager
async def playing(script: Callable[[ServerConnection], Awaitable[None]]) -> AsyncGenerator[Peer]:
    peer = Peer(script)
    async with serve(
        peer.handle, "127.0.0.1", 0, subprotocols=[Subprotocol("rivet")], compression=None
    ) as server:
        peer.server = server
        yield peer


async def silent(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def test_the_handshake_carries_encoding_parameters_and_headers() -> None:
    async with playing(silent) as peer:
        link = await peer.open(params_json='{"name":"Zoë"}')
        await link.close()
    [request] = peer.seen
    assert request.path == "/gateway/counter/connect?rvt-key=a"
    assert request.headers["Sec-WebSocket-Protocol"] == (
        "rivet, rivet_encoding.bare, rivet_conn_params.%7B%22name%22%3A%22Zo%C3%AB%22%7D"
    )
    assert request.headers["x-mine"] == "yes"
    assert "Sec-WebSocket-Extensions" not in request.headers


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_messages_travel_in_order_in_every_encoding(encoding: Encoding) -> None:
    received: list[ToServer] = []
    kinds: set[type] = set()

    async def echo(socket: ServerConnection) -> None:
        codec = Codec(encoding)
        for number in range(20):
            frame = await socket.recv()
            kinds.add(type(frame))
            received.append(codec.decode_to_server(frame.encode() if isinstance(frame, str) else frame))
            answer = codec.encode_to_client(ActionResponse(number, b"\x01"))
            await socket.send(answer, text=encoding is Encoding.JSON)

    sent = [ActionRequest(number, "go", b"\x80") for number in range(20)]
    async with playing(echo) as peer:
        link = await peer.open(encoding)
        for request in sent:
            link.send(request)
        answers = [await link.receive() for _ in sent]
        await link.close()
    assert received == sent
    assert answers == [ActionResponse(number, b"\x01") for number in range(20)]
    assert kinds == {str if encoding is Encoding.JSON else bytes}


async def test_a_close_is_told_with_code_and_reason_after_what_came_before() -> None:
    async def leave(socket: ServerConnection) -> None:
        await socket.send(Codec(Encoding.BARE).encode_to_client(INIT))
        await socket.close(1011, "auth.forbidden#ray")

    async with playing(leave) as peer:
        link = await peer.open()
        assert await link.receive() == INIT
        with pytest.raises(LinkClosed) as closed:
            await link.receive()
        assert (closed.value.code, closed.value.reason) == (1011, "auth.forbidden#ray")
        with pytest.raises(LinkClosed):
            link.send(SubscriptionRequest("x", True))
        await link.close()


async def test_a_connection_that_breaks_is_told_as_1006() -> None:
    async def vanish(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with playing(vanish) as peer:
        link = await peer.open()
        with pytest.raises(LinkClosed) as closed:
            await link.receive()
        assert closed.value.code == 1006
        await link.close()


async def test_a_frame_that_cannot_be_read_closes_the_link() -> None:
    async def babble(socket: ServerConnection) -> None:
        await socket.send(b"\xff\xff\xff")
        await socket.wait_closed()

    async with playing(babble) as peer:
        link = await peer.open()
        with pytest.raises(ProtocolError):
            await link.receive()
        await peer.ended.wait()
        assert peer.close_code == 1002
        await link.close()


async def test_closing_is_idempotent_and_ends_sending() -> None:
    async with playing(silent) as peer:
        link = await peer.open()
        await link.close(1000, "Disposed")
        await link.close()
        with pytest.raises(LinkClosed):
            link.send(SubscriptionRequest("x", True))
        await peer.ended.wait()
        assert peer.close_code == 1000


async def test_sending_never_waits_and_is_bounded() -> None:
    async with playing(silent) as peer:
        link = await peer.open()
        for number in range(MAX_BACKLOG):
            link.send(ActionRequest(number, "go", b"\x80"))
        with pytest.raises(Overloaded):
            link.send(ActionRequest(MAX_BACKLOG, "go", b"\x80"))
        await link.close()


async def test_what_was_sent_makes_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivetkit.client._link.MAX_BACKLOG_BYTES", 1000)

    async def acknowledge(socket: ServerConnection) -> None:
        async for _ in socket:
            await socket.send(Codec(Encoding.BARE).encode_to_client(INIT))

    request = ActionRequest(1, "go", b"\x59\x01\x2c" + bytes(300))
    async with playing(acknowledge) as peer:
        link = await peer.open()
        for _ in range(10):
            link.send(request)
            await link.receive()
        for _ in range(3):
            link.send(request)
        with pytest.raises(Overloaded):
            link.send(request)
        await link.close()


async def test_a_subscription_that_cannot_be_queued_gives_the_link_up() -> None:
    async with playing(silent) as peer:
        link = await peer.open()
        for number in range(MAX_BACKLOG):
            link.send(ActionRequest(number, "go", b"\x80"))
        with pytest.raises(LinkClosed):
            link.send(SubscriptionRequest("x", True))
        with pytest.raises(LinkClosed):
            await link.receive()
        await link.close()


async def test_a_server_that_is_down_is_named() -> None:
    async with playing(silent) as peer:
        base = peer.base
    failure = await failure_of(
        open_link(f"{base}/connect", Codec(Encoding.BARE), params_json=None, headers={}, shown=base)
    )
    assert identity(failure) == "client.request_failed"
    assert f"cannot connect to {base}" in failure.message


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(403, b'{"group":"auth","code":"forbidden","message":"no"}', "auth.forbidden", id="json"),
        pytest.param(401, b"go away", "api.unauthorized", id="plain-401"),
        pytest.param(502, b"bad gateway", "client.request_failed", id="proxy"),
    ],
)
async def test_a_refused_handshake_is_read_like_an_answer(status: int, body: bytes, expected: str) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(HTTPStatus(status), body.decode())
        if body.startswith(b"{"):
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
        return response

    async with serve(silent, "127.0.0.1", 0, process_request=refuse) as server:
        peer = Peer(silent, server=server)
        failure = await failure_of(peer.open())
    assert identity(failure) == expected
    assert isinstance(failure, Forbidden) == (expected == "auth.forbidden")
