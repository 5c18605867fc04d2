"""Where the records of an actor are, and what it costs to find out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from rivetkit_core.errors import StorageError
from rivetkit_core.host.engine.kv import KvStorage
from rivetkit_core.host.engine.layout import NOTE_KEY, PRELOADED_KEYS, open_storage
from rivetkit_core.host.engine.tables.storage import TableStorage
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.testing import settle
from rivetkit_core.testing.engine import ActorState
from rivetkit_core.wire import cbor
from rivetkit_core.wire.envoy.messages import (
    KvGet,
    KvMetadata,
    KvPut,
    KvRequest,
    PreloadedEntry,
    PreloadedKv,
    SqlExecute,
    SqlExecuteBatch,
    SqlStatement,
    StopIntent,
)
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, decode_actor, encode_actor
from tests.engine_tables import EngineTables, setup
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import World, running

SNAPSHOT = encode_actor(ActorRecord(None, True, cbor.encode(1)))
STATE = SqlStatement("INSERT INTO _rivet_actor_state VALUES (1, ?)", (cbor.encode(2),))
TOKEN = SqlStatement("INSERT INTO _rivet_runtime VALUES (1, NULL, 'token', 1)")
TAKEN_OVER = (*setup(), SqlStatement("INSERT INTO _rivet_actor VALUES (1, 1, NULL)"), STATE, TOKEN)


async def opened(tables: EngineTables, preloaded: PreloadedKv | None = None) -> ActorStorage:
    return await open_storage(tables, tables.database(), preloaded)


async def state(storage: ActorStorage) -> object:
    return cbor.decode(decode_actor((await storage.load([ACTOR_KEY]))[ACTOR_KEY]).state)


async def ran(tables: EngineTables, generation: int) -> None:
    """A generation of this runtime that saved."""
    tables.generation = generation
    await (await opened(tables)).apply({ACTOR_KEY: SNAPSHOT})
    tables.asked.clear()


@asynccontextmanager
async def engine(*statements: SqlStatement, generation: int) -> AsyncGenerator[EngineTables]:
    tables = EngineTables(statements, generation=generation)
    try:
        yield tables
    finally:
        tables.sql.close()


async def test_the_first_generation_looks_nowhere() -> None:
    async with engine(generation=1) as tables:
        assert isinstance(await opened(tables), KvStorage)
        assert tables.asked == []


async def test_who_follows_a_generation_of_this_runtime_does_not_look_into_the_database() -> None:
    async with engine(generation=1) as tables:
        await ran(tables, 1)
        tables.generation = 2
        assert await state(await opened(tables)) == 1
        assert tables.asked == []


async def test_the_first_write_says_who_made_it() -> None:
    async with engine(generation=3) as tables:
        storage = await opened(tables)
        await storage.apply({ACTOR_KEY: SNAPSHOT})
        first = tables.stored[NOTE_KEY]
        tables.stored.pop(NOTE_KEY)
        await storage.apply({ACTOR_KEY: SNAPSHOT})
        assert NOTE_KEY not in tables.stored
        assert first == b"\x01\x00\x03\x00\x00\x00"


async def test_a_write_that_is_full_leaves_the_note_to_a_later_one() -> None:
    async with engine(generation=1) as tables:
        storage = await opened(tables)
        await storage.apply({bytes([9, number]): b"" for number in range(128)})
        assert NOTE_KEY not in tables.stored
        await storage.apply({b"k": b""})
        assert NOTE_KEY in tables.stored


async def test_a_generation_in_between_may_have_been_another_runtimes() -> None:
    async with engine(generation=1) as tables:
        await ran(tables, 1)
        for statement in TAKEN_OVER:
            tables.sql.execute(statement)
        tables.generation = 3
        storage = await opened(tables)
        assert isinstance(storage, TableStorage)
        assert await state(storage) == 2


async def test_a_generation_in_between_that_wrote_nothing_costs_one_look() -> None:
    async with engine(generation=1) as tables:
        await ran(tables, 1)
        tables.generation = 3
        assert await state(await opened(tables)) == 1
        assert len(tables.asked) == 1


async def test_a_note_that_cannot_be_read_is_none() -> None:
    async with engine(*TAKEN_OVER, generation=2) as tables:
        tables.stored[NOTE_KEY] = b"\x02\x00\x01\x00\x00\x00"
        assert isinstance(await opened(tables), TableStorage)


async def test_an_actor_without_records_in_kv_is_looked_for_in_its_tables() -> None:
    async with engine(*TAKEN_OVER, generation=2) as tables:
        assert await state(await opened(tables)) == 2


@pytest.mark.parametrize("imported", [None, b"importing"])
async def test_while_the_copy_is_not_complete_the_records_in_kv_are_the_truth(imported: bytes | None) -> None:
    async with engine(*setup(imported), generation=2) as tables:
        tables.stored[ACTOR_KEY] = SNAPSHOT
        assert await state(await opened(tables)) == 1


@pytest.mark.parametrize(("imported", "version"), [(b"done", 3), (b"done", 0), (b"undone", 1)])
async def test_tables_of_an_unknown_kind_end_the_start(imported: bytes, version: int) -> None:
    async with engine(*setup(imported, version), generation=2) as tables:
        tables.stored[ACTOR_KEY] = SNAPSHOT
        with pytest.raises(StorageError, match="Actor actor was run by another RivetKit runtime") as refused:
            await opened(tables)
        assert refused.value.code == "unknown_layout"
        assert tables.stored == {ACTOR_KEY: SNAPSHOT}


async def test_what_came_with_the_start_is_enough() -> None:
    async with engine(generation=1) as tables:
        await ran(tables, 1)
        tables.generation = 2
        entries = tuple(
            PreloadedEntry(key, value, KvMetadata(b"", 0)) for key, value in tables.stored.items()
        )
        tables.stored.clear()
        storage = await opened(tables, PreloadedKv(entries, PRELOADED_KEYS, ()))
        assert await state(storage) == 1
        assert tables.asked == []


# --- as the engine sees it --------------------------------------------------------------------------


async def _add(actor: Scripted, args: list[object]) -> object:
    assert isinstance(actor.state, int)
    actor.state += int(str(args[0]))
    return actor.state


ADDING = Script(actions={"add": _add})


def requests(world: World) -> list[type[object]]:
    """What was asked of storage, in order."""
    return [
        type(message.data) if isinstance(message, KvRequest) else type(message)
        for message in world.engine.received
        if isinstance(message, KvRequest | SqlExecute | SqlExecuteBatch)
    ]


async def asleep(world: World, actor_id: str) -> None:
    world.engine.sleep_actor(actor_id)
    await world.engine.reached(actor_id, ActorState.ASLEEP)


async def test_a_life_in_kv_asks_no_more_than_it_has_to() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 1)
        await asleep(world, actor_id)
        created = requests(world)
        assert created == [KvGet, KvPut, KvPut]
        assert await world.call(actor_id, "add", 1) == 2
        woken = requests(world)[len(created) :]
        assert woken.count(KvGet) == 1
        assert not {SqlExecute, SqlExecuteBatch} & set(woken)


async def test_an_actor_of_another_runtime_goes_on_in_its_tables() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await asleep(world, actor_id)
        sql = world.engine.actors[actor_id].sql
        for statement in TAKEN_OVER:
            sql.execute(statement)
        world.engine.actors[actor_id].generation += 1
        kept = dict(world.engine.actors[actor_id].kv.records)
        assert await world.call(actor_id, "add", 5) == 7
        await asleep(world, actor_id)
        assert sql.query("SELECT state FROM _rivet_actor_state") == [(cbor.encode(7),)]
        assert world.engine.actors[actor_id].kv.records == kept


async def test_a_transaction_that_on_sleep_left_open_does_not_keep_the_state_from_the_tables() -> None:
    async def begin(actor: Scripted) -> None:
        await actor.context.database.execute("CREATE TABLE IF NOT EXISTS notes (text)")
        await actor.context.database.execute("BEGIN")
        await actor.context.database.execute("INSERT INTO notes VALUES ('lost')")
        await _add(actor, [1])

    async with running(Script(actions={"add": _add}, hooks={"on_sleep": begin})) as world:
        actor_id = await world.create()
        await asleep(world, actor_id)
        sql = world.engine.actors[actor_id].sql
        for statement in TAKEN_OVER:
            sql.execute(statement)
        world.engine.actors[actor_id].generation += 1
        assert await world.call(actor_id, "add", 5) == 7
        await asleep(world, actor_id)
        assert sql.query("SELECT state FROM _rivet_actor_state") == [(cbor.encode(8),)]
        assert sql.query("SELECT * FROM notes") == []


async def test_an_actor_whose_tables_are_not_understood_is_neither_started_nor_destroyed() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await asleep(world, actor_id)
        actor = world.engine.actors[actor_id]
        for statement in setup(version=9):
            actor.sql.execute(statement)
        actor.kv.records.clear()
        assert await world.call(actor_id, "add", 5) == "storage.unknown_layout"
        await settle()
        await world.clock.advance(10.0)
        assert StopIntent() not in world.events_of(actor_id)
        assert actor.kv.records == {}


async def test_an_actor_of_another_runtime_with_an_unknown_name_is_not_destroyed() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await asleep(world, actor_id)
        actor = world.engine.actors[actor_id]
        for statement in TAKEN_OVER:
            actor.sql.execute(statement)
        actor.kv.records.clear()
        actor.name = "unknown"
        assert await world.call(actor_id, "add", 5) == "actor.not_registered"
        await settle()
        await world.clock.advance(10.0)
        assert StopIntent() not in world.events_of(actor_id)
