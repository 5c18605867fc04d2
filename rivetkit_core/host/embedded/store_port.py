"""The port between the embedded host and what keeps its actors: placement rows and records.

``SqliteStore`` and ``rivetkit_core.testing.MemoryStore`` implement it and pass one contract suite. It knows
nothing of what records mean or of running actors.

    placement   which actors exist, under which name and key, which generation runs, when to wake them
    records     opaque bytes of each actor, reached through ``storage(actor_id)``
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorDatabase, ActorKey, ActorStorage, WriteLimit

WRITE_LIMIT = WriteLimit(keys=10_000, size=64 * 1024 * 1024)
"""What strict code may have waiting; a store could take more, but memory should not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRow:
    """Where an actor stands. Times are milliseconds since the Unix epoch, None for "not so far".

    ``key`` is None for an actor without a key, which differs from the empty key. ``generation`` counts the
    actor's lives: 0 until the first start.
    """

    actor_id: str
    name: str
    key: ActorKey | None
    namespace: str
    create_ts: int
    start_ts: int | None = None
    connectable_ts: int | None = None
    sleep_ts: int | None = None
    destroy_ts: int | None = None
    alarm_ts: int | None = None
    generation: int = 0
    region: str = ""
    crash_policy: str = "sleep"
    runner_name: str = "default"


class HostStore(Protocol):
    """Port: everything the embedded host must not lose.

    A method that returns has made its change durable; one that is cancelled may or may not have. All
    methods but ``close`` raise StorageError (``storage.unavailable``) when nothing could be read or written,
    and after ``close``.
    """

    async def open(self) -> None:
        """Take the store over.

        Raises:
            StorageError: ``storage.locked``, ``corrupt``, ``newer_schema`` or ``unavailable``; nothing was
                changed.
        """
        ...

    async def close(self) -> None:
        """Finish everything accepted so far and let go of the store. Idempotent; safe before ``open``."""
        ...

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        """Add an actor and its first records, both or neither.

        Raises:
            RivetError: ``actor.duplicate_key`` if a living actor of that namespace and name has the key.
            ValueError: The id was used before.
        """
        ...

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        """The living actor with that key."""
        ...

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        """The actor, destroyed ones included."""
        ...

    async def list_actors(
        self,
        namespace: str,
        name: str,
        *,
        key: ActorKey | None = None,
        limit: int = 100,
        cursor: str | None = None,
        include_destroyed: bool = False,
    ) -> tuple[list[ActorRow], str | None]:
        """A page of actors, newest first, and the cursor of the next page or None at the end.

        A cursor marks a position between actors: actors created or destroyed meanwhile shift nothing.

        Raises:
            RivetError: ``validation.invalid_input`` if the cursor is not one of ours.
        """
        ...

    async def list_names(
        self, namespace: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        """A page of the names that actors were ever created under, in code point order, and the next cursor.

        Raises:
            RivetError: ``validation.invalid_input`` if the cursor is not one of ours.
        """
        ...

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        """Begin the actor's next life and return its number, 1 for the first.

        What its last end left between the two steps of a joint commit is finished before.

        Raises:
            ActorNotFound: Never created, or destroyed.
        """
        ...

    async def end_generation(self, actor_id: str, now_ms: int) -> None:
        """Note since when the actor sleeps. Does nothing for one that is gone."""
        ...

    async def set_alarm(self, actor_id: str, at_ms: int | None) -> None:
        """Choose when to wake the actor, None for never. Does nothing for one that is gone."""
        ...

    async def due_alarms(
        self, namespace: str, until_ms: int, *, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[tuple[int, str]]:
        """Alarms up to and including a time, earliest first, as time and actor id; those after ``after``."""
        ...

    async def next_alarm(self, namespace: str, after_ms: int) -> int | None:
        """The time of the earliest alarm later than ``after_ms``."""
        ...

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        """Free the actor's key and delete its records, all or nothing, then delete its database.

        Does nothing the second time.

        Records written later would stay for good, so end the actor first.
        """
        ...

    def storage(self, actor_id: str) -> ActorStorage:
        """The actor's records. Cheap; any number may be made for one actor."""
        ...

    def database(self, actor_id: str) -> ActorDatabase:
        """The actor's SQLite database, which ``mark_destroyed`` deletes. Cheap; one at a time is in use."""
        ...


def key_text(key: ActorKey) -> str:
    """The canonical spelling of a key (client-protocol 1.2)."""
    if not key:
        return "/"
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") if part else "\\0" for part in key)


def duplicate_key(existing_actor_id: str, key: ActorKey) -> RivetError:
    """The refusal that ``create_actor`` raises."""
    return error("actor.duplicate_key", existing_actor_id=existing_actor_id, key=key_text(key))


def encode_cursor(*position: str | int) -> str:
    """An opaque cursor for a position in a listing."""
    return base64.urlsafe_b64encode("\n".join(map(str, position)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, parts: int) -> list[str]:
    """The position that ``encode_cursor`` was given.

    Raises:
        RivetError: ``validation.invalid_input``.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("\n", parts - 1)
    except (UnicodeError, binascii.Error) as failure:
        raise _bad_cursor() from failure
    if len(position) != parts:
        raise _bad_cursor()
    return position


def decode_actor_cursor(cursor: str | None) -> tuple[int, str] | None:
    """Creation time and id of the last actor of the page before, or None for the first page.

    Raises:
        RivetError: ``validation.invalid_input``.
    """
    if cursor is None:
        return None
    create_ts, actor_id = decode_cursor(cursor, 2)
    try:
        return int(create_ts), actor_id
    except ValueError as failure:
        raise _bad_cursor() from failure


def decode_name_cursor(cursor: str | None) -> str | None:
    """The last name of the page before, or None for the first page.

    Raises:
        RivetError: ``validation.invalid_input``.
    """
    return None if cursor is None else decode_cursor(cursor, 1)[0]


def _bad_cursor() -> RivetError:
    return error("validation.invalid_input", reason="the cursor does not come from an earlier page")
