"""One thread that owns the SQLite connection, and commits the work of many actors in groups.

Whatever is submitted while a commit is under way shares the next transaction, so the cost of a commit is
divided among everybody who waits for it.

Invariants
    An operation runs entirely inside one transaction; its caller hears of success only after the commit.
    An operation that raises RivetError has written nothing, so the rest of its group is unaffected.
    When SQLite itself fails, the whole group is rolled back and every caller of it is told.
    An operation that fails for any other reason is rolled back alone; the thread never ends because of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from rivetkit_core.errors import RivetError, StorageError

T = TypeVar("T")

_LARGEST_GROUP = 512


@dataclass(slots=True)
class WriterStatistics:
    """Counters since the writer started."""

    commits: int = 0
    operations: int = 0
    largest_group: int = 0


class _Operation(Generic[T]):
    __slots__ = ("failure", "future", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.result: T | None = None
        self.failure: Exception | None = None

    def settle(self) -> None:
        if self.future.done():  # cancelled: nobody waits any more
            return
        if self.failure is not None:
            self.future.set_exception(self.failure)
        else:
            self.future.set_result(cast("T", self.result))


class Writer:
    """Runs operations on its own thread. ``submit`` from the loop that called ``start``."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, max_pending: int = 10_000) -> None:
        self._connect = connect
        self._slots = asyncio.Semaphore(max_pending)
        self._pending: deque[_Operation[object]] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.statistics = WriterStatistics()

    async def start(self) -> None:
        """Open the connection on the thread.

        Raises:
            Exception: Whatever connecting raised.
        """
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="rivetkit-store", daemon=True)
        self._thread.start()
        await ready

    async def submit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in the next transaction and return its result after the commit.

        Waits for room when too much is pending. Cancelling stops the waiting; the operation may still run.

        Raises:
            StorageError: Nothing of the group was written.
        """
        if self._loop is None or self._stopping:
            raise StorageError("storage", "unavailable", "the store is closed")
        async with self._slots:
            future: asyncio.Future[T] = self._loop.create_future()
            operation = _Operation(work, future)
            with self._condition:
                self._pending.append(cast("_Operation[object]", operation))
                self._condition.notify()
            return await future

    async def stop(self) -> None:
        """Commit what is pending, close the connection, end the thread. Idempotent."""
        thread = self._thread
        if thread is None:
            return
        with self._condition:
            self._stopping = True
            self._condition.notify()
        await asyncio.to_thread(thread.join)
        self._thread = None

    def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
        except Exception as failure:  # noqa: BLE001 - handed to whoever started the thread
            self._call_soon(_fail, ready, failure)
            return
        self._call_soon(_succeed, ready)
        try:
            while group := self._next_group():
                self._commit(connection, group)
                self._call_soon(_settle, group)
        finally:
            connection.close()

    def _next_group(self) -> list[_Operation[object]]:
        with self._condition:
            while not self._pending and not self._stopping:
                self._condition.wait()
            count = min(len(self._pending), _LARGEST_GROUP)
            return [self._pending.popleft() for _ in range(count)]

    def _commit(self, connection: sqlite3.Connection, group: list[_Operation[object]]) -> None:
        while True:
            try:
                culprit = self._attempt(connection, group)
            except (sqlite3.Error, OSError) as failure:
                _roll_back(connection)
                told = explain(failure)
                for operation in group:
                    operation.failure = told
                return
            if culprit is None:
                return
            _roll_back(connection)
            group = [operation for operation in group if operation is not culprit]
            for operation in group:
                operation.failure = None

    def _attempt(
        self, connection: sqlite3.Connection, group: list[_Operation[object]]
    ) -> _Operation[object] | None:
        """Run and commit a group; or stop before the commit and return the operation that could not run."""
        connection.execute("BEGIN IMMEDIATE")
        for operation in group:
            try:
                operation.result = operation.work(connection)
            except RivetError as refused:
                operation.failure = refused
            except (sqlite3.Error, OSError):
                raise
            except Exception as failure:  # noqa: BLE001 - handed to its caller
                operation.failure = failure
                return operation
        connection.execute("COMMIT")
        self.statistics.commits += 1
        self.statistics.operations += len(group)
        self.statistics.largest_group = max(self.statistics.largest_group, len(group))
        return None

    def _call_soon(self, callback: Callable[..., None], *args: object) -> None:
        loop = self._loop
        assert loop is not None
        try:
            loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def explain(failure: Exception) -> StorageError:
    """What went wrong with the disk, and what to do about it."""
    text = str(failure)
    code = getattr(failure, "sqlite_errorname", "")
    if code == "SQLITE_FULL":
        message = f"the disk is full ({text}): free some space; unsaved state is kept in memory and retried"
    elif code in {"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"}:
        message = f"the data directory cannot be written ({text}): check its permissions"
    elif code.startswith("SQLITE_IOERR"):
        message = f"the disk failed ({text}, {code}): check the disk and the file system"
    else:
        message = f"the store failed: {text}"
    return StorageError("storage", "unavailable", message)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _settle(group: list[_Operation[object]]) -> None:
    for operation in group:
        operation.settle()


def _succeed(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _fail(ready: asyncio.Future[None], failure: Exception) -> None:
    if not ready.done():
        ready.set_exception(failure)
