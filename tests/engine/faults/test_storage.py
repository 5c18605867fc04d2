"""Records and databases of actors, against the store they are written for."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import pytest

from rivetkit_core.actor.database import Database
from rivetkit_core.actor.logs import NO_ACTOR
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.environment import EngineEnvironment
from rivetkit_core.host.engine.envoy import Envoy
from rivetkit_core.host.engine.kv import KvStorage
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.engine.sql import RemoteDatabase
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.wire.envoy.messages import (
    CommandEntry,
    EnvoyInit,
    KvPut,
    KvRequest,
    Metadata,
    Running,
    SqlExecute,
    SqlExecuteBatch,
    StartActor,
    StopActor,
    StopCode,
    Stopped,
    ToEnvoyTunnel,
    ToRivet,
)
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, ScheduleEvent, encode_actor
from tests.engine.faults.load import until
from tests.engine.faults.wiretap import Cut, Wiretap, wiretap
from tests.engine_tables import open_in_tables
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

LIMIT = 131_072
SIZES = [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 1_000_000, 3_000_000]
SPECIAL = [b"\xff\xff", b"\xff\xff\x00", b"\xff\xff\x01garbage"]
KEYS = [bytes([number]) + b"\x00key" for number in range(8)]


@dataclass
class Envoyship:
    """The least owner an envoy can have: actors that do nothing, for the sake of their storage."""

    scopes: dict[str, list[RequestScope]] = field(default_factory=dict[str, list[RequestScope]])
    envoy: Envoy | None = None

    def on_init(self, init: EnvoyInit) -> None: ...

    def on_command(self, entry: CommandEntry) -> None:
        assert self.envoy is not None
        where = entry.checkpoint
        match entry.command:
            case StartActor():
                scope = self.envoy.requests.scope(where.actor_id, where.generation, self.envoy.lease.valid)
                self.scopes.setdefault(where.actor_id, []).append(scope)
                self.envoy.report(where.actor_id, where.generation, Running())
            case StopActor():
                self.scopes[where.actor_id][-1].close()
                self.envoy.report(where.actor_id, where.generation, Stopped(StopCode.OK))

    def on_tunnel(self, message: ToEnvoyTunnel) -> None: ...

    def on_lost(self) -> None:
        for scopes in self.scopes.values():
            scopes[-1].close()


@dataclass
class Bench:
    """An envoy on a real engine, behind a proxy."""

    engine: RunningEngine
    namespace: str
    tap: Wiretap
    owner: Envoyship
    envoy: Envoy

    async def actor(self) -> tuple[str, RequestScope]:
        """A new actor and the storage requests of its first generation."""
        async with self.engine.api(self.namespace) as api:
            made = await api.create_actor("bench", None, pool="default")
        await until(lambda: made.actor_id in self.owner.scopes)
        return made.actor_id, self.owner.scopes[made.actor_id][-1]

    async def next_generation(self, actor_id: str) -> RequestScope:
        known = len(self.owner.scopes[actor_id])
        async with self.engine.api(self.namespace) as api:
            await api.reschedule_actor(actor_id)
        await until(lambda: len(self.owner.scopes[actor_id]) > known)
        return self.owner.scopes[actor_id][-1]

    def database(self, scope: RequestScope) -> Database:
        return Database(RemoteDatabase(scope, SystemClock()), clock=SystemClock(), log=NO_ACTOR)

    def cut_at(self, kind: type[object], nth: int, where: Cut) -> None:
        """Cut the connection once, at the nth message of a kind from now on."""
        left = nth

        def judge(message: ToRivet) -> Cut | None:
            nonlocal left
            about = message.data if isinstance(message, KvRequest) else message
            left -= isinstance(about, kind)
            if left == 0 and isinstance(about, kind):
                left = -1
                return where
            return None

        self.tap.judge = judge


@pytest.fixture
async def bench(engine: RunningEngine) -> AsyncGenerator[Bench]:
    namespace = await engine.fresh_namespace()
    clock, entropy, owner = SystemClock(), SystemEntropy(), Envoyship()
    async with wiretap(engine.endpoint) as tap, contextlib.AsyncExitStack() as stack:
        settings = EngineSettings(endpoint=tap.endpoint, namespace=namespace)
        environment = EngineEnvironment(settings, clock=clock, entropy=entropy)
        owner.envoy = Envoy(
            await environment.prepare(),
            owner,
            endpoint=tap.endpoint,
            namespace=namespace,
            metadata=Metadata({"bench": "{}"}, None),
            clock=clock,
            entropy=entropy,
        )
        await owner.envoy.open(30.0)
        stack.push_async_callback(owner.envoy.close)
        yield Bench(engine, namespace, tap, owner, owner.envoy)


# --- records ----------------------------------------------------------------------------------------


async def test_what_was_applied_is_what_the_next_generation_loads(
    bench: Bench, report: Callable[..., None]
) -> None:
    chance = random.Random(7)
    actor_id, scope = await bench.actor()
    expected: dict[bytes, bytes] = {}
    storage, steps = KvStorage(scope), 0
    for step in range(60):
        size = SIZES[step % len(SIZES)]
        puts = {
            key: bytes([step]) * size if chance.random() < 0.8 else chance.choice(SPECIAL)
            for key in chance.sample(KEYS, chance.randrange(1 if size > LIMIT + 1 else 4))
        }
        deletes = chance.sample(KEYS, chance.randrange(4))
        await storage.apply(puts, deletes)
        steps += 1
        expected.update(puts)
        for key in deletes:
            expected.pop(key, None)
        if step % 6 == 5:
            storage = KvStorage(scope)
            assert await storage.load(KEYS) == expected
        if step % 20 == 19:
            storage = KvStorage(scope := await bench.next_generation(actor_id))
            assert await storage.load(KEYS) == expected
    report(steps=steps, records=len(expected), mismatches=0)


async def test_a_full_put_of_128_records_is_whole(bench: Bench) -> None:
    _, scope = await bench.actor()
    puts = {b"key%d" % number: bytes(1000) for number in range(128)}
    await KvStorage(scope).apply(puts)
    assert await KvStorage(scope).load(list(puts)) == puts
    await KvStorage(scope).apply({}, list(puts))
    assert await KvStorage(scope).load(list(puts)) == {}


@pytest.mark.parametrize("where", ["before", "inside", "after"])
async def test_records_that_a_crash_left_are_all_old_or_all_new(
    bench: Bench, where: Cut, report: Callable[..., None]
) -> None:
    """The crash: a connection cut at one of the writes, and a generation that never comes back to it."""
    outcomes = {"old": 0, "new": 0}
    for nth in range(1, 6):
        actor_id, scope = await bench.actor()
        old = {b"a": b"o" * 200_000, b"b": b"o" * 10, b"c": b"o"}
        new = {b"a": b"n" * 2_500_000, b"b": b"n" * 150_000}
        await KvStorage(scope).apply(old)
        bench.cut_at(KvPut, nth, where)
        session = bench.envoy.requests.session
        writing = asyncio.create_task(KvStorage(scope).apply(new, [b"c"]))
        await until(
            lambda session=session, writing=writing: writing.done() or bench.envoy.requests.session > session
        )
        scope.close()
        await asyncio.gather(writing, return_exceptions=True)
        found = await KvStorage(await bench.next_generation(actor_id)).load([b"a", b"b", b"c"])
        assert found in (old, new)
        outcomes["new" if found == new else "old"] += 1
    report(where=where, **outcomes, mixed=0)


# --- records in tables ------------------------------------------------------------------------------


async def in_tables(scope: RequestScope) -> ActorStorage:
    return await open_in_tables(scope, RemoteDatabase(scope, SystemClock()), None)


async def test_what_was_applied_to_tables_is_what_the_next_generation_loads(
    bench: Bench, report: Callable[..., None]
) -> None:
    chance = random.Random(7)
    actor_id, scope = await bench.actor()
    expected: dict[bytes, bytes] = {}
    storage = await in_tables(scope)
    keys = [prefix + key for key in KEYS[:4] for prefix in (b"\x04", b"private")]
    for step in range(40):
        events = [ScheduleEvent(f"e{at}", at, "a", None) for at in sorted(chance.sample(range(9), 3))]
        state = bytes([step]) * SIZES[step % len(SIZES)]
        record = encode_actor(ActorRecord(None, True, state, tuple(events)))
        puts = {key: bytes([step]) * chance.choice(SIZES[:4]) for key in chance.sample(keys, 3)}
        deletes = [key for key in chance.sample(keys, 2) if key not in puts]
        await storage.apply({ACTOR_KEY: record, **puts}, deletes)
        expected.update({ACTOR_KEY: record, **puts})
        for key in deletes:
            expected.pop(key, None)
        if step % 10 == 9:
            storage = await in_tables(scope := await bench.next_generation(actor_id))
            assert await storage.load([ACTOR_KEY, *keys]) == expected
    report(records=len(expected), mismatches=0)


@pytest.mark.parametrize("where", ["before", "inside", "after"])
async def test_a_write_to_tables_is_made_once_although_its_answer_was_lost(bench: Bench, where: Cut) -> None:
    actor_id, scope = await bench.actor()
    storage = await in_tables(scope)
    await storage.apply({b"\x04a": b"old", b"\x04b": b"old"})
    bench.cut_at(SqlExecuteBatch, 1, where)
    await storage.apply(
        {b"\x04a": b"new" * 10_000, ACTOR_KEY: encode_actor(ActorRecord(None, True))}, [b"\x04b"]
    )
    storage = await in_tables(await bench.next_generation(actor_id))
    assert await storage.load([b"\x04a", b"\x04b"]) == {b"\x04a": b"new" * 10_000}


@pytest.mark.parametrize("where", ["before", "inside", "after"])
async def test_tables_that_a_crash_left_are_all_old_or_all_new(
    bench: Bench, where: Cut, report: Callable[..., None]
) -> None:
    outcomes = {"old": 0, "new": 0}
    for _ in range(3):
        actor_id, scope = await bench.actor()
        old = {ACTOR_KEY: encode_actor(ActorRecord(None, True, b"o" * 200_000)), b"\x04b": b"o", b"c": b"o"}
        new = {ACTOR_KEY: encode_actor(ActorRecord(None, True, b"n" * 900_000)), b"\x04b": b"n"}
        storage = await in_tables(scope)
        await storage.apply(old)
        bench.cut_at(SqlExecuteBatch, 1, where)
        session = bench.envoy.requests.session
        writing = asyncio.create_task(storage.apply(new, [b"c"]))
        await until(
            lambda session=session, writing=writing: writing.done() or bench.envoy.requests.session > session
        )
        scope.close()
        await asyncio.gather(writing, return_exceptions=True)
        storage = await in_tables(await bench.next_generation(actor_id))
        found = await storage.load([*old])
        assert found in (old, new)
        outcomes["new" if found == new else "old"] += 1
    report(where=where, **outcomes, mixed=0)


# --- databases --------------------------------------------------------------------------------------


async def test_statements_batches_scripts_and_transactions(bench: Bench) -> None:
    actor_id, scope = await bench.actor()
    database = bench.database(scope)
    await database.script("create table t (id integer primary key, name text); create index i on t(name);")
    await database.execute("insert into t (name) values (?)", ["one"])
    await database.execute_batch([("insert into t (name) values (?)", (str(n),)) for n in range(3)])
    async with database.transaction() as transaction:
        await transaction.execute("insert into t (name) values ('committed')")
    with pytest.raises(ValueError, match="on purpose"):
        async with database.transaction() as transaction:
            await transaction.execute("insert into t (name) values ('rolled back')")
            raise ValueError("on purpose")
    with pytest.raises(RivetError) as failed:
        await database.execute_batch([("delete from t", ()), ("nonsense", ())])
    assert failed.value.code == "failed"
    database = bench.database(await bench.next_generation(actor_id))
    rows = (await database.execute("select name from t order by id")).rows
    assert [row[0] for row in rows] == ["one", "0", "1", "2", "committed"]


async def test_a_second_transaction_of_the_same_task_is_refused(bench: Bench) -> None:
    _, scope = await bench.actor()
    database = bench.database(scope)
    async with database.transaction():
        with pytest.raises(RivetError) as refused:
            await database.execute("select 1")
        assert refused.value.code == "nested_transaction"


@pytest.mark.parametrize(("where", "applied"), [("inside", 0), ("after", 1)])
async def test_a_statement_whose_connection_broke_is_indeterminate(
    bench: Bench, where: Cut, applied: int
) -> None:
    _, scope = await bench.actor()
    database = bench.database(scope)
    await database.execute("create table t (id integer)")
    bench.cut_at(SqlExecute, 1, where)
    with pytest.raises(RivetError) as failed:
        await database.execute("insert into t values (1)")
    assert failed.value.code == "remote_indeterminate_result"
    count = (await database.execute("select count(*) from t")).rows[0][0]
    assert count in ((0,) if where == "inside" else (0, applied))


async def test_a_transaction_dies_with_its_connection(bench: Bench) -> None:
    _, scope = await bench.actor()
    database = bench.database(scope)
    await database.execute("create table t (id integer)")
    with pytest.raises(RivetError) as failed:
        async with database.transaction() as transaction:
            await transaction.execute("insert into t values (1)")
            bench.cut_at(SqlExecute, 1, "before")
            with contextlib.suppress(RivetError):
                await transaction.execute("insert into t values (2)")
            await until(lambda: bench.envoy.is_connected)
            await transaction.execute("insert into t values (3)")
    assert failed.value.code == "transaction_connection_lost"
    await until(lambda: bench.envoy.is_connected)
    assert (await database.execute("select count(*) from t")).rows == ((0,),)
    async with database.transaction() as transaction:
        await transaction.execute("insert into t values (4)")
    assert (await database.execute("select id from t")).rows == ((4,),)


async def test_a_generation_that_ended_has_no_storage(bench: Bench) -> None:
    actor_id, scope = await bench.actor()
    await bench.next_generation(actor_id)
    with pytest.raises(RivetError) as closed:
        await bench.database(scope).execute("select 1")
    assert (closed.value.group, closed.value.code) == ("storage", "lost")
    with pytest.raises(RivetError) as closed:
        await KvStorage(scope).apply({b"a": b"late"})
    assert (closed.value.group, closed.value.code) == ("storage", "lost")
