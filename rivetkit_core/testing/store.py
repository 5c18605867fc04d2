"""A ``HostStore`` in plain dictionaries: atomic like the real one, gone with the process.

Every operation yields to the event loop once before it takes effect, so that tests meet the
interleavings that a real store allows.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence

from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.embedded.databases import Databases, MemoryMedium
from rivetkit_core.host.embedded.store_port import (
    ActorRow,
    decode_actor_cursor,
    decode_name_cursor,
    duplicate_key,
    encode_cursor,
)
from rivetkit_core.host.port import ActorDatabase, ActorKey, ActorStorage, Records, prefix_end


class MemoryStorage:
    """The records of one actor, usable alone.

    Attributes:
        records: What is stored; tests may look and change.
        failure: While set, every read and write raises it and changes nothing.
    """

    def __init__(self, records: dict[bytes, bytes] | None = None) -> None:
        self.records: dict[bytes, bytes] = {} if records is None else records
        self.failure: RivetError | None = None

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        await self._turn()
        return {key: self.records[key] for key in keys if key in self.records}

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        puts, deletes = dict(puts), tuple(deletes)
        await self._turn()
        self.records.update(puts)
        for key in deletes:
            self.records.pop(key, None)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        await self._turn()
        return _between(self.records, start, end, reverse=reverse)[:limit]

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        await self._turn()
        for key, _ in _between(self.records, start, end):
            del self.records[key]

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure


class _StoreRecords:
    """One actor's door into a ``MemoryStore``."""

    def __init__(self, store: MemoryStore, actor_id: str) -> None:
        self._store = store
        self._actor_id = actor_id

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        await self._store.turn()
        records = self._store.records.get(self._actor_id, {})
        return {key: records[key] for key in keys if key in records}

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        puts, deletes = dict(puts), tuple(deletes)
        await self._store.write_turn()
        records = self._store.records.setdefault(self._actor_id, {})
        records.update(puts)
        for key in deletes:
            records.pop(key, None)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        await self._store.turn()
        return _between(self._store.records.get(self._actor_id, {}), start, end, reverse=reverse)[:limit]

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        await self._store.write_turn()
        records = self._store.records.get(self._actor_id, {})
        for key, _ in _between(records, start, end):
            del records[key]


class MemoryStore:
    """A ``HostStore`` for tests. Closing and opening it again is a restart: everything is still there.

    Attributes:
        records: The records of each actor; tests may look and change.
        failure: While set, every operation raises it and changes nothing.
        writes: How many writes succeeded.
    """

    def __init__(self) -> None:
        self.records: dict[str, dict[bytes, bytes]] = {}
        self.failure: RivetError | None = None
        self.writes = 0
        self._actors: dict[str, ActorRow] = {}
        self._databases = Databases(MemoryMedium(), threads=0)
        self._taken = False
        self._closed = False
        self._next_failures: deque[RivetError] = deque()
        self._gate: asyncio.Event | None = None

    def fail_next(self, failure: RivetError) -> None:
        """Let the next write fail; called again, the one after it."""
        self._next_failures.append(failure)

    def hold_writes(self) -> None:
        """Let writes wait until ``release_writes``."""
        if self._gate is None:
            self._gate = asyncio.Event()

    def release_writes(self) -> None:
        """Let held writes go on."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()

    async def open(self) -> None:
        if self._taken:
            raise error("storage.locked", path="(memory)")
        self._taken, self._closed = True, False

    async def close(self) -> None:
        await self._databases.close()
        self._taken, self._closed = False, True

    async def turn(self) -> None:
        """Yield to the event loop, then fail if the test or the life cycle says so."""
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if self._closed:
            raise StorageError("storage", "unavailable", "The store is not open")

    async def write_turn(self) -> None:
        """``turn`` for a write: also waits while writes are held."""
        await self.turn()
        if self._gate is not None:
            await self._gate.wait()
        if self._next_failures:
            raise self._next_failures.popleft()
        self.writes += 1

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        records = dict(records)
        await self.write_turn()
        if row.actor_id in self._actors:
            raise ValueError(f"actor id {row.actor_id!r} was used before")
        if row.key is not None:
            existing = self._living(row.namespace, row.name, row.key)
            if existing is not None:
                raise duplicate_key(existing.actor_id, row.key)
        self._actors[row.actor_id] = row
        self.records[row.actor_id] = records

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        await self.turn()
        return self._living(namespace, name, key)

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        await self.turn()
        return self._actors.get(actor_id)

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
        before = decode_actor_cursor(cursor)
        await self.turn()
        found = [
            row
            for row in self._actors.values()
            if (row.namespace, row.name) == (namespace, name)
            and (key is None or row.key == key)
            and (include_destroyed or row.destroy_ts is None)
            and (before is None or (row.create_ts, row.actor_id) < before)
        ]
        found.sort(key=lambda row: (row.create_ts, row.actor_id), reverse=True)
        page = found[:limit]
        more = page and len(found) > limit
        return page, encode_cursor(page[-1].create_ts, page[-1].actor_id) if more else None

    async def list_names(
        self, namespace: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        after = decode_name_cursor(cursor)
        await self.turn()
        names = {row.name for row in self._actors.values() if row.namespace == namespace}
        found = sorted(name for name in names if after is None or name > after)
        page = found[:limit]
        return page, encode_cursor(page[-1]) if page and len(found) > limit else None

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        await self.write_turn()
        row = self._actors.get(actor_id)
        if row is None or row.destroy_ts is not None:
            raise error("actor.not_found")
        await self._databases.finish(actor_id, self.storage(actor_id))
        generation = row.generation + 1
        self._actors[actor_id] = dataclasses.replace(
            row, generation=generation, start_ts=now_ms, connectable_ts=now_ms, sleep_ts=None
        )
        return generation

    async def end_generation(self, actor_id: str, now_ms: int) -> None:
        await self._change(actor_id, sleep_ts=now_ms, connectable_ts=None)

    async def set_alarm(self, actor_id: str, at_ms: int | None) -> None:
        await self._change(actor_id, alarm_ts=at_ms)

    async def due_alarms(
        self, namespace: str, until_ms: int, *, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[tuple[int, str]]:
        await self.turn()
        due = [alarm for alarm in self._alarms(namespace) if alarm[0] <= until_ms]
        return [alarm for alarm in due if after is None or alarm > after][:limit]

    async def next_alarm(self, namespace: str, after_ms: int) -> int | None:
        await self.turn()
        return next((at for at, _ in self._alarms(namespace) if at > after_ms), None)

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        await self.write_turn()
        if (row := self._actors.get(actor_id)) is not None and row.destroy_ts is None:
            self._actors[actor_id] = dataclasses.replace(
                row, destroy_ts=now_ms, connectable_ts=None, alarm_ts=None
            )
            self.records.pop(actor_id, None)
            await self._databases.delete(actor_id)

    def storage(self, actor_id: str) -> ActorStorage:
        return _StoreRecords(self, actor_id)

    def database(self, actor_id: str) -> ActorDatabase:
        return self._databases.database(actor_id, self.storage(actor_id))

    async def _change(self, actor_id: str, **values: int | None) -> None:
        await self.write_turn()
        if (row := self._actors.get(actor_id)) is not None and row.destroy_ts is None:
            self._actors[actor_id] = dataclasses.replace(row, **values)

    def _alarms(self, namespace: str) -> list[tuple[int, str]]:
        rows = (row for row in self._actors.values() if row.namespace == namespace)
        return sorted((row.alarm_ts, row.actor_id) for row in rows if row.alarm_ts is not None)

    def _living(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        for row in self._actors.values():
            if (row.namespace, row.name, row.key) == (namespace, name, key) and row.destroy_ts is None:
                return row
        return None


def _between(records: Mapping[bytes, bytes], start: bytes, end: bytes, *, reverse: bool = False) -> Records:
    return sorted((item for item in records.items() if start <= item[0] < end), reverse=reverse)
