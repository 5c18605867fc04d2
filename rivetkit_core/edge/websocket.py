"""A ``Channel`` over a websocket: encoding, size limits and the bounded outgoing queue.

Socket             port: one accepted websocket
Frame              what a client sent, for whom text and bytes are not the same
WebSocketChannel   messages over it
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Protocol

from rivetkit_core.actor.connections import OutgoingEvent
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.connect import ChannelClosed
from rivetkit_core.errors import error
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding, ToClient, ToServer

_BACKLOG_BYTES = 16 * 1024 * 1024


class SocketClosed(Exception):
    """The peer is gone. 1005 stands for a close frame without a code, 1006 for none at all."""

    def __init__(self, code: int = 1005, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Frame(NamedTuple):
    """One frame; text is UTF-8 that nobody has checked."""

    data: bytes
    text: bool


class Socket(Protocol):
    """Port: one websocket after its handshake."""

    async def receive(self) -> bytes:
        """The payload of the next frame, text as UTF-8.

        Raises:
            SocketClosed: The websocket has ended.
        """
        ...

    async def receive_frame(self) -> Frame:
        """Like ``receive``, for those to whom it matters whether it was text."""
        ...

    async def send(self, data: bytes, *, text: bool) -> None:
        """Send one frame; waits while the peer does not read.

        Raises:
            SocketClosed: The websocket has ended.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. Harmless on a closed websocket."""
        ...


class WebSocketChannel:
    """Queues what goes out; ``write`` must run beside the session for as long as it lasts."""

    def __init__(self, socket: Socket, codec: Codec, config: ActorConfig) -> None:
        self._socket = socket
        self._codec = codec
        self._text = codec.encoding is Encoding.JSON
        self._max_incoming = config.max_incoming_message_size
        self._max_outgoing = config.max_outgoing_message_size
        self._max_backlog = config.connection_backlog
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._closing: tuple[int, str] | None = None
        self._released = False
        self._wake = asyncio.Event()
        self._receiving: asyncio.Timeout | None = None

    async def receive(self) -> ToServer:
        if self._closing is not None:
            raise ChannelClosed
        try:
            # A timeout without a time: ``close`` expires it to end this wait from outside.
            async with asyncio.timeout(None) as self._receiving:
                frame = await self._socket.receive()
        except (SocketClosed, TimeoutError):
            raise ChannelClosed from None
        finally:
            self._receiving = None
        if self._closing is not None:
            raise ChannelClosed
        if len(frame) > self._max_incoming:
            raise error("message.incoming_too_long")
        return self._codec.decode_to_server(frame)

    def send(self, message: ToClient) -> None:
        if self._closing is None:
            self._enqueue(self._codec.encode_to_client(message))

    def send_event(self, event: OutgoingEvent) -> None:
        if self._closing is not None:
            return
        form = (self._codec.encoding, self._codec.version)
        frame = event.encoded.get(form)
        if frame is None:
            frame = event.encoded[form] = self._codec.encode_to_client(event.message)
        self._enqueue(frame)

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()
            if self._receiving is not None:
                self._receiving.reschedule(0)

    def release(self) -> None:
        self._released = self._closing is None
        self.close(1000, "")

    async def write(self) -> None:
        """Send what is queued until the channel is closed, then close the websocket unless it is released."""
        try:
            while True:
                while self._queue:
                    frame = self._queue.popleft()
                    self._queued_bytes -= len(frame)
                    await self._socket.send(frame, text=self._text)
                if self._closing is not None:
                    break
                self._wake.clear()
                await self._wake.wait()
            if not self._released:
                await self._socket.close(*self._closing)
        except SocketClosed:
            self.close(1006, "")

    def _enqueue(self, frame: bytes) -> None:
        if len(frame) > self._max_outgoing:
            raise error("message.outgoing_too_long")
        full = bool(self._queue) and self._queued_bytes + len(frame) > _BACKLOG_BYTES
        if full or len(self._queue) >= self._max_backlog:
            # The client does not read. Memory is the actor's; the client can come back and catch up.
            self._queue.clear()
            self.close(1011, "actor.overloaded")
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()
