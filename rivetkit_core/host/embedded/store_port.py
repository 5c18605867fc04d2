"""What the embedded host asks of its store: placement rows and the records of every actor.

``SqliteStore`` keeps them in a file, ``rivetkit_core.testing.MemoryStore`` in memory; one contract suite
runs over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorKey, ActorStorage


@dataclass(frozen=True, slots=True)
class ActorRow:
    """Where an actor stands. Times are Unix milliseconds; ``key`` None means it was created without one."""

    actor_id: str
    name: str
    key: ActorKey | None
    namespace: str
    create_ts: int
    start_ts: int | None = None
    connectable_ts: int | None = None
    sleep_ts: int | None = None
    destroy_ts: int | None = None
    generation: int = 0


class HostStore(Protocol):
    """Port: durable placement and records. Every write that returned survives a crash of the process.

    Every method may raise StorageError (``storage.unavailable``); then nothing was changed.
    """

    async def open(self) -> None:
        """Take the store into use.

        Raises:
            StorageError: ``storage.locked``, ``storage.corrupt``, ``storage.newer_schema`` or
                ``storage.unavailable``; the stored bytes are untouched.
        """
        ...

    async def close(self) -> None:
        """Finish everything that was begun and give the store back. Idempotent."""
        ...

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        """Add an actor together with its first records.

        Raises:
            RivetError: ``actor.duplicate_key``, with ``existing_actor_id``, while the key is taken.
        """
        ...

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        """The live actor with this key."""
        ...

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        """The actor with this id, destroyed ones included."""
        ...

    async def list_actors(
        self,
        namespace: str,
        name: str,
        *,
        key: ActorKey | None = None,
        limit: int,
        cursor: str | None = None,
        include_destroyed: bool = False,
    ) -> tuple[list[ActorRow], str | None]:
        """A page of actors, newest first, and the cursor of the next page (None: there is none)."""
        ...

    async def list_names(
        self, namespace: str, *, limit: int, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        """A page of the names that have live actors, in order, and the cursor of the next page."""
        ...

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        """Count one more start and return its generation; the first is 1."""
        ...

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        """Delete every record, note the destruction and free the key, all at once. Idempotent."""
        ...

    def storage(self, actor_id: str) -> ActorStorage:
        """The records of one actor."""
        ...


def read_cursor(cursor: str) -> tuple[int, str]:
    """Creation time and id of the last actor of the page before.

    Raises:
        RivetError: ``api.bad_request``.
    """
    created, _, actor_id = cursor.partition(".")
    if not (created.isascii() and created.isdigit() and len(created) < 19 and actor_id):
        raise error("api.bad_request", reason="the cursor is not one of ours")
    return int(created), actor_id
