"""The database of an actor on an engine whose connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rivetkit_core.actor.database import Database
from rivetkit_core.errors import RivetError
from rivetkit_core.testing import settle
from rivetkit_core.wire.envoy.messages import Stopped
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import World, running

Program = Callable[[Database], Awaitable[object]]


class Given:
    """What the actor runs next, and how it ended."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.failure: Exception | None = None

    @property
    def script(self) -> Script:
        return Script(actions={"go": self._go})

    async def _go(self, actor: Scripted, _args: list[object]) -> object:
        try:
            await self.program(actor.context.database)
        except Exception as failure:
            self.failure = failure
            raise
        return None


def rows(world: World, actor_id: str) -> list[tuple[object, ...]]:
    return list(world.engine.actors[actor_id].sql.query("SELECT * FROM t"))


async def test_a_transaction_does_not_outlive_its_connection() -> None:
    broken, mended = asyncio.Event(), asyncio.Event()

    async def program(database: Database) -> None:
        await database.execute("CREATE TABLE t (a)")
        with pytest.raises(RivetError, match=r"sqlite\.transaction_connection_lost"):
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO t VALUES (1)")
                broken.set()
                await mended.wait()
                await transaction.execute("INSERT INTO t VALUES (2)")
        await database.execute("INSERT INTO t VALUES (3)")

    given = Given(program)
    async with running(given.script) as world:
        actor_id = await world.create()
        calling = asyncio.create_task(world.call(actor_id, "go"))
        await broken.wait()
        world.engine.faults.drop()
        await world.clock.advance(0.25)
        mended.set()
        await calling
        assert given.failure is None
        assert rows(world, actor_id) == [(3,)]


@pytest.mark.parametrize("statement", ["INSERT INTO t VALUES (1)", "COMMIT"])
async def test_a_lost_answer_is_neither_success_nor_failure(statement: str) -> None:
    at_it, held = asyncio.Event(), asyncio.Event()

    async def program(database: Database) -> None:
        await database.execute("CREATE TABLE t (a)")
        if statement == "COMMIT":
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO t VALUES (1)")
                at_it.set()
                await held.wait()
        at_it.set()
        await held.wait()
        await database.execute(statement)

    given = Given(program)
    async with running(given.script) as world:
        actor_id = await world.create()
        calling = asyncio.create_task(world.call(actor_id, "go"))
        await at_it.wait()
        world.engine.faults.hold_answers()
        held.set()
        await settle()
        world.engine.faults.drop()
        world.engine.faults.release_answers()
        await world.clock.advance(0.25)
        await calling
        assert isinstance(given.failure, RivetError)
        assert given.failure.code == "remote_indeterminate_result"
        assert rows(world, actor_id) == [(1,)]


async def test_a_transaction_that_sqlite_ended_is_noticed_from_afar() -> None:
    async def program(database: Database) -> None:
        await database.script("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)")
        with pytest.raises(RivetError, match=r"sqlite\.transaction_terminal"):
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO t VALUES (2)")
                with pytest.raises(RivetError, match=r"sqlite\.constraint_failed"):
                    await transaction.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
                await transaction.execute("INSERT INTO t VALUES (3)")

    given = Given(program)
    async with running(given.script) as world:
        actor_id = await world.create()
        await world.call(actor_id, "go")
        assert given.failure is None
        assert rows(world, actor_id) == [(1,)]


async def test_a_generation_whose_database_a_newer_one_has_ends_without_saving() -> None:
    async def program(database: Database) -> None:
        await database.execute("CREATE TABLE t (a)")
        [actor] = world.engine.actors.values()
        actor.generation += 1
        with pytest.raises(RivetError, match=r"sqlite\.remote_fence_mismatch"):
            await database.execute("INSERT INTO t VALUES (1)")
        actor.generation -= 1

    given = Given(program)
    async with running(given.script) as world:
        actor_id = await world.create()
        await world.call(actor_id, "go")
        await settle()
        assert given.failure is None
        assert isinstance(world.events_of(actor_id)[-1], Stopped)
        assert rows(world, actor_id) == []
