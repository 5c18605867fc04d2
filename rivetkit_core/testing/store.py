"""A store for tests: atomic like the real one, gone with the process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rivetkit_core.errors import StorageError, error
from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import ActorKey, ActorStorage
from rivetkit_core.wire import actor_key


class MemoryStore:
    """Implements ``HostStore``. Survives ``close``, so that a test can open it again as a new process would.

    Attributes:
        writes: How many writes succeeded, for tests that count them.
    """

    def __init__(self) -> None:
        self.writes = 0
        self._rows: dict[str, ActorRow] = {}
        self._records: dict[str, dict[bytes, bytes]] = {}
        self._failures: list[StorageError] = []
        self._gate: asyncio.Event | None = None

    def fail_next(self, failure: StorageError) -> None:
        """Let the next write fail; call it again for the one after."""
        self._failures.append(failure)

    def hold_writes(self) -> None:
        """Let writes wait until ``release_writes``."""
        if self._gate is None:
            self._gate = asyncio.Event()

    def release_writes(self) -> None:
        """Let held writes go on."""
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    async def open(self) -> None:
        await self._turn()

    async def close(self) -> None:
        await self._turn()

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        await self._write_turn()
        if row.key is not None and (taken := self._live(row.namespace, row.name, row.key)) is not None:
            raise error(
                "actor.duplicate_key",
                existing_actor_id=taken.actor_id,
                key=actor_key.serialize(row.key),
            )
        self._rows[row.actor_id] = row
        self._records[row.actor_id] = dict(records)

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        await self._turn()
        return self._live(namespace, name, key)

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        await self._turn()
        return self._rows.get(actor_id)

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
        await self._turn()
        rows = [
            row
            for row in self._rows.values()
            if row.namespace == namespace
            and row.name == name
            and (key is None or row.key == key)
            and (include_destroyed or row.destroy_ts is None)
        ]
        rows.sort(key=lambda row: (row.create_ts, row.actor_id), reverse=True)
        start = 0 if cursor is None else int(cursor)
        page = rows[start : start + limit]
        return page, str(start + limit) if len(rows) > start + limit else None

    async def list_names(
        self, namespace: str, *, limit: int, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        await self._turn()
        live = (row for row in self._rows.values() if row.destroy_ts is None and row.namespace == namespace)
        names = sorted({row.name for row in live if cursor is None or row.name > cursor})
        page = names[:limit]
        return page, page[-1] if len(names) > limit else None

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        await self._write_turn()
        row = self._rows[actor_id]
        generation = row.generation + 1
        self._rows[actor_id] = replace(row, generation=generation, start_ts=now_ms, connectable_ts=now_ms)
        return generation

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        await self._write_turn()
        row = self._rows.get(actor_id)
        if row is not None and row.destroy_ts is None:
            self._rows[actor_id] = replace(row, destroy_ts=now_ms)
        self._records.pop(actor_id, None)

    def storage(self, actor_id: str) -> ActorStorage:
        return _MemoryStorage(self, actor_id)

    async def load(self, actor_id: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        await self._turn()
        records = self._records.get(actor_id, {})
        return {key: records[key] for key in keys if key in records}

    async def apply(self, actor_id: str, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        await self._write_turn()
        records = self._records.setdefault(actor_id, {})
        for key in deletes:
            records.pop(key, None)
        records.update(puts)

    def _live(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        for row in self._rows.values():
            if (row.namespace, row.name, row.key, row.destroy_ts) == (namespace, name, key, None):
                return row
        return None

    async def _turn(self) -> None:
        await asyncio.sleep(0)  # the real store yields here; tests should meet the same interleavings

    async def _write_turn(self) -> None:
        await self._turn()
        if self._gate is not None:
            await self._gate.wait()
        if self._failures:
            raise self._failures.pop(0)
        self.writes += 1


class _MemoryStorage:
    def __init__(self, store: MemoryStore, actor_id: str) -> None:
        self._store = store
        self._actor_id = actor_id

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._store.load(self._actor_id, keys)

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        await self._store.apply(self._actor_id, puts, deletes)
