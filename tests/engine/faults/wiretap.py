"""A TCP proxy between a worker and the engine that reads along, holds traffic back, and cuts.

Everything but envoy connections passes as it is. Of these, each message to the engine is recorded when it
has arrived whole, and passed on whole: what was not recorded, the engine did not get.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from websockets.frames import Opcode
from websockets.utils import apply_mask

from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import KvPut, KvRequest, KvResponse, ToEnvoy, ToRivet

Cut = Literal["before", "inside", "after"]

_PIECE = 65_536
_NARROW = 4096
_PROTOCOL = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """A message of the worker, and the monotonic time at which it had arrived here whole."""

    at: float
    message: ToRivet


@dataclass
class Wiretap:
    """What passed, and what is to be done to it.

    Attributes:
        judge: Asked about each message; says where to cut the connection, if at all.
        on_cut: Called at the moment of a cut.
        flowing: Cleared, nothing more is read of a message once it has begun.
        held: Set when a message is held back for that.
    """

    endpoint: str
    seen: list[Seen] = field(default_factory=list[Seen])
    judge: Callable[[ToRivet], Cut | None] | None = None
    on_cut: Callable[[], object] | None = None
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    cuts: int = 0
    connections: int = 0

    def puts(self, since: float = 0.0) -> list[KvPut]:
        """The writes that came since a moment."""
        return [
            seen.message.data
            for seen in self.seen
            if seen.at >= since
            and isinstance(seen.message, KvRequest)
            and isinstance(seen.message.data, KvPut)
        ]


@contextlib.asynccontextmanager
async def wiretap(engine: str, *, narrow: bool = False) -> AsyncGenerator[Wiretap]:
    """A proxy to the engine at a URL, for the duration of a block.

    A ``narrow`` one takes so little at once that workers keep the rest of a large message to themselves.
    """
    tasks: set[asyncio.Task[None]] = set()
    ending = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await _serve(tap, engine, reader, writer, ending)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if narrow:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW)
    server = await asyncio.start_server(serve, sock=listener, limit=_NARROW if narrow else _PIECE)
    tap = Wiretap(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    tap.flowing.set()
    try:
        yield tap
    finally:
        server.close()
        ending.set()
        if tasks:
            await asyncio.wait(tasks)


async def _serve(
    tap: Wiretap,
    engine: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ending: asyncio.Event,
) -> None:
    parts = urlsplit(engine)
    try:
        from_engine, to_engine = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        writer.transport.abort()
        return
    passing = asyncio.create_task(_pass_on(tap, reader, writer, from_engine, to_engine))
    over = asyncio.create_task(_true(ending))
    try:
        await asyncio.wait([passing, over], return_when=asyncio.FIRST_COMPLETED)
    finally:
        passing.cancel()
        over.cancel()
        for end in (writer, to_engine):
            end.transport.abort()
        await asyncio.wait([passing, over])


async def _true(event: asyncio.Event) -> None:
    await event.wait()


async def _pass_on(
    tap: Wiretap,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_engine: asyncio.StreamReader,
    to_engine: asyncio.StreamWriter,
) -> None:
    """Until either side hangs up, or the connection is to be cut."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        to_engine.write(head)
        if head.startswith(b"GET /envoys/connect"):
            tap.connections += 1
            answer = _Answer()
            ways = [_from_worker(tap, reader, to_engine, answer), _from_engine(from_engine, writer, answer)]
        else:
            ways = [_copy(reader, to_engine), _copy(from_engine, writer)]
        pumps = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)


class _Answer:
    """What the engine says to the last request before a cut. The worker must not learn of it."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.came.set()
        self._request_id: int | None = None

    def expect(self, request_id: int) -> None:
        self.came.clear()
        self._request_id = request_id

    def is_in(self, message: ToEnvoy) -> bool:
        if not isinstance(message, KvResponse) or message.request_id != self._request_id:
            return False
        self.came.set()
        return True


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()


async def _from_worker(
    tap: Wiretap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Answer
) -> None:
    codec = EnvoyCodec(_PROTOCOL)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            raw, payload = await _frame(reader, tap)
            message = None if payload is None else codec.decode_to_rivet(payload)
            cut = None if message is None or tap.judge is None else tap.judge(message)
            if cut is not None:
                tap.cuts += 1
                if cut == "after" and isinstance(message, KvRequest):
                    answer.expect(message.request_id)
                writer.write({"before": b"", "inside": raw[: len(raw) // 2], "after": raw}[cut])
                await writer.drain()
                await answer.came.wait()
                if tap.on_cut is not None:
                    tap.on_cut()
                return
            if message is not None:
                tap.seen.append(Seen(time.monotonic(), message))
            writer.write(raw)
            await writer.drain()


async def _from_engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Answer) -> None:
    codec = EnvoyCodec(_PROTOCOL)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while True:
            raw, payload = await _frame(reader)
            if payload is not None and answer.is_in(codec.decode_to_envoy(payload)):
                continue
            writer.write(raw)
            await writer.drain()


async def _frame(reader: asyncio.StreamReader, tap: Wiretap | None = None) -> tuple[bytes, bytes | None]:
    """One unfragmented websocket frame as it came, and its payload if it is binary."""
    head = await reader.readexactly(2)
    masked, size = head[1] & 0x80, head[1] & 0x7F
    if size >= 126:
        extended = await reader.readexactly(2 if size == 126 else 8)
        head, size = head + extended, int.from_bytes(extended, "big")
    mask = await reader.readexactly(4) if masked else b""
    payload = bytearray()
    while len(payload) < size:
        if tap is not None and not tap.flowing.is_set():
            tap.held.set()
            await tap.flowing.wait()
        payload += await reader.readexactly(min(_PIECE, size - len(payload)))
    raw = head + mask + bytes(payload)
    if head[0] & 0x0F != Opcode.BINARY:
        return raw, None
    return raw, apply_mask(bytes(payload), mask) if masked else bytes(payload)
