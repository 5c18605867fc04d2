"""The database of an actor, as its own code sees it, on every host."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit import Context, RivetError, Transaction
from tests.contract.client import RawClient
from tests.contract.programs import inside
from tests.contract.serving import Serving

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, value UNIQUE)"


def refuses(code: str, text: str = "") -> pytest.RaisesExc[RivetError]:
    return pytest.raises(RivetError, match=rf"{code}: .*{text}")


async def test_values_come_back_as_they_were(client: RawClient) -> None:
    values = [None, 0, -(2**63), 2**63 - 1, 0.1, 1e300, "", "häh 🙂", b"\x00\xff", True]

    async def program(ctx: Context) -> None:
        await ctx.db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
        for value in values:
            await ctx.db.execute("INSERT INTO t (value) VALUES (?)", [value])
        rows = await ctx.db.fetch_all("SELECT value, typeof(value) FROM t ORDER BY id")
        assert [row[0] for row in rows] == [*values[:-1], 1]
        kinds = ["null", *["integer"] * 3, *["real"] * 2, *["text"] * 2, "blob", "integer"]
        assert [row[1] for row in rows] == kinds

    await inside(client, program)


async def test_parameters_go_by_position_or_by_name(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        db = ctx.db
        assert await db.fetch_one("SELECT ?, ?2, ?, ?1", [1, 2, 3]) == (1, 2, 3, 1)
        assert await db.fetch_one("SELECT :b, @a, $c, :b", {"a": 1, ":b": 2, "c": 3}) == (2, 1, 3, 2)
        assert await db.fetch_one("SELECT :b, :a, :b", [1, 2]) == (1, 2, 1)
        assert await db.fetch_one("SELECT ':a', \"x\" FROM (SELECT :x AS x) -- :c", {"x": 1}) == (":a", 1)

    await inside(client, program)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        pytest.param("SELECT ?", [], id="missing"),
        pytest.param("SELECT ?", [1, 2], id="too-many"),
        pytest.param("SELECT :a", {}, id="name-missing"),
        pytest.param("SELECT :a", {"a": 1, "b": 2}, id="name-unknown"),
        pytest.param("SELECT ?", [2**63], id="too-large"),
        pytest.param("SELECT ?", [object()], id="no-type"),
        pytest.param("SELECT ?", ["\ud800"], id="surrogate"),
        pytest.param("SELECT ?", ["x" * 131_073], id="too-long"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused(
    client: RawClient, sql: str, params: list[object] | dict[str, object]
) -> None:
    async def program(ctx: Context) -> None:
        with refuses(r"sqlite\.invalid_bind_parameter"):
            await ctx.db.execute(sql, params)

    await inside(client, program)


async def test_a_result_counts_its_own_statement(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        first = await ctx.db.execute("INSERT INTO t (value) VALUES ('a'), ('b')")
        assert (first.changes, first.last_insert_id, first.rows) == (2, 2, [])
        read = await ctx.db.execute("SELECT id AS number FROM t")
        assert (read.changes, read.last_insert_id, read.columns) == (0, None, ("number",))
        updated = await ctx.db.execute("WITH x AS (SELECT 1) UPDATE t SET value = id")
        assert (updated.changes, updated.last_insert_id) == (2, None)
        nothing = await ctx.db.execute("INSERT INTO t SELECT 1, 1 WHERE 0")
        assert (nothing.changes, nothing.last_insert_id) == (0, None)
        returning = await ctx.db.execute("INSERT INTO t (value) VALUES ('c') RETURNING id, value")
        assert (returning.rows, returning.changes) == ([(3, "c")], 1)
        assert (await ctx.db.execute("-- nothing")).rows == []
        assert await ctx.db.fetch_one("SELECT 1 WHERE 0") is None

    await inside(client, program)


@pytest.mark.parametrize(
    ("sql", "code", "text"),
    [
        ("SELEC 1", r"sqlite\.failed", 'near "SELEC": syntax error$'),
        ("SELECT * FROM missing", r"sqlite\.failed", "no such table: missing$"),
        (
            "INSERT INTO t (value) VALUES ('a')",
            r"sqlite\.constraint_failed",
            r"UNIQUE constraint failed: t\.value$",
        ),
        ("SELECT 1; SELECT 2", r"sqlite\.not_allowed", "more than one statement"),
        ("COMMIT", r"sqlite\.failed", "cannot commit - no transaction is active$"),
        ("SAVEPOINT a", r"sqlite\.not_allowed", ""),
        ("ATTACH '/tmp/x' AS x", r"sqlite\.not_allowed", ""),
        ("VACUUM INTO '/tmp/x'", r"sqlite\.not_allowed", ""),
        ("PRAGMA journal_mode = DELETE", r"sqlite\.not_allowed", ""),
        ("CREATE TABLE _Rivet_x (a)", r"sqlite\.not_allowed", ""),
        ('SELECT * FROM main."_rivet_migrations"', r"sqlite\.not_allowed", ""),
        ("SELECT \0", r"sqlite\.failed", "null character"),
        ("SELECT load_extension('x')", r"sqlite\.failed", ""),
    ],
)
async def test_a_refusal_has_the_words_of_sqlite(client: RawClient, sql: str, code: str, text: str) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        await ctx.db.execute("INSERT INTO t (value) VALUES ('a')")
        with refuses(code, text):
            await ctx.db.execute(sql)

    await inside(client, program)


async def test_foreign_keys_hold(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.script("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a)")
        with refuses(r"sqlite\.constraint_failed", "FOREIGN KEY constraint failed"):
            await ctx.db.execute("INSERT INTO b VALUES (1)")

    await inside(client, program)


async def test_a_batch_is_applied_as_a_whole(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        results = await ctx.db.execute_batch(
            ["INSERT INTO t VALUES (1, 'a')", ("SELECT value FROM t WHERE id = ?", [1])]
        )
        assert [result.changes for result in results] == [1, 0]
        assert results[1].rows == [("a",)]
        with refuses(r"sqlite\.constraint_failed", r"UNIQUE constraint failed: t\.value$"):
            await ctx.db.execute_batch(["INSERT INTO t VALUES (2, 'b')", "INSERT INTO t VALUES (3, 'a')"])
        with refuses(r"sqlite\.not_allowed"):
            await ctx.db.execute_batch(["COMMIT"])
        assert await ctx.db.execute_batch([]) == []
        assert await ctx.db.fetch_all("SELECT id FROM t", into=int) == [1]

    await inside(client, program)


async def test_a_script_stops_at_the_first_failure(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.script(
            f"""{TABLE}; -- a comment; with a semicolon
            CREATE TRIGGER g AFTER INSERT ON t BEGIN
                UPDATE t SET value = 'seen;' WHERE id = new.id; SELECT 1;
            END;
            INSERT INTO t VALUES (1, 'a');"""
        )
        assert await ctx.db.fetch_one("SELECT value FROM t", into=str) == "seen;"
        with refuses(r"sqlite\.failed", "no such table: missing"):
            await ctx.db.script("DELETE FROM t; DELETE FROM missing; INSERT INTO t VALUES (2, 'b')")
        assert await ctx.db.fetch_all("SELECT * FROM t") == []
        with refuses(r"sqlite\.not_allowed"):
            await ctx.db.script("BEGIN; COMMIT")

    await inside(client, program)


async def test_a_transaction_commits_at_the_end_of_its_block(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        async with ctx.db.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            await tx.script("SAVEPOINT s; INSERT INTO t VALUES (2, 'b'); ROLLBACK TO s; RELEASE s;")
            assert await tx.fetch_all("SELECT id FROM t", into=int) == [1]
        assert await ctx.db.fetch_all("SELECT id FROM t", into=int) == [1]
        with refuses(r"sqlite\.transaction_closed"):
            await tx.execute("SELECT 1")

    await inside(client, program)


async def test_a_block_that_raises_leaves_nothing(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        with pytest.raises(KeyError):
            async with ctx.db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1, 'a')")
                raise KeyError
        assert await ctx.db.fetch_all("SELECT * FROM t") == []

    await inside(client, program)


async def test_a_cancelled_block_leaves_nothing(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        inserted = asyncio.Event()

        async def work() -> None:
            async with ctx.db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1, 'a')")
                inserted.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inserted.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await ctx.db.fetch_all("SELECT * FROM t") == []

    await inside(client, program)


async def test_a_failed_statement_does_not_end_its_transaction(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        async with ctx.db.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            with refuses(r"sqlite\.constraint_failed"):
                await tx.execute("INSERT INTO t VALUES (2, 'a')")
            await tx.execute("INSERT INTO t VALUES (3, 'c')")
        assert await ctx.db.fetch_all("SELECT id FROM t ORDER BY id", into=int) == [1, 3]

    await inside(client, program)


async def test_nothing_follows_a_transaction_that_sqlite_ended(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        with refuses(r"sqlite\.transaction_terminal"):
            async with ctx.db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1, 'a')")
                with refuses(r"sqlite\.constraint_failed"):
                    await tx.execute("INSERT OR ROLLBACK INTO t VALUES (2, 'a')")
                await tx.execute("INSERT INTO t VALUES (3, 'c')")
        assert await ctx.db.fetch_all("SELECT * FROM t") == []

    await inside(client, program)


async def test_others_wait_for_a_transaction(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute("CREATE TABLE t (id)")

        async def add(tx: Transaction) -> None:
            count = await tx.fetch_one("SELECT count(*) FROM t", into=int)
            await tx.execute("INSERT INTO t VALUES (?)", [count])

        async def work() -> None:
            async with ctx.db.transaction() as tx:
                await add(tx)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(work())
        assert await ctx.db.fetch_all("SELECT id FROM t ORDER BY id", into=int) == list(range(20))

    await inside(client, program)


async def test_a_transaction_inside_of_another_is_refused(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        async with ctx.db.transaction() as tx:
            with refuses(r"sqlite\.nested_transaction"):
                async with ctx.db.transaction():
                    pass
            with refuses(r"sqlite\.nested_transaction"):
                await ctx.db.execute("SELECT 1")
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(ctx.db.fetch_one("SELECT 1"))
            with refuses(r"sqlite\.not_allowed"):
                await tx.execute("COMMIT")
            assert await tx.fetch_one("SELECT 1", into=int) == 1
        assert await ctx.db.fetch_one("SELECT 1", into=int) == 1

    await inside(client, program)


async def test_a_transaction_that_takes_too_long_is_undone(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        with refuses(r"sqlite\.transaction_expired"):
            async with ctx.db.transaction(timeout=0.05) as tx:
                await tx.execute("INSERT INTO t VALUES (1, 'a')")
                await asyncio.Event().wait()
        assert await ctx.db.fetch_all("SELECT * FROM t") == []

    await inside(client, program)


async def test_a_transaction_by_hand_keeps_other_tasks_out(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        await ctx.db.execute("BEGIN IMMEDIATE")
        await ctx.db.execute("INSERT INTO t VALUES (1, 'a')")
        other = asyncio.create_task(ctx.db.fetch_all("SELECT * FROM t"))
        with refuses(r"sqlite\.writer_busy"):
            await other
        with refuses(r"sqlite\.nested_transaction"):
            await ctx.db.execute_batch([])
        await ctx.db.execute("COMMIT")
        assert len(await asyncio.create_task(ctx.db.fetch_all("SELECT * FROM t"))) == 1

        async def forgets() -> None:
            await ctx.db.execute("BEGIN")
            await ctx.db.execute("DELETE FROM t")

        await asyncio.create_task(forgets())
        assert len(await ctx.db.fetch_all("SELECT * FROM t")) == 1

    await inside(client, program)


async def test_the_database_closes_with_its_actor(host: Serving) -> None:
    kept: list[Context] = []

    async def program(ctx: Context) -> None:
        await ctx.db.execute(TABLE)
        await ctx.db.execute("BEGIN")
        await ctx.db.execute("INSERT INTO t VALUES (1, 'a')")
        kept.append(ctx)

    async def look(ctx: Context) -> None:
        assert await ctx.db.fetch_all("SELECT * FROM t") == []

    await inside(host.client, program)
    await host.restart()
    with refuses(r"sqlite\.closed"):
        await kept[0].db.execute("SELECT 1")
    with refuses(r"kv\.closed"):
        await kept[0].kv.get("a")
    await inside(host.client, look)


async def test_migrations_run_once_and_in_order(host: Serving) -> None:
    ran: list[int] = []

    async def by_code(tx: Transaction) -> None:
        ran.append(3)
        await tx.execute("INSERT INTO a VALUES (1, 2)")

    steps = ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y", by_code]

    async def two(ctx: Context) -> None:
        assert await ctx.db.migrate(steps[:2]) == 2

    async def all_of_them(ctx: Context) -> None:
        assert await ctx.db.migrate(steps) == 1
        assert await ctx.db.migrate(steps) == 0
        assert await ctx.db.fetch_all("SELECT x, y FROM a") == [(1, 2)]
        with refuses(r"sqlite\.migration_missing", "version 3"):
            await ctx.db.migrate(steps[:2])

    await inside(host.client, two)
    await host.restart()
    await inside(host.client, all_of_them)
    assert ran == [3]


async def test_a_migration_that_fails_leaves_the_version_before_it(client: RawClient) -> None:
    async def program(ctx: Context) -> None:
        broken = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO missing VALUES (1)"]
        with refuses(r"sqlite\.failed", "no such table: missing"):
            await ctx.db.migrate(broken)
        assert await ctx.db.migrate([broken[0], "CREATE TABLE b (x)"]) == 1

    await inside(client, program)
