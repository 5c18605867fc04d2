"""What the scripted engine does when time passes."""

from __future__ import annotations

import asyncio

from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine import ActorState, ScriptedEngine
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    KvPut,
    RequestStart,
    Running,
    SetAlarm,
    SleepIntent,
    StopActor,
    StopReason,
)
from tests.contract.engine.puppet import Puppet
from tests.unit.testing.engine.conftest import connected


async def test_an_envoy_that_comes_back_in_time_keeps_its_actors(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.drop()
    await clock.advance(14.9)
    await connected(engine)
    await clock.advance(10)
    actor = engine.actors[place.actor_id]
    assert (actor.state, actor.generation) == (ActorState.RUNNING, 1)


async def test_an_envoy_that_stays_away_loses_its_actors(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.drop()
    await clock.advance(15)
    actor = engine.actors[place.actor_id]
    assert (actor.state, actor.error) == (ActorState.ASLEEP, "envoy_connection_lost")


async def test_an_envoy_that_comes_back_late_is_told_to_stop(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.drop()
    await clock.advance(15)
    again = await connected(engine)
    assert (await again.command()).checkpoint == place
    assert await again.stopping() == StopActor(StopReason.LOST)


async def test_traffic_waits_for_the_next_connection(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    engine.faults.drop()
    engine.request(place.actor_id, "GET", "/")
    again = await connected(engine)
    await again.tunnel(RequestStart)


async def test_a_request_moves_to_another_envoy_when_its_own_is_lost(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.drop()
    engine.faults.pings = False
    engine.request(place.actor_id, "GET", "/")
    other = await connected(engine, "envoy-2")
    await clock.advance(15)
    assert (await other.start()).generation == 2
    await other.tunnel(RequestStart)


async def test_a_start_that_takes_too_long_is_given_up(
    engine: ScriptedEngine, envoy: Puppet, clock: FakeClock
) -> None:
    engine.faults.pings = False
    actor_id = engine.create_actor("counter")
    first = await envoy.command()
    engine.request(actor_id, "GET", "/")
    await clock.advance(30)
    assert (await envoy.command()).checkpoint.generation == 2
    envoy.event(first.checkpoint, Running())
    await envoy.kv_barrier(actor_id)
    assert engine.actors[actor_id].state is ActorState.STARTING
    assert [event.counted for event in engine.events] == [False]


async def test_an_actor_without_an_envoy_waits_for_one(engine: ScriptedEngine) -> None:
    actor_id = engine.create_actor("counter")
    assert engine.actors[actor_id].state is ActorState.PENDING
    envoy = await connected(engine)
    assert (await envoy.start()).actor_id == actor_id


async def test_an_alarm_in_the_past_starts_at_once(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    envoy.event(place, SetAlarm(0))
    envoy.event(place, SleepIntent())
    await envoy.stop(place)
    assert (await envoy.start()).generation == 2


async def test_destroying_clears_the_storage(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    await envoy.kv(place.actor_id, KvPut((b"a",), (b"1",)))
    await envoy.script(place, "CREATE TABLE t (x)")
    engine.actors[place.actor_id].alarm_ts = 5
    destroyed = engine.destroy_actor(place.actor_id)
    engine_side = engine.actors[place.actor_id]
    destroying = asyncio.ensure_future(destroyed)
    await envoy.stop(place)
    await destroying
    assert (engine_side.kv.records, engine_side.alarm_ts) == ({}, None)
    assert engine_side.sql.query("SELECT name FROM sqlite_master") == []
