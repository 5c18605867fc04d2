"""One websocket to an actor as a ``Link``: messages instead of frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rivetkit_core.errors import ProtocolError, error
from rivetkit_core.host.port import LinkClosed
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import ActionRequest, Encoding, ToClient, ToServer

_BACKLOG = 1024


class WebSocketLink:
    """Owns the socket and the task that writes to it; ``close`` ends both."""

    def __init__(self, socket: ClientConnection, codec: Codec) -> None:
        self._socket = socket
        self._codec = codec
        self._outgoing: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed: LinkClosed | None = None
        self._writer = asyncio.create_task(self._write())

    def send(self, message: ToServer) -> None:
        if self._closed is not None:
            raise self._closed
        if len(self._outgoing) >= _BACKLOG:
            operation = message.name if isinstance(message, ActionRequest) else message.event_name
            raise error("actor.overloaded", channel="connection", capacity=_BACKLOG, operation=operation)
        self._outgoing.append(self._codec.encode_to_server(message))
        self._wake.set()

    async def receive(self) -> ToClient:
        try:
            frame = await self._socket.recv()
        except ConnectionClosed as ended:
            raise self._ended(ended) from None
        try:
            return self._codec.decode_to_client(frame.encode() if isinstance(frame, str) else frame)
        except ProtocolError as broken:
            # Skipping the frame would leave a call waiting for an answer that has come.
            await self.close(1002, "protocol.malformed")
            raise LinkClosed(1002, "protocol.malformed") from broken

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            self._closed = LinkClosed(code, reason)
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
        await self._socket.close(code, reason)

    def _ended(self, ended: ConnectionClosed) -> LinkClosed:
        frame = ended.rcvd or ended.sent
        closed = LinkClosed(1006, "") if frame is None else LinkClosed(frame.code, frame.reason)
        self._closed = self._closed or closed
        return self._closed

    async def _write(self) -> None:
        text = self._codec.encoding is Encoding.JSON
        try:
            while True:
                while self._outgoing:
                    frame = self._outgoing.popleft()
                    await self._socket.send(frame.decode() if text else frame)
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed as ended:
            self._ended(ended)
