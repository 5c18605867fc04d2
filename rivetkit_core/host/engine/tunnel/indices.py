"""What the host says about one request or websocket (envoy-protocol 6.1).

Outgoing   what the host says about one request or websocket, numbered without a gap
Writable   when it is worth saying more
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rivetkit_core.wire.envoy.messages import MessageId, RequestId, ToRivetTunnel, ToRivetTunnelKind
from rivetkit_core.wire.message_index import following

Send = Callable[[ToRivetTunnel], None]
"""Queues a message for the engine. Never waits, never raises."""

Writable = Callable[[], Awaitable[None]]
"""Waits while the engine does not take what it was sent."""


async def always_writable() -> None:
    """For an engine that takes everything at once."""


class Outgoing:
    """Numbers what goes out for one request. Every message takes a number; after ``end`` none is sent.

    Who sends without a bound of its own awaits ``writable`` before each ``send``; the others need not.
    """

    def __init__(
        self, request: RequestId, send: Send, *, index: int = 0, writable: Writable = always_writable
    ) -> None:
        self._request = request
        self._send = send
        self.writable = writable
        self.next_index = index
        self.ended = False

    def send(self, kind: ToRivetTunnelKind) -> None:
        """Queue a message; dropped after ``end``."""
        if self.ended:
            return
        index, self.next_index = self.next_index, following(self.next_index)
        self._send(ToRivetTunnel(MessageId(self._request.gateway_id, self._request.request_id, index), kind))

    def end(self) -> None:
        """Say nothing more: the other side does not listen, or has heard everything. Idempotent."""
        self.ended = True
