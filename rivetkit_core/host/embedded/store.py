"""The embedded host's durable store: one SQLite file in WAL mode, or a database in memory.

    <data_dir>/rivetkit.sqlite3   the data (and -wal, -shm beside it while in use)
    <data_dir>/databases/         the actors' own databases (``databases``)
    <data_dir>/lock               who uses the directory

One thread writes and commits in groups (``writer``), one thread reads. A returned write survives a crash of
the process; with ``full_sync`` it survives a power failure as well.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.embedded import directory, records, schema
from rivetkit_core.host.embedded.databases import Databases, FileMedium, MemoryMedium
from rivetkit_core.host.embedded.failures import cannot_open, closed, unavailable
from rivetkit_core.host.embedded.lock import DirectoryLock
from rivetkit_core.host.embedded.records import Change
from rivetkit_core.host.embedded.store_port import (
    ActorRow,
    decode_actor_cursor,
    decode_name_cursor,
    duplicate_key,
    encode_cursor,
)
from rivetkit_core.host.embedded.writer import GroupWriter, WriterStatistics
from rivetkit_core.host.port import ActorDatabase, ActorKey, ActorStorage, Records, prefix_end

DATA_FILE = "rivetkit.sqlite3"
LOCK_FILE = "lock"
DATABASES_DIRECTORY = "databases"

_MAX_PAGES = 2**32 - 2  # SQLite's own limit
_T = TypeVar("_T")


class SqliteStore:
    """A ``HostStore`` in a data directory, or in memory when there is none.

    Belongs to the event loop that opened it. Cancelling a call leaves its outcome unknown and harms nothing.

    Args:
        data_dir: Made with mode 0700 if missing; None keeps everything in memory until ``close``.
        full_sync: Wait for the disk at every commit, so that returned writes survive a power failure.
        integrity_check: Read the whole file for damage when opening.
        max_pending: Operations waiting for a commit before further callers are held back.
    """

    def __init__(
        self,
        data_dir: Path | None,
        *,
        full_sync: bool = False,
        integrity_check: bool = True,
        max_pending: int = 4096,
    ) -> None:
        self._data_dir = data_dir
        self._full_sync = full_sync
        self._integrity_check = integrity_check
        self._max_pending = max_pending
        self._lock: DirectoryLock | None = None
        self._writer: GroupWriter | None = None
        self._reader: _Reader | None = None
        self._closing: asyncio.Task[None] | None = None
        files = None if data_dir is None else FileMedium(data_dir / DATABASES_DIRECTORY, full_sync=full_sync)
        self._files = files
        self._databases = Databases(files or MemoryMedium())

    async def open(self) -> None:
        """Take the directory over, check the file and make its tables if it is new.

        Raises:
            StorageError: ``storage.locked``, ``corrupt``, ``newer_schema`` or ``unavailable``; the file's
                bytes are as they were.
        """
        opening = asyncio.ensure_future(asyncio.to_thread(self._connect))
        try:
            writing, reading = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # short, and the lock must not stay behind
            if opening.exception() is None:
                for connection in opening.result():
                    if connection is not None:
                        connection.close()
                self._release()
            raise
        self._closing = None
        self._writer = GroupWriter(writing, max_pending=self._max_pending)
        self._reader = None if reading is None else _Reader(reading)

    async def close(self) -> None:
        """Commit what was queued, fold the log into the data file and let the directory go. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    def statistics(self) -> WriterStatistics:
        """Counts of the writer since ``open``.

        Raises:
            StorageError: The store is not open.
        """
        return self._opened().statistics()

    async def limit_size(self, max_bytes: int | None) -> None:
        """Bound the data file until ``close``: what does not fit fails as on a full disk. None lifts it."""
        await self._opened().run(partial(_limit_size, max_bytes))

    async def create_actor(self, row: ActorRow, records: Mapping[bytes, bytes]) -> None:
        first = Change(row.actor_id, dict(records), ())
        existing = await self._opened().run(partial(_create, row, first))
        if existing is None:
            return
        if existing == row.actor_id or row.key is None:
            raise ValueError(f"actor id {row.actor_id!r} was used before")
        raise duplicate_key(existing, row.key)

    async def find_by_key(self, namespace: str, name: str, key: ActorKey) -> ActorRow | None:
        return await self._read(lambda connection: directory.by_key(connection, namespace, name, key))

    async def find_by_id(self, actor_id: str) -> ActorRow | None:
        return await self._read(lambda connection: directory.by_id(connection, actor_id))

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
        read = partial(
            directory.page,
            namespace=namespace,
            name=name,
            key=key,
            limit=limit + 1,
            before=decode_actor_cursor(cursor),
            include_destroyed=include_destroyed,
        )
        found = await self._read(read)
        page = found[:limit]
        more = page and len(found) > limit
        return page, encode_cursor(page[-1].create_ts, page[-1].actor_id) if more else None

    async def list_names(
        self, namespace: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        after = decode_name_cursor(cursor)
        read = partial(directory.names, namespace=namespace, limit=limit + 1, after=after)
        found = await self._read(read)
        page = found[:limit]
        return page, encode_cursor(page[-1]) if page and len(found) > limit else None

    async def start_generation(self, actor_id: str, now_ms: int) -> int:
        run = partial(directory.start_generation, actor_id=actor_id, now_ms=now_ms)
        await self._finish_joint(actor_id)
        generation = await self._opened().run(run)
        if generation is None:
            raise error("actor.not_found")
        return generation

    async def end_generation(self, actor_id: str, now_ms: int) -> None:
        await self._opened().run(partial(directory.end_generation, actor_id=actor_id, now_ms=now_ms))

    async def set_alarm(self, actor_id: str, at_ms: int | None) -> None:
        await self._opened().run(partial(directory.set_alarm, actor_id=actor_id, at_ms=at_ms))

    async def due_alarms(
        self, namespace: str, until_ms: int, *, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[tuple[int, str]]:
        read = partial(directory.due_alarms, namespace=namespace, until_ms=until_ms, after=after, limit=limit)
        return await self._read(read)

    async def next_alarm(self, namespace: str, after_ms: int) -> int | None:
        return await self._read(partial(directory.next_alarm, namespace=namespace, after_ms=after_ms))

    async def mark_destroyed(self, actor_id: str, now_ms: int) -> None:
        await self._opened().run(partial(_destroy, actor_id, now_ms))
        await self._databases.delete(actor_id)

    def storage(self, actor_id: str) -> ActorStorage:
        return _Records(self, actor_id)

    def database(self, actor_id: str) -> ActorDatabase:
        return self._databases.database(actor_id, _Records(self, actor_id, flushed=True))

    async def load_records(self, actor_id: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Records of one actor, as of one moment."""
        keys = tuple(keys)
        return await self._read(lambda connection: records.read(connection, actor_id, keys))

    async def change_records(self, change: Change) -> None:
        """Change records of one actor, all or nothing."""
        await self._opened().change(change)

    async def list_records(
        self, actor_id: str, span: tuple[bytes, bytes], *, reverse: bool, limit: int | None
    ) -> Records:
        """Records of one actor in a range, as of one moment."""
        read = partial(records.read_range, actor_id=actor_id, span=span, reverse=reverse, limit=limit)
        return await self._read(read)

    async def delete_records(self, actor_id: str, span: tuple[bytes, bytes]) -> None:
        """Delete records of one actor in a range, all or nothing."""
        await self._opened().run(partial(records.delete_range, actor_id=actor_id, span=span))

    async def _finish_joint(self, actor_id: str) -> None:
        self._opened()
        try:
            await self._databases.finish(actor_id, _Records(self, actor_id, flushed=True))
        except StorageError:
            raise
        except RivetError as failure:
            raise error("storage.unavailable", f"The actor's database cannot be read: {failure}") from failure

    def _opened(self) -> GroupWriter:
        if self._writer is None or self._closing is not None:
            raise closed()
        return self._writer

    async def _read(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        writer = self._opened()
        if self._reader is None:
            return await writer.run(function)
        return await self._reader.run(function)

    async def _close(self) -> None:
        await self._databases.close()
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Connection | None]:
        if self._data_dir is None:
            if self._writer is not None:
                raise error("storage.locked", path=":memory:")
            connection = _connection(":memory:")
            schema.create(connection)
            return connection, None
        path = self._data_dir / DATA_FILE
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock(self._data_dir / LOCK_FILE)
            lock.acquire()
        except OSError as failure:
            raise cannot_open(self._data_dir, failure) from failure
        try:
            schema.examine(path, integrity_check=self._integrity_check)
            connections = self._open_file(path)
        except BaseException as failure:
            lock.release()
            if isinstance(failure, sqlite3.Error | OSError):
                raise cannot_open(path, failure) from failure
            raise
        self._lock = lock
        return connections

    def _open_file(self, path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        writing = _connection(str(path))
        try:
            writing.execute("PRAGMA journal_mode = WAL").fetchall()
            writing.execute(f"PRAGMA synchronous = {'FULL' if self._full_sync else 'NORMAL'}")
            schema.create(writing)
            if self._files is not None:
                self._files.keep(partial(directory.living, writing))
            reading = _connection(str(path))
        except BaseException:
            writing.close()
            raise
        reading.execute("PRAGMA query_only = ON")
        return writing, reading


class _Reader:
    """The reading connection and its thread. Sees every commit made before the call."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rivetkit-store-reader")

    async def run(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, function, self._connection)
        except (sqlite3.Error, OSError) as failure:
            raise unavailable(failure) from failure

    async def stop(self) -> None:
        """Finish queued reads and close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)


class _Records:
    """``ActorStorage`` of one actor."""

    def __init__(self, store: SqliteStore, actor_id: str, *, flushed: bool = False) -> None:
        self._store = store
        self._actor_id = actor_id
        self._flushed = flushed

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._store.load_records(self._actor_id, keys)

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        await self._store.change_records(Change(self._actor_id, dict(puts), tuple(deletes), self._flushed))

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        return await self._store.list_records(self._actor_id, (start, end), reverse=reverse, limit=limit)

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        await self._store.delete_records(self._actor_id, (start, end))


def _connection(database: str) -> sqlite3.Connection:
    return sqlite3.connect(
        database, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=5.0
    )


def _limit_size(max_bytes: int | None, connection: sqlite3.Connection) -> None:
    pages = _MAX_PAGES
    if max_bytes is not None:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = max(1, max_bytes // page_size)
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()


def _create(row: ActorRow, first: Change, connection: sqlite3.Connection) -> str | None:
    """Add the actor, or return the id of the one in its way."""
    if directory.by_id(connection, row.actor_id) is not None:
        return row.actor_id
    if row.key is not None:
        existing = directory.by_key(connection, row.namespace, row.name, row.key)
        if existing is not None:
            return existing.actor_id
    directory.insert(connection, row)
    records.write(connection, [first])
    return None


def _destroy(actor_id: str, now_ms: int, connection: sqlite3.Connection) -> None:
    if directory.mark_destroyed(connection, actor_id, now_ms):
        records.delete_all(connection, actor_id)
