"""Sockets of the load process: HTTP and websocket clients that do only what a measurement needs.

HttpCaller    one keep-alive connection, one request at a time
FrameSocket   one websocket: whole frames in and out
LiveSocket    actions and events of one live connection
EchoSocket    the same frames against a server that returns them
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    ErrorMessage,
    Event,
    Init,
    SubscriptionRequest,
)

CODEC = Codec(Encoding.BARE)


def target(key: str, pool: str = "default") -> str:
    return f"rvt-namespace=default&rvt-method=getOrCreate&rvt-runner={pool}&rvt-key={key}"


def action_request(actor: str, key: str, action: str, *args: object, pool: str = "default") -> bytes:
    """The bytes of one HTTP action call."""
    body = CODEC.encode_action_request(cbor.encode(list(args)))
    head = (
        f"POST /gateway/{actor}/action/{action}?{target(key, pool)} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"x-rivet-encoding: bare\r\ncontent-type: application/octet-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class HttpCaller(asyncio.Protocol):
    """Sends the next of ``requests`` and waits for its whole answer; anything but 200 raises."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self.last = b""
        self.calls = 0

    @classmethod
    async def open(cls, port: int, requests: Iterator[bytes]) -> Self:
        loop = asyncio.get_running_loop()
        transport, caller = await loop.create_connection(lambda: cls(requests), "127.0.0.1", port)
        caller._transport = transport
        return caller

    async def __call__(self) -> None:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(next(self._requests))
        self.last = await self._answer
        self.calls += 1

    def result(self) -> object:
        """The last answer as plain data."""
        return cbor.decode(CODEC.decode_action_response(self.last))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        lowered = head.lower()
        start = lowered.index(b"content-length:") + 15
        end = lowered.find(b"\r\n", start)
        if len(body) < int(lowered[start : end if end > 0 else None]):
            return
        self._buffer = b""
        if head[9:12] == b"200":
            self._answer.set_result(body)
        else:
            self._answer.set_exception(RuntimeError(self._describe(head, body)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    @staticmethod
    def _describe(head: bytes, body: bytes) -> str:
        return f"{head.splitlines()[0].decode()}: {body[:200]!r}"


class FrameSocket(asyncio.Protocol):
    """One websocket; ``on_frame`` gets the payload of every frame that is not a ping.

    ``on_lost`` is called when there will be no more, whichever side ended it.
    """

    def __init__(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = b""
        self._open = False
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        subprotocols: str,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> Self:
        loop = asyncio.get_running_loop()
        transport, socket = await loop.create_connection(lambda: cls(on_frame, on_lost), "127.0.0.1", port)
        socket._transport = transport
        offered = f"sec-websocket-protocol: {subprotocols}\r\n" if subprotocols else ""
        head = (
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n{offered}\r\n"
        )
        transport.write(head.encode())
        await socket._ready
        return socket

    def send(self, payload: bytes) -> None:
        """Send a small binary frame. It is masked with zeroes, which costs nothing."""
        assert len(payload) < 126
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionError("the websocket has ended")
        self._transport.write(bytes((0x82, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._open:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if b" 101 " not in head.splitlines()[0]:
                self._ready.set_exception(RuntimeError(head.decode("latin-1")))
                return
            self._open = True
            self._ready.set_result(None)
        self._buffer = self._frames(buffer)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ready.done():
            self._ready.set_exception(ConnectionError("the websocket was refused"))
        self._on_lost()

    def _frames(self, buffer: bytes) -> bytes:
        """Hand over the whole frames of a buffer and return what is left."""
        start = 0
        while len(buffer) - start >= 2:
            length, offset = buffer[start + 1] & 0x7F, start + 2
            if length == 126:
                length, offset = int.from_bytes(buffer[offset : offset + 2], "big"), offset + 2
            if len(buffer) < offset + length:
                break
            opcode = buffer[start] & 0x0F
            if opcode == 8:
                raise ConnectionError(f"the server closed the websocket: {buffer[offset + 2 :]!r}")
            if opcode in {1, 2}:
                self._on_frame(buffer[offset : offset + length])
            start = offset + length
        return buffer[start:]


class LiveSocket:
    """One live connection to an actor; any number of calls at once. A failed call raises."""

    def __init__(self) -> None:
        self._socket: FrameSocket | None = None
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._next_id = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_event: Callable[[Event], None] = lambda _: None
        self.last = b""
        self.calls = 0

    @classmethod
    async def open(cls, port: int, actor: str, key: str) -> Self:
        live = cls()
        path = f"/gateway/{actor}/connect?{target(key)}"
        protocols = "rivet, rivet_encoding.bare"
        live._socket = await FrameSocket.open(port, path, protocols, live._received, live._lost)
        await live._ready
        return live

    async def call(self, action: str, args: bytes) -> None:
        assert self._socket is not None
        number, self._next_id = self._next_id, self._next_id + 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        self._socket.send(CODEC.encode_to_server(ActionRequest(number, action, args)))
        self.last = await answer
        self.calls += 1

    def subscribe(self, event: str) -> None:
        assert self._socket is not None
        self._socket.send(CODEC.encode_to_server(SubscriptionRequest(event, subscribe=True)))

    def result(self) -> object:
        """The last answer as plain data."""
        return cbor.decode(self.last)

    def close(self) -> None:
        assert self._socket is not None
        self._socket.close()

    def _received(self, frame: bytes) -> None:
        match CODEC.decode_to_client(frame):
            case ActionResponse(number, output):
                self._pending.pop(number).set_result(output)
            case Event() as event:
                self.on_event(event)
            case Init():
                self._ready.set_result(None)
            case ErrorMessage(action_id=int(number)) as failure:
                self._pending.pop(number).set_exception(RuntimeError(str(failure)))
            case failure:
                raise RuntimeError(f"unexpected message: {failure}")

    def _lost(self) -> None:
        for answer in (self._ready, *self._pending.values()):
            if not answer.done():
                answer.set_exception(ConnectionError("the live connection ended"))


class EchoSocket:
    """One websocket to an echo server; answers come in the order of the calls."""

    FRAME = CODEC.encode_to_server(ActionRequest(1000, "increment", cbor.encode([1])))

    def __init__(self) -> None:
        self._socket: FrameSocket | None = None
        self._pending: deque[asyncio.Future[bytes]] = deque()

    @classmethod
    async def open(cls, port: int) -> Self:
        echo = cls()
        echo._socket = await FrameSocket.open(port, "/", "", echo._received, echo._lost)
        return echo

    async def __call__(self) -> None:
        assert self._socket is not None
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending.append(answer)
        self._socket.send(self.FRAME)
        if await answer != self.FRAME:
            raise RuntimeError("the echo differs from what was sent")

    def close(self) -> None:
        assert self._socket is not None
        self._socket.close()

    def _received(self, frame: bytes) -> None:
        self._pending.popleft().set_result(frame)

    def _lost(self) -> None:
        for answer in self._pending:
            answer.set_exception(ConnectionError("the echo server closed the connection"))
