"""The files of actors' databases: how many are open, and what statements cannot reach."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.databases import Databases, FileMedium, MemoryMedium
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import MAX_SQL_RESULT, ActorDatabase, SqlStatement
from rivetkit_core.testing.store import MemoryStorage

ENDLESS = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT count(*) FROM a"


@asynccontextmanager
async def pool(path: Path, *, max_open: int = 2) -> AsyncGenerator[Databases]:
    databases = Databases(FileMedium(path / "databases"), max_open=max_open)
    try:
        yield databases
    finally:
        await databases.close()


async def run(database: ActorDatabase, sql: str) -> list[tuple[object, ...]]:
    return list((await database.execute(SqlStatement(sql))).rows)


async def test_nothing_is_made_before_the_first_statement(tmp_path: Path) -> None:
    async with pool(tmp_path) as databases:
        database = databases.database("a", MemoryStorage())
        await database.close()
        directory = tmp_path / "databases"
        assert not directory.exists()
        await run(database, "CREATE TABLE t (a)")
        assert (directory / "a.db").exists()


async def test_the_file_used_least_recently_is_closed_first(tmp_path: Path) -> None:
    async with pool(tmp_path) as databases:
        opened = [databases.database(name, MemoryStorage()) for name in "abc"]
        for database in opened:
            await run(database, "CREATE TABLE t (a)")
            assert databases.open_count <= 2
        assert {path.name for path in (tmp_path / "databases").glob("*-wal")} == {"b.db-wal", "c.db-wal"}
        assert await run(opened[0], "SELECT * FROM t") == []
        assert databases.open_count == 2


@pytest.mark.parametrize(
    "statement",
    ["BEGIN", "CREATE TEMP TABLE kept (a)", "PRAGMA recursive_triggers = ON"],
    ids=["transaction", "temporary-table", "setting"],
)
async def test_a_file_in_use_is_not_closed(tmp_path: Path, statement: str) -> None:
    async with pool(tmp_path, max_open=1) as databases:
        first = databases.database("a", MemoryStorage())
        await run(first, statement)
        for name in "bc":
            await run(databases.database(name, MemoryStorage()), "CREATE TABLE t (a)")
        assert databases.open_count >= 1
        if statement == "BEGIN":
            assert await first.in_transaction()
            await run(first, "COMMIT")
        elif statement.startswith("CREATE"):
            assert await run(first, "SELECT * FROM kept") == []
        else:
            assert await run(first, "PRAGMA recursive_triggers") == [(1,)]


async def test_a_file_with_a_statement_under_way_is_not_closed(tmp_path: Path) -> None:
    async with pool(tmp_path, max_open=1) as databases:
        endless = asyncio.create_task(run(databases.database("a", MemoryStorage()), ENDLESS))
        await run(databases.database("b", MemoryStorage()), "CREATE TABLE t (a)")
        assert not endless.done()
        endless.cancel()
        await asyncio.wait([endless])
        assert endless.cancelled()


async def test_a_cancelled_statement_has_ended_before_the_next_begins(tmp_path: Path) -> None:
    async with pool(tmp_path) as databases:
        database = databases.database("a", MemoryStorage())
        await run(database, "CREATE TABLE t (a)")
        endless = asyncio.create_task(run(database, f"INSERT INTO t {ENDLESS}"))
        await asyncio.wait([endless], timeout=0.05)
        endless.cancel()
        assert await run(database, "SELECT count(*) FROM t") == [(0,)]
        assert endless.cancelled()


async def test_a_statement_that_waits_for_a_thread_can_be_cancelled(tmp_path: Path) -> None:
    databases = Databases(FileMedium(tmp_path / "databases"), threads=1)
    for name in "ab":
        await run(databases.database(name, MemoryStorage()), "SELECT 1")
    endless = [asyncio.create_task(run(databases.database(name, MemoryStorage()), ENDLESS)) for name in "ab"]
    await asyncio.wait(endless, timeout=0.05)
    for task in reversed(endless):
        task.cancel()
    await asyncio.wait(endless)
    assert all(task.cancelled() for task in endless)
    assert await run(databases.database("b", MemoryStorage()), "SELECT 1") == [(1,)]
    await databases.close()


async def test_closing_rolls_back_and_the_next_generation_starts_afresh(tmp_path: Path) -> None:
    async with pool(tmp_path) as databases:
        first = databases.database("a", MemoryStorage())
        await run(first, "CREATE TABLE t (a)")
        await run(first, "BEGIN")
        await run(first, "INSERT INTO t VALUES (1)")
        await first.close()
        assert await run(databases.database("a", MemoryStorage()), "SELECT * FROM t") == []


async def test_a_database_in_memory_outlives_its_connection() -> None:
    databases = Databases(MemoryMedium(), max_open=1, threads=0)
    first = databases.database("a", MemoryStorage())
    await run(first, "CREATE TABLE t (a)")
    await run(first, "INSERT INTO t VALUES (1)")
    await run(databases.database("b", MemoryStorage()), "SELECT 1")
    assert await run(first, "SELECT * FROM t") == [(1,)]
    await run(first, "BEGIN")
    await run(first, "DELETE FROM t")
    await databases.close()
    assert await run(first, "SELECT * FROM t") == [(1,)]
    await databases.delete("a")
    assert await run(first, "SELECT count(*) FROM sqlite_master") == [(0,)]


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{other}' AS other",
        "ATTACH (SELECT '{other}') AS other",
        "VACUUM INTO '{other}'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_journal_mode",
        "SELECT load_extension('{other}')",
        "SELECT readfile('{other}')",
        "SELECT writefile('{other}', 'x')",
    ],
)
async def test_sqlite_itself_keeps_an_actor_in_its_file(tmp_path: Path, sql: str) -> None:
    other = tmp_path / "databases" / "other.db"
    async with pool(tmp_path) as databases:
        await run(databases.database("other", MemoryStorage()), "CREATE TABLE secret (a)")
        await databases.release("other")
        before = other.read_bytes()
        with pytest.raises(
            RivetError, match=r"sqlite\.failed: .*(not authorized|denied|prohibited|no such function)"
        ):
            await run(databases.database("a", MemoryStorage()), sql.format(other=other))
        assert other.read_bytes() == before


async def test_a_database_may_be_vacuumed(tmp_path: Path) -> None:
    async with pool(tmp_path) as databases:
        await run(databases.database("a", MemoryStorage()), "VACUUM")


async def test_a_result_has_a_bound(tmp_path: Path) -> None:
    rows = MAX_SQL_RESULT // 1_000_000 + 2
    many = f"WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a LIMIT {rows})"
    async with pool(tmp_path) as databases:
        database = databases.database("a", MemoryStorage())
        with pytest.raises(RivetError, match=r"sqlite\.result_too_large"):
            await run(database, f"{many} SELECT zeroblob(1000000) FROM a")
        assert await run(database, "SELECT 1") == [(1,)]


async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "databases" / "a.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    async with pool(tmp_path) as databases:
        with pytest.raises(RivetError, match=r"sqlite\.unavailable: .*not a database"):
            await run(databases.database("a", MemoryStorage()), "SELECT 1")
    assert path.read_bytes() == b"not a database" * 100


async def test_statements_of_many_actors_run_beside_each_other(tmp_path: Path) -> None:
    async with pool(tmp_path, max_open=4) as databases:

        async def work(name: str) -> list[tuple[object, ...]]:
            database = databases.database(name, MemoryStorage())
            await run(database, "CREATE TABLE t (a)")
            for number in range(5):
                await run(database, f"INSERT INTO t VALUES ({number})")
            return await run(database, "SELECT count(*) FROM t")

        names = [f"actor{number}" for number in range(12)]
        assert await asyncio.gather(*map(work, names)) == [[(5,)]] * 12
        assert databases.open_count <= 4
        assert sum("rivetkit-sql" in thread.name for thread in threading.enumerate()) <= 4


async def test_a_destroyed_actor_leaves_no_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    row = ActorRow(actor_id="a", name="n", key=("k",), namespace="default", create_ts=1)
    await store.create_actor(row, {})
    await run(store.database("a"), "CREATE TABLE t (a)")
    assert list((tmp_path / "databases").iterdir()) != []
    await store.mark_destroyed("a", 2)
    assert list((tmp_path / "databases").iterdir()) == []
    await store.close()


async def test_a_closed_store_leaves_whole_files(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    await run(store.database("a"), "CREATE TABLE t (a)")
    await store.close()
    assert [path.name for path in (tmp_path / "databases").iterdir()] == ["a.db"]
    connection = sqlite3.connect(tmp_path / "databases" / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()


async def test_files_of_destroyed_actors_are_removed_when_the_store_opens(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    for name in "ab":
        row = ActorRow(actor_id=name, name="n", key=(name,), namespace="default", create_ts=1)
        await store.create_actor(row, {})
        await run(store.database(name), "CREATE TABLE t (a)")
    await store.mark_destroyed("a", 2)
    await store.close()
    (tmp_path / "databases" / "a.db").write_bytes(b"left by a crash")
    (tmp_path / "databases" / "a.db-wal").write_bytes(b"left by a crash")
    await store.open()
    assert [path.name for path in (tmp_path / "databases").iterdir()] == ["b.db"]
    await store.close()
