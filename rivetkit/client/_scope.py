"""What a client hands to its handles and connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorAccess, ById, Target


class Closes(Protocol):
    """Something a client ends with itself."""

    async def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class ClientScope:
    """The transport and the ports of one client, and the connections that end with it."""

    access: ActorAccess
    clock: Clock
    entropy: Entropy
    timeout: float
    connections: set[Closes] = field(default_factory=set[Closes])
    closed: bool = False

    def require_open(self) -> None:
        """
        Raises:
            RivetError: ``client.disposed``.
        """
        if self.closed:
            raise error("client.disposed")

    def seconds(self, timeout: float | None) -> float:
        """The timeout of one call."""
        return self.timeout if timeout is None else timeout


def describe(target: Target) -> str:
    """A target for people. Inputs stay out: they may hold secrets."""
    if isinstance(target, ById):
        return f"actor {target.actor_id}"
    return f"actor {target.name}{list(target.key)}"
