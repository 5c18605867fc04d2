"""One connection to the engine, as messages. A port: tests put a scripted engine behind it."""

from __future__ import annotations

from typing import Protocol

from rivetkit_core.wire.envoy.messages import ToEnvoy, ToRivet


class LinkLost(Exception):
    """The connection ended. ``reason`` is ``group.code``, perhaps with ``#ray``, or free text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"({code}) {reason}")
        self.code = code
        self.reason = reason


class EnvoyLink(Protocol):
    """One connection. One task receives; sending never waits."""

    @property
    def version(self) -> int:
        """The version of the protocol that is spoken."""
        ...

    def send(self, message: ToRivet) -> None:
        """Queue a message; dropped in silence once the link is lost, as on a dead wire.

        Raises:
            ProtocolError: The message cannot be written in this version.
        """
        ...

    async def writable(self) -> None:
        """Wait while the engine reads slower than we send. A lost link keeps nobody waiting."""
        ...

    async def receive(self) -> ToEnvoy:
        """The next message. Safe to cancel: no message is lost.

        Raises:
            LinkLost: The connection has ended, and every earlier message was received.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """End the connection and wait, within a bound, until the engine noticed. Idempotent."""
        ...

    def abort(self) -> None:
        """Drop the connection at once, and everything that has not left this process. Idempotent."""
        ...


class Dialer(Protocol):
    """Opens connections that belong to one envoy."""

    async def dial(self) -> EnvoyLink:
        """Open the socket. The engine's verdict on it comes later: as Init, or as LinkLost.

        Raises:
            LinkLost: The engine cannot be reached.
        """
        ...
