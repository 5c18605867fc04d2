"""One atomic write of an actor's records while it is being put together.

Whoever prepares a batch sees what storage holds, and nobody else changes it until the batch is stored. What
has to follow a successful write, such as keeping the new value in memory, is given to ``then``.
"""

from __future__ import annotations

from collections.abc import Callable

from rivetkit_core.wire.persisted import ScheduleEvent


class Batch:
    """Records to write and to delete, and the one-shots of the snapshot.

    Attributes:
        events: The snapshot's one-shots; assign to change them.
    """

    def __init__(self, events: tuple[ScheduleEvent, ...]) -> None:
        self.before = events
        self.events = events
        self.puts: dict[bytes, bytes] = {}
        self.deletes: dict[bytes, None] = {}
        self._followers: list[Callable[[], object]] = []

    @property
    def changes_events(self) -> bool:
        return self.events is not self.before

    @property
    def is_empty(self) -> bool:
        return not (self.changes_events or self.puts or self.deletes)

    def put(self, key: bytes, value: bytes) -> None:
        self.deletes.pop(key, None)
        self.puts[key] = value

    def delete(self, key: bytes) -> None:
        self.puts.pop(key, None)
        self.deletes[key] = None

    def then(self, follow: Callable[[], object]) -> None:
        """Call it right after the batch was stored, before anybody prepares the next one."""
        self._followers.append(follow)

    def stored(self) -> None:
        """Tell those who asked with ``then``."""
        for follow in self._followers:
            follow()
