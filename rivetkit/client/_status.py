"""The status of a live connection, and callbacks that watch it."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("rivetkit.client")


class ConnectionStatus(enum.StrEnum):
    """Where a live connection stands.

        idle -> connecting -> connected -> disconnected -> connecting ... -> closed

    ``disconnected`` is the time between two attempts; ``closed`` is final.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class Watchers(Generic[T]):
    """Callbacks for one kind of news. One that raises is logged and does not disturb the others."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[T], object]] = []

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Register a callback; returns the function that removes it."""
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def tell(self, news: T) -> None:
        for callback in list(self._callbacks):
            try:
                callback(news)
            except Exception:
                log.exception("a callback of a connection failed")
