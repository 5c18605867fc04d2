"""The embedded host's store: one SQLite file in a data directory, or in memory.

    <data_dir>/rivetkit.sqlite3      placement rows and records (with its -wal and -shm while open)
    <data_dir>/lock                  held while open; names the process

Committed means: survives a crash of the process (WAL, synchronous=NORMAL); with ``full_sync`` also a
power failure (synchronous=FULL).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from rivetkit_core.errors import StorageError, error
from rivetkit_core.host.embedded import schema
from rivetkit_core.host.embedded.lock import DirectoryLock
from rivetkit_core.host.embedded.store_port import ActorRow, read_cursor
from rivetkit_core.host.embedded.writer import Writer, WriterStatistics, explain
from rivetkit_core.host.port import ActorKey, ActorStorage
from rivetkit_core.wire import actor_key

FILE_NAME = "rivetkit.sqlite3"

_COLUMNS = (
    "actor_id, name, key, namespace, create_ts, start_ts, connectable_ts, sleep_ts, destroy_ts, generation"
)


class SqliteStore:
    """Implements ``HostStore``. Use from one event loop; everything blocking happens on its own thread.

    Args:
        data_dir: Directory, created with mode 0700 if missing; None keeps everything in memory.
        full_sync: Also survive a power failure.
        integrity_check: Check the whole file on opening. Takes time proportional to its size.
    """

    def __init__(
        self, data_dir: Path | None, *, full_sync: bool = False, integrity_check: bool = True
    ) -> None:
        self._data_dir = data_dir
        self._full_sync = full_sync
        self._integrity_check = integrity_check
        self._lock: DirectoryLock | None = None
        self._writer = Writer(self._connect)

    @property
    def statistics(self) -> WriterStatistics:
        """Commits, operations and the largest group so far."""
        return self._writer.statistics

    async def open(self) -> None:
        self._writer = Writer(self._connect)
        try:
            await self._writer.start()
        except StorageError:
            raise
        except (sqlite3.Error, OSError) as failure:
            raise _unusable(self._data_dir, failure) from failure

    async def close(self) -> None:
        await self._writer.stop()
        self._release()

    async def run(self, statement: str) -> None:
        """Run one statement outside the tables' own; for maintenance and for tests that provoke faults."""
        await self._writer.submit(lambda connection: connection.execute(statement).fetchall())

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            if row.key is not None:
                taken = _find_by_key(connection, row.namespace, row.name, row.key)
                if taken is not None:
                    key = actor_key.serialize(row.key)
                    raise error("actor.duplicate_key", existing_actor_id=taken.actor_id, key=key)
            connection.execute(f"INSERT INTO actors ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", _to_sql(row))
            _put(connection, row.actor_id, records)

        await self._writer.submit(work)

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        return await self._writer.submit(lambda connection: _find_by_key(connection, namespace, name, key))

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        def work(connection: sqlite3.Connection) -> ActorRow | None:
            found = connection.execute(f"SELECT {_COLUMNS} FROM actors WHERE actor_id = ?", (actor_id,))
            return _first(found)

        return await self._writer.submit(work)

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
        conditions = ["namespace = ?", "name = ?"]
        values: list[str | int] = [namespace, name]
        if key is not None:
            conditions.append("key = ?")
            values.append(actor_key.serialize(key))
        if not include_destroyed:
            conditions.append("destroy_ts IS NULL")
        if cursor is not None:
            conditions.append("(create_ts, actor_id) < (?, ?)")
            values += read_cursor(cursor)
        statement = (
            f"SELECT {_COLUMNS} FROM actors WHERE {' AND '.join(conditions)} "
            "ORDER BY create_ts DESC, actor_id DESC LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[ActorRow]:
            return [_from_sql(row) for row in connection.execute(statement, (*values, limit + 1))]

        rows = await self._writer.submit(work)
        page = rows[:limit]
        more = len(rows) > limit
        return page, f"{page[-1].create_ts}.{page[-1].actor_id}" if more else None

    async def list_names(
        self, namespace: str, *, limit: int, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        statement = (
            "SELECT DISTINCT name FROM actors WHERE namespace = ? AND destroy_ts IS NULL AND name > ? "
            "ORDER BY name LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[str]:
            return [
                str(row[0]) for row in connection.execute(statement, (namespace, cursor or "", limit + 1))
            ]

        names = await self._writer.submit(work)
        page = names[:limit]
        return page, page[-1] if len(names) > limit else None

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        statement = (
            "UPDATE actors SET generation = generation + 1, start_ts = ?, connectable_ts = ? "
            "WHERE actor_id = ? AND destroy_ts IS NULL RETURNING generation"
        )

        def work(connection: sqlite3.Connection) -> int:
            counted = connection.execute(statement, (now_ms, now_ms, actor_id)).fetchall()
            if not counted:
                raise error("actor.not_found")
            return int(counted[0][0])

        return await self._writer.submit(work)

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM records WHERE actor_id = ?", (actor_id,))
            connection.execute(
                "UPDATE actors SET destroy_ts = ? WHERE actor_id = ? AND destroy_ts IS NULL",
                (now_ms, actor_id),
            )

        await self._writer.submit(work)

    def storage(self, actor_id: str) -> ActorStorage:
        return _SqliteStorage(self, actor_id)

    async def load(self, actor_id: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Records of one actor; ``storage`` gives the same as a port."""

        def work(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            marks = ",".join("?" * len(keys))
            statement = f"SELECT key, value FROM records WHERE actor_id = ? AND key IN ({marks})"
            return {
                bytes(key): bytes(value) for key, value in connection.execute(statement, (actor_id, *keys))
            }

        return await self._writer.submit(work)

    async def apply(self, actor_id: str, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Change records of one actor; ``storage`` gives the same as a port."""

        def work(connection: sqlite3.Connection) -> None:
            if deletes:
                connection.executemany(
                    "DELETE FROM records WHERE actor_id = ? AND key = ?", [(actor_id, key) for key in deletes]
                )
            _put(connection, actor_id, puts)

        await self._writer.submit(work)

    def _connect(self) -> sqlite3.Connection:
        if self._data_dir is None:
            connection = sqlite3.connect(":memory:", isolation_level=None)
            schema.prepare(connection, full_sync=False)
            return connection
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(self._data_dir / "lock")
        lock.acquire()
        self._lock = lock
        try:
            path = self._data_dir / FILE_NAME
            schema.check_file(path, integrity=self._integrity_check)
            connection = sqlite3.connect(path, isolation_level=None)
            schema.prepare(connection, full_sync=self._full_sync)
        except BaseException:
            self._release()
            raise
        return connection

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class _SqliteStorage:
    __slots__ = ("_actor_id", "_store")

    def __init__(self, store: SqliteStore, actor_id: str) -> None:
        self._store = store
        self._actor_id = actor_id

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._store.load(self._actor_id, keys)

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        await self._store.apply(self._actor_id, puts, deletes)


def _unusable(data_dir: Path | None, failure: Exception) -> StorageError:
    if isinstance(failure, OSError):
        reason = failure.strerror or str(failure)
        message = f"the data directory {data_dir} cannot be used ({reason}): check its path and permissions"
        return StorageError("storage", "unavailable", message)
    return explain(failure)


def _put(connection: sqlite3.Connection, actor_id: str, records: Mapping[bytes, bytes]) -> None:
    connection.executemany(
        "INSERT INTO records (actor_id, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (actor_id, key) DO UPDATE SET value = excluded.value",
        [(actor_id, key, value) for key, value in records.items()],
    )


def _find_by_key(connection: sqlite3.Connection, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
    statement = (
        f"SELECT {_COLUMNS} FROM actors WHERE namespace = ? AND name = ? AND key = ? AND destroy_ts IS NULL"
    )
    return _first(connection.execute(statement, (namespace, name, actor_key.serialize(key))))


def _first(cursor: sqlite3.Cursor) -> ActorRow | None:
    row = cursor.fetchone()
    return None if row is None else _from_sql(row)


def _to_sql(row: ActorRow) -> tuple[object, ...]:
    return (
        row.actor_id,
        row.name,
        None if row.key is None else actor_key.serialize(row.key),
        row.namespace,
        row.create_ts,
        row.start_ts,
        row.connectable_ts,
        row.sleep_ts,
        row.destroy_ts,
        row.generation,
    )


def _from_sql(
    row: tuple[str, str, str | None, str, int, int | None, int | None, int | None, int | None, int],
) -> ActorRow:
    actor_id, name, key, namespace, create_ts, start_ts, connectable_ts, sleep_ts, destroy_ts, generation = (
        row
    )
    return ActorRow(
        actor_id=actor_id,
        name=name,
        key=None if key is None else actor_key.deserialize(key),
        namespace=namespace,
        create_ts=create_ts,
        start_ts=start_ts,
        connectable_ts=connectable_ts,
        sleep_ts=sleep_ts,
        destroy_ts=destroy_ts,
        generation=generation,
    )
