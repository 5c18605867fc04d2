"""A client's websocket, carried by the tunnel and kept by the engine (envoy-protocol 6.4, 6.5).

    OPEN --close, from either side, exactly once--> ENDED
       \\---hibernate----------------------------> ENDED, while the client stays connected

It knows nothing of envoy connections: what it sends is queued, and numbers go on after a reconnect.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from rivetkit_core.actor.hibernation import SocketOrigin
from rivetkit_core.clock import Clock, Timer
from rivetkit_core.edge.websocket import Frame, SocketClosed
from rivetkit_core.host.engine.tunnel.indices import Outgoing
from rivetkit_core.wire.envoy.messages import (
    HostWebSocketClose,
    HostWebSocketOpen,
    WebSocketMessage,
    WebSocketMessageAck,
)
from rivetkit_core.wire.message_index import following, is_later
from rivetkit_core.wire.subprotocols import fitting

_BACKLOG_FRAMES = 1024
_BACKLOG_BYTES = 16 * 1024 * 1024
_ACK_DELAY = 0.1


class TunnelSocket:
    """One websocket. ``ended`` is called once, when nothing of it is left to do.

    A client that sends 1024 frames or 16 MiB ahead of the actor is closed (1011 ``actor.overloaded``).

    Attributes:
        received_index: Number of the engine's message that ``receive`` returned last.
        origin: The request it began with.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        index: int,
        can_hibernate: bool,
        max_payload: int,
        clock: Clock,
        ended: Callable[[], None],
        origin: SocketOrigin,
    ) -> None:
        self.received_index = index
        self.origin = origin
        self._outgoing = outgoing
        self._can_hibernate = can_hibernate
        self._max_payload = max_payload
        self._clock = clock
        self._ended = ended
        self._last = index
        self._queue: deque[tuple[int, Frame]] = deque()
        self._queued_bytes = 0
        self._open = True
        self._end = SocketClosed()
        self._arrived = asyncio.Event()
        self._acked: int | None = None
        self._ack_timer: Timer | None = None

    # --- for who serves the client --------------------------------------------------------------

    @property
    def next_index(self) -> int:
        """Number of the next message to the client."""
        return self._outgoing.next_index

    async def receive(self) -> bytes:
        return (await self.receive_frame()).data

    async def receive_frame(self) -> Frame:
        while not self._queue:
            if not self._open:
                raise SocketClosed(self._end.code, self._end.reason)
            self._arrived.clear()
            await self._arrived.wait()
        self.received_index, frame = self._queue.popleft()
        self._queued_bytes -= len(frame.data)
        return frame

    async def send(self, data: bytes, *, text: bool) -> None:
        if not self._open:
            raise SocketClosed
        if len(data) > self._max_payload:
            self.end(1009, "message.outgoing_too_long")
            raise SocketClosed
        await self._outgoing.writable()
        if not self._open:
            raise SocketClosed
        self._outgoing.send(WebSocketMessage(data, binary=not text))

    async def close(self, code: int, reason: str) -> None:
        self.end(code, reason)

    def ack(self, index: int) -> None:
        """Everything up to ``index`` is durable: the engine need not send it again. Told in batches."""
        if not self._open or (self._acked is not None and not is_later(index, self._acked)):
            return
        self._acked = index
        if self._ack_timer is None:
            self._ack_timer = self._clock.call_later(_ACK_DELAY, self._send_ack)

    def hibernate(self) -> None:
        """Let go of the websocket, without a word: the engine keeps the client for a later generation.

        The protocol has a message for this, but the engine answers it by waking the actor at once.
        """
        if self._open:
            self._finish(None)

    # --- for the tunnel -------------------------------------------------------------------------

    def accept(self) -> None:
        """Tell the engine that the client's messages may come."""
        self._outgoing.send(HostWebSocketOpen(self._can_hibernate))

    def reattach(self, index: int) -> None:
        """The engine opened it once more: its numbers begin again at ``index``."""
        self._last = index
        self.accept()

    def arrive(self, index: int, message: WebSocketMessage) -> None:
        """A frame of the client. Repeated ones are dropped; a gap ends the websocket."""
        if not self._open or not is_later(index, self._last):
            return
        if index != following(self._last):
            self.end(1008, "ws.message_index_skip")
            return
        self._last = index
        full = bool(self._queue) and self._queued_bytes + len(message.data) > _BACKLOG_BYTES
        if full or len(self._queue) >= _BACKLOG_FRAMES:
            self._queue.clear()
            self.end(1011, "actor.overloaded")
            return
        self._queue.append((index, Frame(message.data, text=not message.binary)))
        self._queued_bytes += len(message.data)
        self._arrived.set()

    def gone(self, code: int | None = None, reason: str | None = None) -> None:
        """The client closed it; what it sent before can still be received."""
        if self._open:
            self._end = SocketClosed(1005 if code is None else code, reason or "")
            self._finish(None)

    def end(self, code: int, reason: str) -> None:
        """Close it from here. Harmless on a closed websocket."""
        if self._open:
            self._finish(HostWebSocketClose(code, fitting(reason)))

    def _finish(self, last: HostWebSocketClose | None) -> None:
        self._open = False
        if self._ack_timer is not None:
            self._send_ack()
        if last is not None:
            self._outgoing.send(last)
        self._outgoing.end()
        self._arrived.set()
        self._ended()

    def _send_ack(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self._acked is not None:
            self._outgoing.send(WebSocketMessageAck(self._acked))
