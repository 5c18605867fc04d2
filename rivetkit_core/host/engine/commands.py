"""Which commands of the engine were handled already (envoy-protocol 5.6).

The engine keeps every command until it is acknowledged and repeats the others on each connection, those of
finished generations too. Nothing confirms an acknowledgement, so a finished generation is forgotten only
when the connection that carried its acknowledgement has lived on for a while.
"""

from __future__ import annotations

from rivetkit_core.wire.envoy.messages import AckCommands, Checkpoint

_PINGS_UNTIL_CERTAIN = 2


class CommandLog:
    """Remembers the newest command index of each generation and owes the engine acknowledgements."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], int] = {}
        self._owed: set[tuple[str, int]] = set()
        self._finished: dict[tuple[str, int], int] = {}

    def accept(self, checkpoint: Checkpoint) -> bool:
        """Take note of a command; False if it was handled before. Either way it will be acknowledged."""
        generation = (checkpoint.actor_id, checkpoint.generation)
        self._owed.add(generation)
        if generation in self._finished:
            self._finished[generation] = 0
        newest = self._newest.get(generation)
        if newest is not None and checkpoint.index <= newest:
            return False
        self._newest[generation] = checkpoint.index
        return True

    def finish(self, actor_id: str, generation: int) -> None:
        """No further command of this generation can matter."""
        if (actor_id, generation) in self._newest:
            self._finished[actor_id, generation] = 0

    def acknowledgement(self) -> AckCommands | None:
        """What is owed, to be sent now; None for nothing."""
        if not self._owed:
            return None
        owed, self._owed = sorted(self._owed), set[tuple[str, int]]()
        return AckCommands(tuple(Checkpoint(*pair, self._newest[pair]) for pair in owed))

    def on_ping(self) -> None:
        """The connection is alive: what was sent on it a while ago has arrived."""
        for generation, pings in tuple(self._finished.items()):
            if generation in self._owed:
                continue
            if pings + 1 < _PINGS_UNTIL_CERTAIN:
                self._finished[generation] = pings + 1
            else:
                del self._finished[generation], self._newest[generation]

    def on_link_lost(self) -> None:
        """What was sent lately may not have arrived."""
        for generation in self._finished:
            self._finished[generation] = 0

    def __len__(self) -> int:
        return len(self._newest)
