"""Strict code's effects on all stores: stored together, seen before that by the actor itself only."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from rivetkit_core.actor.factory import ActionSpec, QueueSpec
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, StorageError, UserError, error
from rivetkit_core.host.embedded.databases import Databases, FileMedium
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, call, failure_of

Program = Callable[[Scripted], Awaitable[object]]

INTERVAL = 10.0
FAR = 4_000_000_000_000


async def nothing(actor: Scripted) -> object:
    return None


async def every_store(actor: Scripted) -> object:
    context = actor.context
    await context.database.execute("INSERT INTO t VALUES (1)")
    await context.kv.put({b"key": b"value"})
    await context.queue.send("jobs", b"job")
    await context.schedule.at(FAR, "relaxed")
    actor.state = 1
    return None


class Made(Protocol):
    def __call__(
        self, strict: Program, relaxed: Program = nothing, /, *, timeout: float | None = None
    ) -> World: ...


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[Made]:
    """Makes one actor with a database in a file."""
    databases = Databases(FileMedium(tmp_path), threads=0)
    yield partial(made, databases)
    await databases.close()


def made(
    databases: Databases, strict: Program, relaxed: Program = nothing, *, timeout: float | None = None
) -> World:
    """Two actions, ``strict`` and ``relaxed``, and a table ``t`` with one column."""

    async def migrate(actor: Scripted) -> None:
        await actor.context.database.execute("CREATE TABLE IF NOT EXISTS t (a)")

    async def run_strict(actor: Scripted, _args: list[object]) -> object:
        return await strict(actor)

    async def run_relaxed(actor: Scripted, _args: list[object]) -> object:
        return await relaxed(actor)

    return World(
        Script(
            actions={"strict": run_strict, "relaxed": run_relaxed},
            specs={"strict": ActionSpec(durability="strict", timeout=timeout)},
            hooks={"on_migrate": migrate},
            queues={"jobs": QueueSpec()},
            config=ActorConfig(state_save_interval=INTERVAL),
        ),
        databases=databases,
    )


async def found(one: World, path: Path) -> tuple[object, int, int, int, int]:
    """State, values, messages, one-shots and rows, as a crash at this moment would leave them."""
    records = one.store.records[one.ACTOR_ID]
    record = await one.stored()
    assert record is not None
    return (
        await one.stored_state(),
        sum(key[:1] == b"\x04" for key in records),
        sum(key[:3] == b"\x05\x01\x02" for key in records),
        len(record.scheduled_events),
        committed_rows(path),
    )


def committed_rows(path: Path) -> int:
    """Rows a crash would leave: another connection sees nothing of what is open."""
    with closing(sqlite3.connect(path / f"{World.ACTOR_ID}.db")) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


NOTHING = (0, 0, 0, 0, 0)
EVERYTHING = (1, 1, 1, 1, 1)


async def test_every_store_changes_with_the_answer(world: Made, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await gate.wait()
        return None

    one = world(program)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    assert await found(one, tmp_path) == NOTHING
    gate.set()
    await calling
    assert await found(one, tmp_path) == EVERYTHING


async def test_a_timer_does_not_part_an_action(world: Made, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await gate.wait()
        return None

    one = world(program)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await one.clock.advance(2 * INTERVAL)
    assert await found(one, tmp_path) == NOTHING
    gate.set()
    await calling
    assert await found(one, tmp_path) == EVERYTHING


async def test_what_a_failed_action_did_is_stored_together_before_its_error_is_seen(
    world: Made, tmp_path: Path
) -> None:
    async def program(actor: Scripted) -> object:
        await every_store(actor)
        raise UserError("no")

    one = world(program)
    task = await one.started()
    assert (await failure_of(call(task, "strict"))).code == "user_error"
    assert await found(one, tmp_path) == EVERYTHING


async def test_a_cancelled_action_is_stored_together_with_the_next_save(world: Made, tmp_path: Path) -> None:
    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await asyncio.Event().wait()
        return None

    one = world(program, timeout=5.0)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await one.clock.advance(5.0)
    assert (await failure_of(calling)).code == "action_timed_out"
    assert await found(one, tmp_path) == EVERYTHING


async def test_a_generation_that_ends_stores_what_waits(world: Made, tmp_path: Path) -> None:
    one = world(every_store)
    task = await one.started()
    one.store.hold_writes()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    one.store.release_writes()
    await calling
    await stopping
    assert await found(one, tmp_path) == EVERYTHING


async def test_a_crash_before_the_save_leaves_nothing(world: Made, tmp_path: Path) -> None:
    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await asyncio.Event().wait()
        return None

    one = world(program)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await task.kill()
    await asyncio.wait([calling])
    calling.exception()
    assert await found(one, tmp_path) == NOTHING
    again = await one.started()
    await call(again, "relaxed")
    assert one.instance.state == 0


async def test_a_failed_save_is_tried_again_with_everything(world: Made, tmp_path: Path) -> None:
    one = world(every_store, every_store)
    task = await one.started()
    for _ in ("the note of the alarm", "the save"):
        one.store.fail_next(error("storage.unavailable"))
    with pytest.raises(StorageError):
        await call(task, "strict")
    await one.clock.advance(0.1)
    assert await found(one, tmp_path) == EVERYTHING


async def test_statements_of_other_code_store_what_waits_first(world: Made, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await gate.wait()
        return None

    async def relaxed(actor: Scripted) -> object:
        await actor.context.database.execute("INSERT INTO t VALUES (2)")
        return None

    one = world(program, relaxed)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await call(task, "relaxed")
    assert await found(one, tmp_path) == (1, 1, 1, 1, 2)
    gate.set()
    await calling


async def test_strict_code_reads_what_waits(world: Made) -> None:
    async def program(actor: Scripted) -> object:
        context = actor.context
        await every_store(actor)
        await context.kv.put({b"a": b"1", b"c": b"3", b"b": b"2"})
        await context.kv.delete([b"key"])
        await context.kv.delete_range(b"c", b"d")
        rows = (await context.database.execute("SELECT a FROM t")).rows
        listed = await context.kv.list(b"", reverse=True, limit=1)
        return [
            len(rows),
            [list(pair) for pair in listed],
            await context.queue.size(),
            len(context.schedule.list()),
        ]

    one = world(program)
    task = await one.started()
    writes = one.store.writes
    assert await call(task, "strict") == [1, [[b"b", b"2"]], 1, 1]
    assert one.store.writes == writes + len(["the note of the alarm", "the save"])


async def test_a_listing_with_a_limit_is_made_of_both(world: Made) -> None:
    async def before(actor: Scripted) -> object:
        await actor.context.kv.put({name: b"old" for name in (b"a", b"c", b"e")})
        return None

    async def program(actor: Scripted) -> object:
        kv = actor.context.kv
        await kv.delete([b"a"])
        await kv.put({b"b": b"new", b"f": b"new"})
        return [[key for key, _ in await kv.list(b"", limit=limit)] for limit in range(5)]

    one = world(program, before)
    task = await one.started()
    await call(task, "relaxed")
    keys = [b"b", b"c", b"e", b"f"]
    assert await call(task, "strict") == [keys[:limit] for limit in range(5)]


async def test_a_block_that_raises_takes_back_only_itself(world: Made, tmp_path: Path) -> None:
    async def program(actor: Scripted) -> object:
        database = actor.context.database
        await database.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(UserError):
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO t VALUES (2)")
                raise UserError("no")
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (3)")
        return [list(row) for row in (await database.execute("SELECT a FROM t")).rows]

    one = world(program)
    task = await one.started()
    assert await call(task, "strict") == [[1], [3]]
    assert committed_rows(tmp_path) == 2


async def test_a_save_waits_for_the_block_of_another_action(world: Made, tmp_path: Path) -> None:
    gate = asyncio.Event()
    first = True

    async def program(actor: Scripted) -> object:
        nonlocal first
        if not first:
            actor.state = 5
            return None
        first = False
        async with actor.context.database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
            actor.state = 4
            await gate.wait()
        return None

    one = world(program)
    task = await one.started()
    slow = asyncio.create_task(call(task, "strict"))
    await settle()
    quick = asyncio.create_task(call(task, "strict"))
    await settle()
    assert not quick.done()
    assert (await one.stored_state(), committed_rows(tmp_path)) == (0, 0)
    gate.set()
    await quick
    assert (await one.stored_state(), committed_rows(tmp_path)) == (5, 1)
    await slow


@pytest.mark.parametrize("leave", ["save", "call"])
async def test_nothing_leaves_from_inside_of_a_block(leave: str, world: Made) -> None:
    async def program(actor: Scripted) -> object:
        async with actor.context.database.transaction():
            if leave == "save":
                await actor.context.save_state()
            else:
                await actor.context.access.create("other", (), input=None, region=None)
        return None

    one = world(program)
    task = await one.started()
    assert (await failure_of(call(task, "strict"))).code == "transaction_open"


async def test_a_statement_that_is_cancelled_ends_and_undoes_nothing_of_others(tmp_path: Path) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n"

    async def program(actor: Scripted) -> object:
        database = actor.context.database
        await database.execute("INSERT INTO t VALUES (1)")
        slowly = asyncio.create_task(database.execute(f"INSERT INTO t {many}"))
        await settle()
        slowly.cancel()
        await asyncio.wait([slowly])
        return slowly.cancelled()

    databases = Databases(FileMedium(tmp_path), threads=1)
    assert await call(await made(databases, program).started(), "strict") is True
    assert committed_rows(tmp_path) == 200_001
    await databases.close()


async def test_what_could_undo_the_work_of_others_runs_by_itself(world: Made, tmp_path: Path) -> None:
    async def program(actor: Scripted) -> object:
        database = actor.context.database
        await database.execute("CREATE UNIQUE INDEX one ON t (a)")
        await database.execute("INSERT INTO t VALUES (1)")
        failure = await failure_of(database.execute("INSERT OR ROLLBACK INTO t VALUES (1)"))
        return failure.code

    one = world(program)
    task = await one.started()
    assert await call(task, "strict") == "constraint_failed"
    assert committed_rows(tmp_path) == 1
    assert one.host.crashes == []


async def test_constraints_that_are_checked_at_the_commit_are_checked_for_whoever_breaks_them(
    world: Made,
) -> None:
    async def program(actor: Scripted) -> object:
        database = actor.context.database
        await database.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        await database.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")

        async def broken() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO c VALUES (1)")

        codes = [(await failure_of(database.execute("INSERT INTO c VALUES (1)"))).code]
        return [*codes, (await failure_of(broken())).code]

    one = world(program)
    task = await one.started()
    assert await call(task, "strict") == ["constraint_failed", "constraint_failed"]


async def test_an_actor_whose_waiting_work_sqlite_undid_goes_back_to_its_storage(
    world: Made, tmp_path: Path
) -> None:
    async def program(actor: Scripted) -> object:
        database = actor.context.database
        await database.script(
            "CREATE TRIGGER never BEFORE INSERT ON t WHEN new.a = 13 "
            "BEGIN SELECT CASE WHEN 1 THEN RAISE(ROLLBACK, 'no') END; END"
        )
        await every_store(actor)
        await failure_of(database.execute("INSERT INTO t VALUES (13)"))
        return None

    one = world(program)
    task = await one.started()
    with pytest.raises(StorageError):
        await call(task, "strict")
    assert len(one.host.crashes) == 1
    await one.clock.advance(2 * INTERVAL)
    assert await found(one, tmp_path) == NOTHING
    with pytest.raises(RivetError):
        await call(task, "strict")
    await task.kill()
    await one.started()
    assert one.instance.state == 0


async def test_receivers_are_woken_when_a_message_is_stored(world: Made) -> None:
    gate = asyncio.Event()

    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await gate.wait()
        return None

    async def receive(actor: Scripted) -> object:
        received = await actor.context.queue.next()
        assert received is not None
        return received.body

    one = world(program, receive)
    task = await one.started()
    receiving = asyncio.create_task(call(task, "relaxed"))
    await settle()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    assert not receiving.done()
    gate.set()
    await calling
    assert await receiving == b"job"


async def test_a_completion_is_stored_with_what_was_done_for_the_message(world: Made, tmp_path: Path) -> None:
    async def send(actor: Scripted) -> object:
        await actor.context.queue.send("jobs", b"job")
        return None

    async def program(actor: Scripted) -> object:
        received = await actor.context.queue.next(completable=True)
        assert received is not None
        actor.state = 7
        await actor.context.database.execute("INSERT INTO t VALUES (1)")
        one.store.hold_writes()
        completing = asyncio.create_task(received.complete(None))
        await settle()
        assert not completing.done()
        assert (await found(one, tmp_path))[:3] == (0, 0, 1)
        one.store.release_writes()
        await completing
        assert (await found(one, tmp_path)) == (7, 0, 0, 0, 1)
        return None

    one = world(program, send)
    task = await one.started()
    await call(task, "relaxed")
    await call(task, "strict")


async def test_a_message_is_deleted_before_strict_code_has_it(world: Made, tmp_path: Path) -> None:
    async def send(actor: Scripted) -> object:
        await actor.context.queue.send("jobs", b"job")
        return None

    async def program(actor: Scripted) -> object:
        await actor.context.queue.next()
        return (await found(one, tmp_path))[2]

    one = world(program, send)
    task = await one.started()
    await call(task, "relaxed")
    assert await call(task, "strict") == 0


async def test_what_strict_code_plans_fires_after_it_was_stored(world: Made) -> None:
    fired: list[object] = []
    gate = asyncio.Event()

    async def program(actor: Scripted) -> object:
        await actor.context.schedule.after(0, "relaxed")
        actor.state = 3
        await gate.wait()
        return None

    async def relaxed(actor: Scripted) -> object:
        fired.append(await one.stored_state())
        return None

    one = world(program, relaxed)
    task = await one.started()
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await one.clock.advance(1.0)
    assert fired == []
    gate.set()
    await calling
    await one.clock.advance(0.0)
    await settle()
    assert fired == [3]


async def test_the_alarm_is_set_before_the_answer_and_taken_back_after_the_save(world: Made) -> None:
    ids: list[str] = []

    async def program(actor: Scripted) -> object:
        schedule = actor.context.schedule
        if not ids:
            ids.append(await schedule.at(FAR, "relaxed"))
        else:
            await schedule.cancel(ids[0])
        return one.alarm.pushes[-1]

    one = world(program)
    task = await one.started()
    assert await call(task, "strict") == FAR
    assert await call(task, "strict") == FAR
    await settle()
    assert one.alarm.pushes[-1] is None


async def test_a_claim_stores_what_waits_first(world: Made, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def plan(actor: Scripted) -> object:
        if not actor.context.schedule.list():
            await actor.context.schedule.after(1000, "relaxed")
        return None

    async def program(actor: Scripted) -> object:
        await every_store(actor)
        await gate.wait()
        return None

    one = world(program, plan)
    task = await one.started()
    await call(task, "relaxed")
    calling = asyncio.create_task(call(task, "strict"))
    await settle()
    await one.clock.advance(1.0)
    await settle()
    assert (await found(one, tmp_path))[1:] == (1, 1, 1, 1)
    gate.set()
    await calling
