"""Messages for hibernating websockets whose actor is still starting (envoy-protocol 6.5).

A client's message is what wakes an actor, and it can arrive before the actor knows its websockets.
"""

from __future__ import annotations

from collections.abc import Iterable

from rivetkit_core.wire.envoy.messages import EngineWebSocketClose, RequestId, WebSocketMessage

_FRAMES = 1024
_BYTES = 16 * 1024 * 1024

Early = tuple[int, WebSocketMessage | EngineWebSocketClose]
"""Number and content of a message."""


class Waiting:
    """What came too early, by websocket.

    Beyond 1024 messages or 16 MiB nothing is kept: the gap closes the websocket later.
    """

    def __init__(self) -> None:
        self._early: dict[RequestId, list[Early]] = {}

    def expect(self, ids: Iterable[RequestId]) -> None:
        """Keep what comes for these until ``release``."""
        for id in ids:
            self._early.setdefault(id, [])

    def take(self, id: RequestId, index: int, message: WebSocketMessage | EngineWebSocketClose) -> None:
        """Keep a message, if its websocket is expected."""
        early = self._early.get(id)
        if early is not None and len(early) < _FRAMES and _size(early) + _length(message) <= _BYTES:
            early.append((index, message))

    def release(self, id: RequestId) -> list[Early]:
        """What came, oldest first; the websocket is not expected any more."""
        return self._early.pop(id, [])


def _size(early: list[Early]) -> int:
    return sum(_length(message) for _, message in early)


def _length(message: WebSocketMessage | EngineWebSocketClose) -> int:
    return len(message.data) if isinstance(message, WebSocketMessage) else 0
