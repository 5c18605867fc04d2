"""Which actors are here, and which were until a moment ago."""

from __future__ import annotations

from collections.abc import Callable

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.tunnel.memory import Recent

Find = Callable[[str, int | None], ActorTask | None]
"""The running actor of an id, and of exactly that generation if one is given.

It raises RivetError, as clients may see it, if the actor could not start."""

_MOVED_SECONDS = 30.0


class Placement:
    """Finds the actor a message is for."""

    def __init__(self, find: Find, clock: Clock) -> None:
        self._find = find
        self._ended: Recent[str] = Recent(clock, seconds=_MOVED_SECONDS)

    def find(self, actor_id: str, generation: int | None) -> ActorTask | RivetError | None:
        """The actor; or why it could not start, which is the answer to what was sent."""
        try:
            return self._find(actor_id, generation)
        except RivetError as failure:
            return failure

    def ended(self, actor_id: str) -> None:
        """A generation ended here."""
        self._ended.add(actor_id)

    def moved(self, actor_id: str) -> bool:
        """Whether what is sent to an absent actor probably crossed its end: worth another delivery."""
        return actor_id in self._ended


def generation_of(found: ActorTask | RivetError) -> int:
    """Which generation was found."""
    specifier = found.actor if isinstance(found, RivetError) else found.identity.specifier
    return 0 if specifier is None else specifier.generation
