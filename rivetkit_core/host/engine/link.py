"""What the engine host asks of a connection to the engine: messages in order, and one end.

``rivetkit_core.testing.engine`` implements this in memory.
"""

from __future__ import annotations

from typing import Protocol

from rivetkit_core.wire.envoy.messages import ToEnvoy, ToRivet


class LinkLost(Exception):
    """The connection ended. ``reason`` is ``group.code``, perhaps with ``#ray``, or free text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"connection to the engine ended ({code}) {reason}")
        self.code = code
        self.reason = reason


class EnvoyLink(Protocol):
    """One connection. One task receives; sending never waits.

    Attributes:
        version: The protocol version that both sides speak on it.
    """

    version: int

    def send(self, message: ToRivet) -> None:
        """Queue a message; one sent after the connection was lost is dropped."""
        ...

    async def receive(self) -> ToEnvoy:
        """Wait for the next message. Safe to cancel: no message is lost.

        Raises:
            LinkLost: The connection has ended, and everything that arrived before was received.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """End the connection, after what was sent. Closing again does nothing."""
        ...


class Dialer(Protocol):
    """Opens connections, each to the same engine as the same envoy."""

    async def dial(self) -> EnvoyLink:
        """Open a connection. The engine's verdict arrives on it, as ``EnvoyInit`` or ``LinkLost``.

        Raises:
            LinkLost: No connection could be opened.
        """
        ...
