"""Raw requests and websockets inside this process, with no socket between.

LocalExchange   a request and its answer, as the edge and as the caller see them
LocalSocket     the actor's end of a websocket; ``LocalRawSocket`` is the client's
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.edge.raw import HTTP_PREFIX, RawHead
from rivetkit_core.edge.raw_http import serve_raw_http
from rivetkit_core.edge.websocket import Frame, SocketClosed
from rivetkit_core.errors import ConnectionLost, RivetError, error
from rivetkit_core.host.port import LinkClosed, RawRequest
from rivetkit_core.wire.subprotocols import fitting

_BUFFERED = 64 * 1024
_BUFFERED_FRAMES = 64


class LocalExchange:
    """One request, as the edge's ``RawExchange`` and as the caller's ``RawAnswer``."""

    def __init__(self, request: RawRequest, headers: RawHeaders) -> None:
        path, _, query = request.target.partition("?")
        self.head = RawHead(request.method, HTTP_PREFIX + path, query, [*request.headers, *headers])
        self.status = 0
        self.headers: RawHeaders = []
        self._body = _parts(request)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        self._failure: RivetError | None = None
        self._done = False
        self._serving: asyncio.Task[None] | None = None

    # --- for the caller -------------------------------------------------------------------------

    async def answered(self, serving: asyncio.Task[None]) -> LocalExchange:
        """Wait for the head of the answer that ``serving`` gives.

        Raises:
            RivetError: There will be none.
        """
        self._serving = serving
        try:
            await self._begun.wait()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if not self.status:
            raise self._failure or error("actor.dropped_reply")
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._changed.set()
                yield chunk
            if self._done:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            lost = ConnectionLost("client", "connection_lost", "The answer was broken off")
            raise lost from self._failure

    async def aclose(self) -> None:
        if self._serving is not None and not self._serving.done():
            self._serving.cancel()
            await asyncio.wait([self._serving])

    # --- for the edge ---------------------------------------------------------------------------

    async def serve(self, actor: ActorTask) -> None:
        """Answer it. Cancel this when the caller is gone."""
        try:
            await serve_raw_http(actor, self)
        except RivetError as failure:
            self._failure = failure
        finally:
            if not self._done:
                self._failure = self._failure or error("actor.dropped_reply")
            await self.finish()
            self._begun.set()

    async def read(self) -> bytes:
        async for chunk in self._body:
            if chunk:
                return chunk
        return b""

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self._add(body)
        await self.start(status, headers)
        await self.finish()

    async def start(self, status: int, headers: RawHeaders) -> None:
        self.status, self.headers = status, headers
        self._begun.set()

    async def write(self, data: bytes) -> None:
        while self._size >= _BUFFERED:
            self._changed.clear()
            await self._changed.wait()
        self._add(data)

    async def finish(self) -> None:
        self._done = True
        self._changed.set()

    def _add(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        self._changed.set()


class LocalRaw:
    """What both ends of a websocket share. A side that is far ahead of the other one waits."""

    def __init__(self) -> None:
        self.to_actor: deque[Frame] = deque()
        self.to_client: deque[Frame] = deque()
        self.closed: tuple[int, str] | None = None
        self._changed = asyncio.Event()

    def close(self, code: int, reason: str) -> None:
        """The first end counts."""
        if self.closed is None:
            self.closed = code, fitting(reason)
            self._changed.set()

    async def put(self, frames: deque[Frame], frame: Frame) -> None:
        while self.closed is None and len(frames) >= _BUFFERED_FRAMES:
            await self._change()
        if self.closed is not None:
            raise SocketClosed(*self.closed)
        frames.append(frame)
        self._changed.set()

    async def take(self, frames: deque[Frame]) -> Frame:
        while not frames:
            if self.closed is not None:
                raise SocketClosed(*self.closed)
            await self._change()
        frame = frames.popleft()
        self._changed.set()
        return frame

    async def _change(self) -> None:
        changed = self._changed
        await changed.wait()
        if self._changed is changed:
            self._changed = asyncio.Event()


class LocalSocket:
    """The actor's end; implements ``Socket``."""

    def __init__(self, shared: LocalRaw) -> None:
        self._shared = shared

    async def receive(self) -> bytes:
        return (await self.receive_frame()).data

    async def receive_frame(self) -> Frame:
        return await self._shared.take(self._shared.to_actor)

    async def send(self, data: bytes, *, text: bool) -> None:
        await self._shared.put(self._shared.to_client, Frame(data, text))

    async def close(self, code: int, reason: str) -> None:
        self._shared.close(code, reason)


class LocalRawSocket:
    """The client's end; implements ``RawSocket``."""

    def __init__(self, shared: LocalRaw) -> None:
        self._shared = shared

    async def receive(self) -> str | bytes:
        try:
            frame = await self._shared.take(self._shared.to_client)
        except SocketClosed as closed:
            raise LinkClosed(closed.code, closed.reason) from None
        return frame.data.decode() if frame.text else frame.data

    async def send(self, message: str | bytes) -> None:
        text = isinstance(message, str)
        frame = Frame(message.encode() if isinstance(message, str) else message, text)
        try:
            await self._shared.put(self._shared.to_actor, frame)
        except SocketClosed as closed:
            raise LinkClosed(closed.code, closed.reason) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._shared.close(code, reason)


async def _parts(request: RawRequest) -> AsyncIterator[bytes]:
    if isinstance(request.body, bytes):
        yield request.body
        return
    async for part in request.body:
        yield part
