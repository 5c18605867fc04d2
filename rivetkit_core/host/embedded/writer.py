"""One thread that owns the writing connection and commits in groups.

Everything queued while a transaction commits goes into the next single transaction; each caller hears of
its operation after that commit, all of a group in one call into the event loop. An operation that fails
makes its group be tried again one by one, so it fails alone.

Invariants:
    an operation is reported done only after the transaction it ran in was committed;
    operations run in the order they were queued, and may run twice, the first time undone.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar, cast

from rivetkit_core.host.embedded import records
from rivetkit_core.host.embedded.failures import closed, unavailable
from rivetkit_core.host.embedded.records import Change

_log = logging.getLogger("rivetkit.storage")
_T = TypeVar("_T")

Function = Callable[[sqlite3.Connection], object]
"""Runs in the writer's thread inside a transaction; it must do nothing but use the connection."""


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """Counts since ``open``. ``queue_depth`` is what waits for a commit right now."""

    commits: int
    operations: int
    largest_group: int
    queue_depth: int


@dataclass(frozen=True, slots=True)
class _Queued:
    operation: Change | Function
    future: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class _Failed:
    failure: Exception


class GroupWriter:
    """Runs operations in its thread. All methods belong to the event loop that made it.

    Args:
        connection: In autocommit mode; the writer's alone from now on, and closed by it.
        max_pending: Operations queued or being committed; more callers wait for their turn.
    """

    def __init__(self, connection: sqlite3.Connection, *, max_pending: int) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(max_pending)
        self._wake = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._stopping = False
        self._entering = 0
        self._all_entered = asyncio.Event()
        self._ended = asyncio.Event()
        self._commits = 0
        self._operations = 0
        self._largest_group = 0
        # A daemon: an owner that never stops us must not keep the process alive, and an interrupted commit
        # is undone by the next open.
        self._thread = threading.Thread(target=self._run, name="rivetkit-store-writer", daemon=True)
        self._thread.start()

    def statistics(self) -> WriterStatistics:
        """What happened so far; a group counts once it is committed."""
        with self._wake:
            return WriterStatistics(
                self._commits, self._operations, self._largest_group, queue_depth=len(self._queue)
            )

    async def change(self, change: Change) -> None:
        """Write records; on return they are committed."""
        await self._submit(change)

    async def run(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a function in a transaction and return its result once that is committed."""
        return cast("_T", await self._submit(function))

    async def stop(self) -> None:
        """Commit what callers asked for so far, then end the thread and close the connection.

        The owner lets no new callers in from now on.
        """
        while self._entering:
            self._all_entered.clear()
            await self._all_entered.wait()
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await self._ended.wait()

    async def _submit(self, operation: Change | Function) -> object:
        await self._enter()
        future: asyncio.Future[object] = self._loop.create_future()
        with self._wake:
            if self._stopping:
                self._slots.release()
                raise closed()
            self._queue.append(_Queued(operation, future))
            self._wake.notify()
        return await future

    async def _enter(self) -> None:
        self._entering += 1
        try:
            await self._slots.acquire()
        finally:
            self._entering -= 1
            if self._entering == 0:
                self._all_entered.set()

    def _deliver(self, group: Sequence[_Queued], outcomes: Sequence[object]) -> None:
        for queued, outcome in zip(group, outcomes, strict=True):
            self._slots.release()
            if queued.future.done():  # its caller was cancelled
                continue
            if isinstance(outcome, _Failed):
                queued.future.set_exception(outcome.failure)
            else:
                queued.future.set_result(outcome)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            outcomes = self._commit(group)
            self._call_loop(lambda group=group, outcomes=outcomes: self._deliver(group, outcomes))
        with suppress(sqlite3.Error):  # the log is replayed at the next open
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        self._call_loop(self._ended.set)

    def _call_loop(self, callback: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop was closed; nobody is left to be told
            self._loop.call_soon_threadsafe(callback)

    def _next_group(self) -> list[_Queued] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._stopping)
            group = list(self._queue)
            self._queue.clear()
        return group or None

    def _commit(self, group: Sequence[_Queued]) -> list[object]:
        try:
            outcomes = self._transaction(group)
        except Exception as failure:  # noqa: BLE001 - whatever it is, its caller gets it and the thread goes on
            self._undo()
            if len(group) > 1:
                return [outcome for queued in group for outcome in self._commit([queued])]
            return [_Failed(self._explained(failure))]
        with self._wake:
            self._commits += 1
            self._operations += len(group)
            self._largest_group = max(self._largest_group, len(group))
        return outcomes

    def _transaction(self, group: Sequence[_Queued]) -> list[object]:
        if not any(isinstance(queued.operation, Change) and queued.operation.flushed for queued in group):
            return self._within_one(group)
        [(level,)] = self._connection.execute("PRAGMA synchronous").fetchall()
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            return self._within_one(group)
        finally:
            self._undo()  # the setting cannot be changed inside of a transaction
            self._connection.execute(f"PRAGMA synchronous = {level}")

    def _within_one(self, group: Sequence[_Queued]) -> list[object]:
        changes = [queued.operation for queued in group if isinstance(queued.operation, Change)]
        if len(changes) == len(group):
            self._write(changes)
            return [None] * len(group)
        outcomes: list[object] = []
        self._connection.execute("BEGIN IMMEDIATE")
        for kind, run in groupby((queued.operation for queued in group), key=_is_change):
            if kind:
                writes = cast("list[Change]", list(run))
                records.write(self._connection, writes)
                outcomes.extend([None] * len(writes))
            else:
                outcomes.extend(function(self._connection) for function in cast("list[Function]", list(run)))
        self._connection.execute("COMMIT")
        return outcomes

    def _write(self, changes: Sequence[Change]) -> None:
        statements = records.statements(changes)
        # A single statement is a transaction by itself; the usual save then costs one call, not three.
        wrapped = len(statements) > 1
        if wrapped:
            self._connection.execute("BEGIN IMMEDIATE")
        for statement, parameters in statements:
            self._connection.execute(statement, parameters)
        if wrapped:
            self._connection.execute("COMMIT")

    def _undo(self) -> None:
        if self._connection.in_transaction:  # SQLite rolls back on its own after some failures
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _explained(self, failure: Exception) -> Exception:
        if not isinstance(failure, sqlite3.Error | OSError):
            return failure
        explained = unavailable(failure)
        explained.__cause__ = failure
        _log.error("cannot commit: %s", explained.message, exc_info=failure)
        return explained


def _is_change(operation: Change | Function) -> bool:
    return isinstance(operation, Change)
