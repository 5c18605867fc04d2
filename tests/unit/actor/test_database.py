"""Turns and transactions of one actor's database, on a database in memory and virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sqlite3
from collections.abc import Coroutine, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.database import QUEUE_LIMIT, Database
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.errors import RivetError, UserError
from rivetkit_core.host.embedded.database_file import DatabaseFile, open_image
from rivetkit_core.host.port import SqlResult, SqlStatement
from rivetkit_core.testing import FakeClock, settle

T = TypeVar("T")


class FakeDatabase:
    """A database in memory that tests can hold, break and count.

    Attributes:
        gate: Statements wait for it.
        sent: Every statement that ran.
    """

    def __init__(self) -> None:
        self._file: DatabaseFile = open_image(b"")
        self.joint = None
        self.session = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.sent: list[str] = []
        self.closed = False

    async def execute(self, statement: SqlStatement) -> SqlResult:
        await self.gate.wait()
        self.sent.append(statement.sql)
        return self._file.execute(statement)

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        return self._file.execute_batch(statements)

    async def script(self, sql: str) -> None:
        self._file.script(sql)

    async def in_transaction(self) -> bool:
        return self._file.in_transaction

    async def close(self) -> None:
        self.closed = True
        self._file.close()

    def lose_connection(self) -> None:
        if self._file.in_transaction:
            self._file.execute(SqlStatement("ROLLBACK"))
        self.session += 1


def made() -> tuple[Database, FakeDatabase, FakeClock]:
    fake, clock = FakeDatabase(), FakeClock()
    log = ActorLog(logging.getLogger("rivetkit.test"), {})
    return Database(fake, clock=clock, log=log), fake, clock


def elsewhere(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """Work of another action: what began inside of a transaction would belong to it."""
    return asyncio.create_task(work, context=contextvars.Context())


async def counted(database: Database) -> int:
    [(count,)] = (await database.execute("SELECT count(*) FROM t")).rows
    assert isinstance(count, int)
    return count


async def test_a_host_without_databases_says_so() -> None:
    log = ActorLog(logging.getLogger("rivetkit.test"), {})
    database = Database(None, clock=FakeClock(), log=log)
    with pytest.raises(RivetError, match=r"sqlite\.not_configured"):
        await database.execute("SELECT 1")
    await database.close()


async def test_a_block_of_a_minute_is_cancelled_and_undone() -> None:
    database, fake, clock = made()
    await database.execute("CREATE TABLE t (a)")

    async def slow() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
            await asyncio.Event().wait()

    slowly = asyncio.create_task(slow())
    await settle()
    waiting = asyncio.create_task(counted(database))
    await clock.advance(59.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting == 0
    with pytest.raises(RivetError, match=r"sqlite\.transaction_expired: .* 60"):
        await slowly
    assert fake.sent[-2] == "ROLLBACK"


async def test_waiting_for_a_turn_is_not_counted() -> None:
    database, _, clock = made()
    async with database.transaction(10.0):
        other = elsewhere(counted_in_transaction(database))
        await settle()
        await clock.advance(9.0)
    await other


async def counted_in_transaction(database: Database) -> None:
    async with database.transaction(5.0) as transaction:
        await transaction.execute("SELECT 1")


async def test_a_bounded_number_waits_for_a_turn() -> None:
    database, _, _ = made()
    fresh = asyncio.Event()

    async def hold() -> None:
        async with database.transaction():
            await fresh.wait()

    holding = asyncio.create_task(hold())
    await settle()
    waiting = [elsewhere(database.execute("SELECT 1")) for _ in range(QUEUE_LIMIT)]
    await settle()
    with pytest.raises(RivetError, match=r"sqlite\.transaction_queue_full"):
        await database.execute("SELECT 1")
    fresh.set()
    await holding
    await asyncio.gather(*waiting)
    await database.execute("SELECT 1")


async def test_a_caller_that_stops_waiting_leaves_the_queue() -> None:
    database, fake, _ = made()
    async with database.transaction():
        waiting = [elsewhere(database.execute("SELECT 1")) for _ in range(3)]
        await settle()
        waiting[0].cancel()
        await settle()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(result, SqlResult) for result in results[1:]] == [True, True]
    assert fake.sent.count("SELECT 1") == 2


async def test_a_transaction_fails_when_its_connection_is_replaced() -> None:
    database, fake, _ = made()
    await database.execute("CREATE TABLE t (a)")
    with pytest.raises(RivetError, match=r"sqlite\.transaction_connection_lost"):
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
            fake.lose_connection()
            await transaction.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(RivetError, match=r"sqlite\.transaction_connection_lost"):
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (3)")
            fake.lose_connection()
    assert await counted(database) == 0


async def test_a_rollback_is_finished_although_its_task_is_cancelled_again() -> None:
    database, fake, _ = made()

    async def block() -> None:
        async with database.transaction():
            fake.gate.clear()
            raise KeyError

    task = asyncio.create_task(block())
    await settle()
    task.cancel()
    await settle()
    assert not task.done()
    fake.gate.set()
    await asyncio.wait([task])
    assert fake.sent == ["BEGIN", "ROLLBACK"]


async def test_a_commit_that_began_is_finished() -> None:
    database, fake, _ = made()
    await database.execute("CREATE TABLE t (a)")

    async def block() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
            fake.gate.clear()

    task = asyncio.create_task(block())
    await settle()
    task.cancel()
    await settle()
    fake.gate.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await counted(database) == 1


async def test_a_failed_commit_is_rolled_back() -> None:
    database, fake, _ = made()
    await database.script(
        "CREATE TABLE a (id INTEGER PRIMARY KEY);"
        "CREATE TABLE t (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(RivetError, match="FOREIGN KEY constraint failed"):
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
    assert fake.sent[-2:] == ["COMMIT", "ROLLBACK"]
    assert await counted(database) == 0


async def test_closing_refuses_what_waits_and_what_comes() -> None:
    database, fake, _ = made()
    begun = asyncio.Event()

    async def wait() -> None:
        await begun.wait()
        await database.execute("SELECT 1")

    waiting = elsewhere(wait())
    with pytest.raises(RivetError, match=r"sqlite\.closed"):
        async with database.transaction() as transaction:
            begun.set()
            await settle()
            await database.close()
            await transaction.execute("SELECT 1")
    with pytest.raises(RivetError, match=r"sqlite\.closed"):
        await waiting
    assert fake.sent == ["BEGIN"]


async def test_begin_by_hand_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    database, _, _ = made()
    for _ in range(2):
        await database.execute("BEGIN")
        await database.execute("COMMIT")
    assert [record.getMessage() for record in caplog.records] == [
        "BEGIN makes other tasks of the actor fail; use ctx.db.transaction()"
    ]


async def test_a_transaction_by_hand_ends_when_sqlite_ends_it() -> None:
    database, _, _ = made()
    await database.script("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)")
    await database.execute("BEGIN")
    with pytest.raises(RivetError, match=r"sqlite\.constraint_failed"):
        await database.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
    assert await asyncio.create_task(counted(database)) == 1


VALUES = st.none() | st.integers(-3, 3) | st.sampled_from(["a", "b"])
WRITES = st.one_of(
    st.tuples(st.just("INSERT INTO t VALUES (?, ?)"), st.tuples(VALUES, VALUES)),
    st.tuples(st.just("INSERT OR REPLACE INTO t VALUES (?, ?)"), st.tuples(VALUES, VALUES)),
    st.tuples(st.just("UPDATE t SET value = ? WHERE id = ?"), st.tuples(VALUES, VALUES)),
    st.tuples(st.just("DELETE FROM t WHERE id = ? OR value = ?"), st.tuples(VALUES, VALUES)),
)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["alone", "batch", "commit", "fail"]), st.lists(WRITES, max_size=4)), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_blocks_do_what_sqlite_does(
    blocks: list[tuple[str, list[tuple[str, tuple[object, object]]]]],
) -> None:
    asyncio.run(_compare(blocks))


async def _compare(blocks: list[tuple[str, list[tuple[str, tuple[object, object]]]]]) -> None:
    database, _, _ = made()
    model = sqlite3.connect(":memory:", isolation_level=None)
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, value UNIQUE)"
    await database.execute(schema)
    model.execute(schema)
    for kind, writes in blocks:
        expected = _in_model(model, kind, writes)
        assert await _in_database(database, kind, writes) == expected
        rows = (await database.execute("SELECT * FROM t ORDER BY id")).rows
        assert list(rows) == model.execute("SELECT * FROM t ORDER BY id").fetchall()
    model.close()
    await database.close()


def _in_model(model: sqlite3.Connection, kind: str, writes: list[tuple[str, tuple[object, object]]]) -> bool:
    if kind != "alone":
        model.execute("BEGIN")
    try:
        for sql, params in writes:
            model.execute(sql, params)
    except sqlite3.Error:
        if kind != "alone":
            model.execute("ROLLBACK")
        return False
    if kind != "alone":
        model.execute("ROLLBACK" if kind == "fail" else "COMMIT")
    return kind != "fail"


async def _in_database(
    database: Database, kind: str, writes: list[tuple[str, tuple[object, object]]]
) -> bool:
    try:
        if kind == "alone":
            for sql, params in writes:
                await database.execute(sql, params)
        elif kind == "batch":
            await database.execute_batch(writes)
        else:
            async with database.transaction() as transaction:
                for sql, params in writes:
                    await transaction.execute(sql, params)
                if kind == "fail":
                    raise UserError("enough")
    except RivetError:
        return False
    return True
