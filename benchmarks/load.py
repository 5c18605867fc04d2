"""Load: callers that each wait for their answer before the next call, and what they saw.

The HTTP caller is written to the bone, so that the client's cost does not hide the server's.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Encoding

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: calls per second, and how long single calls took, in seconds."""

    rate: float
    p50: float
    p99: float
    calls: int


async def measure(callers: Sequence[Call], seconds: float) -> Measured:
    """Let every caller call for ``seconds``; a tenth of that before it warms up and is not counted."""
    await _drive(callers, seconds / 10)
    started = time.perf_counter()
    times = await _drive(callers, seconds)
    elapsed = time.perf_counter() - started
    times.sort()
    return Measured(
        rate=len(times) / elapsed,
        p50=statistics.median(times),
        p99=times[min(len(times) - 1, int(len(times) * 0.99))],
        calls=len(times),
    )


async def _drive(callers: Sequence[Call], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(call: Call) -> None:
        while (before := time.perf_counter()) < end:
            await call()
            times.append(time.perf_counter() - before)

    await asyncio.gather(*(one(call) for call in callers))
    return times


class HttpCaller:
    """One keep-alive connection that repeats one POST."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self.request = request

    @classmethod
    async def open(cls, port: int, path: str, body: bytes) -> HttpCaller:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, post(path, body))

    async def __call__(self) -> None:
        self._writer.write(self.request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise RuntimeError(head.decode("latin-1"))
        lowered = head.lower()
        start = lowered.index(b"content-length:") + 15
        length = int(lowered[start : lowered.index(b"\r\n", start)])
        await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-rivet-encoding: bare\r\n"
        f"content-type: application/octet-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def action_path(actor: str, key: str, action: str) -> str:
    return f"/gateway/{actor}/action/{action}?{target(key)}"


def target(key: str) -> str:
    return f"rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key={key}"


def action_body(*args: object) -> bytes:
    return Codec(Encoding.BARE).encode_action_request(cbor.encode(list(args)))


class LiveCaller:
    """One websocket; each call sends an action request and waits for its answer."""

    def __init__(self, socket: ClientConnection, action: str, args: bytes) -> None:
        self.socket = socket
        self.codec = Codec(Encoding.BARE)
        self._action = action
        self._args = args
        self._next_id = 0

    @classmethod
    async def open(cls, port: int, actor: str, key: str, action: str, *args: object) -> LiveCaller:
        url = f"ws://127.0.0.1:{port}/gateway/{actor}/connect?{target(key)}"
        protocols = [Subprotocol("rivet"), Subprotocol("rivet_encoding.bare")]
        socket = await connect(url, subprotocols=protocols, compression=None, max_size=None)
        await socket.recv()
        return cls(socket, action, cbor.encode(list(args)))

    async def __call__(self) -> None:
        request = ActionRequest(self._next_id, self._action, self._args)
        self._next_id += 1
        await self.socket.send(self.codec.encode_to_server(request))
        while True:
            frame = await self.socket.recv()
            assert isinstance(frame, bytes)
            if isinstance(self.codec.decode_to_client(frame), ActionResponse):
                return


class EchoCaller:
    """One websocket to an echo server, with a frame as long as an action request."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, port: int) -> EchoCaller:
        return cls(await connect(f"ws://127.0.0.1:{port}", compression=None))

    async def __call__(self) -> None:
        await self._socket.send(b"\x04\x00\x00\x01\x09increment\x02\x81\x01")
        await self._socket.recv()
