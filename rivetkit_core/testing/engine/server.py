"""A scripted engine behind real sockets on loopback, for measurements and tests of the bytes.

    engine = ScriptedEngine(SystemClock())
    async with ScriptedEngineServer(engine) as server:
        ...  # a host connects to server.endpoint

Serves ``/envoys/connect`` and the endpoints of ``management``; clients' traffic enters through the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from rivetkit_core.errors import ProtocolError
from rivetkit_core.host.web.asgi import Head, Receive, Scope, Send, read_body, read_head, respond
from rivetkit_core.host.web.server import Address, bind, serve
from rivetkit_core.testing.engine.engine import ScriptedEngine
from rivetkit_core.testing.engine.envoys import Hello
from rivetkit_core.testing.engine.management import ApiRequest, Management
from rivetkit_core.testing.engine.traffic import Traffic
from rivetkit_core.wire.envoy.codec import SUPPORTED_VERSIONS, EnvoyCodec
from rivetkit_core.wire.envoy.messages import ToEnvoy

_CONNECT = "/envoys/connect"


class _SocketPeer:
    """The host at the other end of a websocket. Implements ``Peer``; ``None`` ends the queue."""

    def __init__(self, codec: EnvoyCodec, traffic: Traffic) -> None:
        self.outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closing: tuple[int, str] = 1000, ""
        self._codec = codec
        self._traffic = traffic

    def deliver(self, message: ToEnvoy) -> None:
        data = self._codec.encode_to_envoy(message)
        self._traffic.sent_by_engine(message, len(data))
        self.outgoing.put_nowait(data)

    def end(self, code: int, reason: str) -> None:
        self.closing = code, reason
        self.outgoing.put_nowait(None)


class ScriptedEngineServer:
    """Serves an engine while its block runs. With ``token``, hosts need it, as with an admin token.

    The pool ``default`` does not exist until it was put.

    Attributes:
        engine: What is served.
        traffic: What went over the websockets.
        management: The HTTP endpoints.
    """

    def __init__(self, engine: ScriptedEngine, *, token: str | None = None, port: int = 0) -> None:
        self.traffic = Traffic()
        self.management = Management(engine.connections, lambda: self.endpoint, token)
        engine.connections.pools.clear()
        self.engine = engine
        self._token = token
        self._listener = bind(Address(port=port))
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(
            serve(self, self._listener, finish=self._finish, handle_signals=False)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._serving is not None
        self._serving.cancel()
        await asyncio.wait([self._serving])

    async def _finish(self) -> None:
        self.engine.faults.go_away()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_head(scope)
        if scope["type"] == "websocket":
            await receive()
            if head.path == _CONNECT:
                await self._connect(head, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1011, "reason": "guard.no_route"})
        else:
            await self._manage(head, receive, send)

    async def _manage(self, head: Head, receive: Receive, send: Send) -> None:
        body = await read_body(receive, head)
        answer = self.management.answer(
            ApiRequest(head.method, head.path, head.query, body, head.text("authorization"))
        )
        headers = [("content-type", "application/json"), ("x-rivet-ray-id", "ray")]
        await respond(send, answer.status, headers, json.dumps(answer.body).encode())

    async def _connect(self, head: Head, receive: Receive, send: Send) -> None:
        """The upgrade always succeeds; what is wrong with the request is told by a close."""
        offered = "rivet" in head.subprotocols
        await send({"type": "websocket.accept", "subprotocol": "rivet" if offered else None})
        hello = _read_hello(head.query)
        if self._token is not None and f"rivet_token.{self._token}" not in head.subprotocols:
            refusal = "api.forbidden"
        else:
            refusal = "ws.invalid_request" if hello is None else None
        if hello is None or refusal is not None:
            await send({"type": "websocket.close", "code": 1011, "reason": f"{refusal}#ray"})
            return
        codec = EnvoyCodec(hello.protocol)
        peer = _SocketPeer(codec, self.traffic)
        writing = asyncio.create_task(_write(peer, send))
        try:
            await self._read(hello, peer, codec, receive)
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    async def _read(self, hello: Hello, peer: _SocketPeer, codec: EnvoyCodec, receive: Receive) -> None:
        connection = self.engine.connect(hello, peer)
        try:
            while (event := await receive())["type"] == "websocket.receive":
                data: object = event.get("bytes")
                if not isinstance(data, bytes) or not connection.is_open:
                    continue
                with contextlib.suppress(ProtocolError):  # the engine drops what it cannot read
                    message = codec.decode_to_rivet(data)
                    self.traffic.sent_by_host(message, len(data))
                    self.engine.handle(connection, message)
        finally:
            if connection.is_open:
                self.engine.disconnected(connection)


async def _write(peer: _SocketPeer, send: Send) -> None:
    with contextlib.suppress(OSError):  # the host is gone; its reader says so
        while (data := await peer.outgoing.get()) is not None:
            await send({"type": "websocket.send", "bytes": data})
        code, reason = peer.closing
        await send({"type": "websocket.close", "code": code, "reason": reason})


def _read_hello(query: str) -> Hello | None:
    """The parameters of a connection, or None when one is missing or malformed."""
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    try:
        protocol, version = int(fields["protocol_version"]), int(fields["version"])
        hello = Hello(fields["envoy_key"], fields["pool_name"], fields["namespace"], version, protocol)
    except (KeyError, ValueError):
        return None
    key = hello.envoy_key
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    fits = 3 <= len(key) <= 128 and not key.startswith("-") and not key.endswith("-")
    valid = plain and fits and 0 <= version < 2**32 and len(hello.pool) <= 128
    return hello if valid and protocol in SUPPORTED_VERSIONS else None
