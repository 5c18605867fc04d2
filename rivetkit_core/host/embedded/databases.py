"""The actors' databases in the embedded host: one file each, of which a bounded number is open.

    <data_dir>/databases/<actor id>.db   made at the first statement, deleted with the actor

Statements run on a few threads. What is committed together with records is ``joint``'s business. A file that
was not used for long is closed when another one is opened; no file is closed while a statement or a
transaction is under way, nor while its connection holds temporary tables or settings. So more than the bound
are open if more than that are in use.

Invariants
    One statement of an actor at a time.
    A cancelled statement has ended before the next one of its actor begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from rivetkit_core.errors import error
from rivetkit_core.host.embedded.database_file import DatabaseFile, open_file, open_image
from rivetkit_core.host.embedded.joint import LocalJointCommit, finish_joint
from rivetkit_core.host.port import ActorDatabase, ActorStorage, JointCommit, SqlResult, SqlStatement

log = logging.getLogger("rivetkit.storage")

MAX_OPEN = 64
_THREADS = 4
_T = TypeVar("_T")


class Medium(Protocol):
    """Where databases are kept. Blocks; one thread at a time for an actor."""

    def exists(self, actor_id: str) -> bool: ...

    def open(self, actor_id: str) -> DatabaseFile: ...

    def close(self, actor_id: str, database: DatabaseFile) -> None: ...

    def delete(self, actor_id: str) -> None: ...


class FileMedium:
    """A directory of files."""

    def __init__(self, directory: Path, *, full_sync: bool = False) -> None:
        self._directory = directory
        self._full_sync = full_sync

    def exists(self, actor_id: str) -> bool:
        return self._path(actor_id).exists()

    def open(self, actor_id: str) -> DatabaseFile:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        return open_file(str(self._path(actor_id)), full_sync=self._full_sync)

    def close(self, actor_id: str, database: DatabaseFile) -> None:
        database.close()

    def delete(self, actor_id: str) -> None:
        path = self._path(actor_id)
        # The data first: without it, what is left of a log says nothing.
        for name in (path, path.with_suffix(".db-wal"), path.with_suffix(".db-shm")):
            name.unlink(missing_ok=True)

    def keep(self, living: Callable[[Iterable[str]], set[str]]) -> None:
        """Delete what a crash left of destroyed actors; before anything is open.

        Args:
            living: Picks those that are still there from actor ids.
        """
        found = {path.name.partition(".")[0] for path in self._directory.glob("*.db*")}
        for actor_id in found - living(found):
            self.delete(actor_id)

    def _path(self, actor_id: str) -> Path:
        return self._directory / f"{actor_id}.db"


class MemoryMedium:
    """Databases that are gone with this object; a closed one is kept as bytes."""

    def __init__(self) -> None:
        self._images: dict[str, bytes] = {}

    def exists(self, actor_id: str) -> bool:
        return actor_id in self._images

    def open(self, actor_id: str) -> DatabaseFile:
        return open_image(self._images.get(actor_id, b""))

    def close(self, actor_id: str, database: DatabaseFile) -> None:
        if database.in_transaction:
            database.execute(SqlStatement("ROLLBACK"))
        self._images[actor_id] = database.serialize()
        database.close()

    def delete(self, actor_id: str) -> None:
        self._images.pop(actor_id, None)


class _Place:
    """One actor's database, open or not."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.database: DatabaseFile | None = None

    @property
    def may_close(self) -> bool:
        database = self.database
        return database is not None and not (self.users or database.in_transaction or database.keeps)


class Databases:
    """The databases of one host. Belongs to one event loop; ``close`` it when no actor runs any more.

    Args:
        threads: How many statements run at once; 0 runs them on the event loop, which is for tests.
    """

    def __init__(self, medium: Medium, *, max_open: int = MAX_OPEN, threads: int = _THREADS) -> None:
        self._medium = medium
        self._max_open = max_open
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._whole: set[str] = set()
        self._thread_count = threads
        self._threads: ThreadPoolExecutor | None = None

    @property
    def open_count(self) -> int:
        """How many databases are open."""
        return sum(place.database is not None for place in self._places.values())

    def database(self, actor_id: str, records: ActorStorage) -> ActorDatabase:
        """The database of one generation. Cheap; nothing is opened before the first statement.

        Args:
            records: What joint commits write to; what it applied survives a failure of the power.
        """
        return LocalDatabase(self, actor_id, records, between=partial(self._note_between, actor_id))

    async def finish(self, actor_id: str, records: ActorStorage) -> None:
        """Finish what the actor's last end may have left half committed; before the actor starts.

        Raises:
            RivetError: Its database cannot be read, or its records cannot be written.
        """
        if actor_id not in self._whole and self._medium.exists(actor_id):
            await finish_joint(partial(self.run, actor_id), records)
            await self.release(actor_id)
            self._whole.add(actor_id)

    async def run(self, actor_id: str, function: Callable[[DatabaseFile], _T]) -> _T:
        """Run a function on an actor's database, opened if it is not.

        Raises:
            RivetError: ``sqlite.unavailable``, or what the function raises.
        """
        place = self._places.setdefault(actor_id, _Place())
        self._places.move_to_end(actor_id)
        place.users += 1
        try:
            async with place.lock:
                if place.database is None:
                    place.database = await self._opened(actor_id)
                return await self._on_thread(function, place.database)
        finally:
            place.users -= 1
            await self._close_idle()

    async def release(self, actor_id: str) -> None:
        """Close an actor's database; it is opened again when it is needed. Never raises."""
        place = self._places.get(actor_id)
        if place is not None:
            await self._close_place(actor_id, place)

    async def delete(self, actor_id: str) -> None:
        """Close and delete an actor's database; does nothing if it has none."""
        await self.release(actor_id)
        self._whole.discard(actor_id)
        try:
            await self._in_thread(lambda: self._medium.delete(actor_id))
        except OSError as failure:
            log.error(
                "the database of actor %s could not be deleted: %s",
                actor_id,
                failure,
                extra={"actor_id": actor_id},
            )

    async def close(self) -> None:
        """Close every database. They may be opened again."""
        self._whole.clear()
        for actor_id, place in list(self._places.items()):
            await self._close_place(actor_id, place)
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    # --- places ---------------------------------------------------------------------------------

    async def _opened(self, actor_id: str) -> DatabaseFile:
        try:
            return await self._in_thread(lambda: self._medium.open(actor_id))
        except (sqlite3.Error, OSError) as failure:
            raise error("sqlite.unavailable", reason=str(failure)) from failure

    async def _close_idle(self) -> None:
        surplus = self.open_count - self._max_open
        for actor_id, place in list(self._places.items()):
            if surplus <= 0:
                return
            if place.may_close:
                await self._close_place(actor_id, place)
                surplus -= 1

    async def _close_place(self, actor_id: str, place: _Place) -> None:
        place.users += 1
        try:
            async with place.lock:
                database, place.database = place.database, None
                if database is not None:
                    await self._in_thread(lambda: self._medium.close(actor_id, database))
        except sqlite3.Error as failure:
            log.error(
                "the database of actor %s was not closed well: %s",
                actor_id,
                failure,
                extra={"actor_id": actor_id},
            )
        finally:
            place.users -= 1
            if not place.users and place.database is None:
                self._places.pop(actor_id, None)

    def _note_between(self, actor_id: str, between: bool) -> None:
        if between:
            self._whole.discard(actor_id)
        else:
            self._whole.add(actor_id)

    # --- threads --------------------------------------------------------------------------------

    async def _on_thread(self, function: Callable[[DatabaseFile], _T], database: DatabaseFile) -> _T:
        database.resume()
        return await self._in_thread(lambda: function(database), database.interrupt)

    async def _in_thread(self, function: Callable[[], _T], interrupt: Callable[[], None] | None = None) -> _T:
        if not self._thread_count:
            return function()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._thread_count, thread_name_prefix="rivetkit-sql")
        running = self._threads.submit(function)
        ended = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if interrupt is not None and not ended.done():
                interrupt()
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):  # the first one goes on, below
                    await asyncio.wait([ended])
            ended.exception()
            raise


class LocalDatabase:
    """``ActorDatabase`` of one generation in this process."""

    session = 0

    def __init__(
        self,
        databases: Databases,
        actor_id: str,
        records: ActorStorage,
        *,
        between: Callable[[bool], None],
    ) -> None:
        self._databases = databases
        self._actor_id = actor_id
        self._used = False
        self.joint: JointCommit | None = LocalJointCommit(self._run, records, between=between)

    async def execute(self, statement: SqlStatement) -> SqlResult:
        return await self._run(lambda database: database.execute(statement))

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        return await self._run(lambda database: database.execute_batch(statements))

    async def script(self, sql: str) -> None:
        await self._run(lambda database: database.script(sql))

    async def in_transaction(self) -> bool:
        return await self._run(lambda database: database.in_transaction)

    async def close(self) -> None:
        if self._used:
            await self._databases.release(self._actor_id)

    async def _run(self, function: Callable[[DatabaseFile], _T]) -> _T:
        self._used = True
        return await self._databases.run(self._actor_id, function)
