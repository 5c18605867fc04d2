"""Envoys as the engine knows them: by key, over any number of connections.

Commands stay until they are acknowledged and are replayed on every connection; traffic of clients
waits for the next connection while there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rivetkit_core.clock import Timer
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    CommandEntry,
    Commands,
    Metadata,
    ToEnvoy,
    ToEnvoyTunnel,
)

if TYPE_CHECKING:
    from rivetkit_core.testing.engine.actors import ScriptedActor


class Peer(Protocol):
    """The host's end of a connection."""

    def deliver(self, message: ToEnvoy) -> None:
        """Send, without waiting."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Close with that code, after what was delivered."""
        ...


@dataclass(frozen=True, slots=True)
class Hello:
    """What an envoy says of itself when it connects. ``protocol`` is the version of the messages."""

    envoy_key: str
    pool: str = "default"
    namespace: str = "default"
    version: int = 1
    protocol: int = 8


@dataclass(slots=True, eq=False)
class Connection:
    """One connection, welcomed or not. ``ready`` from the moment ``EnvoyInit`` was sent."""

    envoy: Envoy
    peer: Peer
    protocol: int
    is_open: bool = True
    ready: bool = False
    ping_timer: Timer | None = None
    last_pong: float = 0.0


@dataclass(slots=True, eq=False)
class Envoy:
    """One host process.

    Attributes:
        commands: Not acknowledged yet.
        metadata: The last it sent.
    """

    hello: Hello
    connection: Connection | None = None
    commands: list[CommandEntry] = field(default_factory=list[CommandEntry])
    actors: dict[str, ScriptedActor] = field(default_factory=dict[str, "ScriptedActor"])
    metadata: Metadata | None = None
    draining: bool = False
    lost_timer: Timer | None = None
    _held: deque[ToEnvoyTunnel] = field(default_factory=deque[ToEnvoyTunnel])

    @property
    def ready(self) -> bool:
        return self.connection is not None and self.connection.ready

    @property
    def protocol(self) -> int:
        """The version of the messages on its connection, or on its last one."""
        return self.hello.protocol

    def deliver(self, message: ToEnvoy) -> bool:
        """Send now if there is a connection; says whether there is."""
        if self.connection is None or not self.connection.ready:
            return False
        self.connection.peer.deliver(message)
        return True

    def command(self, entry: CommandEntry) -> None:
        """Send a command, now and on every new connection until it is acknowledged."""
        self.commands.append(entry)
        self.deliver(Commands((entry,)))

    def tunnel(self, message: ToEnvoyTunnel) -> None:
        """Send traffic of a client, if need be on the next connection."""
        if not self.deliver(message):
            self._held.append(message)

    def replay(self) -> None:
        """What a new connection gets after ``EnvoyInit``."""
        if self.commands:
            self.deliver(Commands(tuple(self.commands)))
        while self._held:
            self.tunnel(self._held.popleft())

    def acknowledge(self, checkpoints: Iterable[Checkpoint]) -> None:
        for done in checkpoints:
            self.commands = [entry for entry in self.commands if not _covers(done, entry.checkpoint)]

    def forget_traffic(self) -> None:
        self._held.clear()


def _covers(done: Checkpoint, other: Checkpoint) -> bool:
    same = (done.actor_id, done.generation) == (other.actor_id, other.generation)
    return same and other.index <= done.index
