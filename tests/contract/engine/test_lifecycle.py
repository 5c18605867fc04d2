"""Generations, commands, events and alarms (envoy-protocol 5)."""

from __future__ import annotations

import time

import pytest

from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.wire.envoy.messages import (
    AckCommands,
    AckEvents,
    Checkpoint,
    EnvoyInit,
    EventEntry,
    Events,
    Running,
    SetAlarm,
    SleepIntent,
    StartActor,
    StopActor,
    StopCode,
    StopIntent,
    Stopped,
    Stopping,
    StopReason,
)
from tests.contract.engine.conftest import Connect
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.side import Side


async def test_a_start_says_what_to_start(side: Side, envoy: Puppet) -> None:
    actor_id = await side.create("counter")
    entry = await envoy.command()
    assert entry.checkpoint == Checkpoint(actor_id, 1, 1)
    assert isinstance(entry.command, StartActor)
    assert (entry.command.name, entry.command.hibernating_requests) == ("counter", ())


async def test_init_comes_before_commands(side: Side, connect: Connect) -> None:
    envoy = await connect()
    await side.create()
    await envoy.command()
    again = await connect()
    await again.command()
    assert isinstance(again.seen[0], EnvoyInit)


async def test_a_stop_has_the_next_index(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await side.sleep(place.actor_id)
    entry = await envoy.command()
    assert entry.checkpoint == Checkpoint(place.actor_id, 1, 2)
    assert entry.command == StopActor(StopReason.SLEEP_INTENT)


async def test_unacknowledged_commands_come_again(
    side: Side, connect: Connect, envoy: Puppet, place: Checkpoint
) -> None:
    await side.sleep(place.actor_id)
    await envoy.stopping()
    again = await connect()
    assert [(await again.command()).checkpoint.index for _ in range(2)] == [1, 2]


async def test_acknowledged_commands_do_not(connect: Connect, envoy: Puppet, place: Checkpoint) -> None:
    envoy.link.send(AckCommands((place,)))
    await envoy.rows(place, "SELECT 1")
    again = await connect()
    await again.rows(place, "SELECT 1")
    assert [type(message).__name__ for message in again.seen] == ["EnvoyInit", "SqlExecuteResponse"]


async def test_an_intent_to_sleep_is_answered_once(envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, SleepIntent())
    envoy.event(place, SleepIntent())
    assert await envoy.stopping() == StopActor(StopReason.SLEEP_INTENT)
    await envoy.rows(place, "SELECT 1")
    assert await envoy.quiet() == []


async def test_an_intent_to_stop_ends_the_actor(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, StopIntent())
    assert await envoy.stop(place) == StopActor(StopReason.STOP_INTENT)
    assert (await side.request(place.actor_id)).status == 404


async def test_stopped_ok_without_a_stop_destroys(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, Stopped(StopCode.OK))
    await envoy.rows(place, "SELECT 1")
    assert (await side.request(place.actor_id)).status == 404


async def test_a_crash_is_followed_by_a_new_generation_on_request(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    envoy.event(place, Stopped(StopCode.ERROR, "out of luck"))
    side.request(place.actor_id)
    entry = await envoy.command()
    assert isinstance(entry.command, StartActor)
    assert (entry.checkpoint.generation, entry.checkpoint.index) == (2, 1)


async def test_a_reschedule_starts_the_next_generation(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await side.reschedule(place.actor_id)
    assert await envoy.stop(place) == StopActor(StopReason.GOING_AWAY)
    assert (await envoy.start()).generation == 2


async def test_destroying_waits_for_the_host(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    destroying = side.destroy(place.actor_id)
    assert await envoy.stopping() == StopActor(StopReason.DESTROY)
    assert not destroying.done()
    envoy.event(place, Stopped(StopCode.OK))
    await destroying


async def test_destroying_a_stopping_actor_sends_nothing_new(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    await side.sleep(place.actor_id)
    await envoy.stopping()
    destroying = side.destroy(place.actor_id)
    await envoy.rows(place, "SELECT 1")
    assert await envoy.quiet() == []
    envoy.event(place, Stopped(StopCode.OK))
    await destroying


async def test_events_of_an_older_generation_are_ignored(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    await side.reschedule(place.actor_id)
    await envoy.stop(place)
    newer = await envoy.start()
    envoy.event(place, SleepIntent())
    await envoy.rows(newer, "SELECT 1")
    assert await envoy.quiet() == []


async def test_events_that_were_seen_are_ignored(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, SleepIntent(), index=0)
    await envoy.rows(place, "SELECT 1")
    assert await envoy.quiet() == []


async def test_events_are_acknowledged_after_many(envoy: Puppet, place: Checkpoint) -> None:
    entries = [EventEntry(Checkpoint(place.actor_id, 1, index), SetAlarm(None)) for index in range(1, 260)]
    envoy.link.send(Events(tuple(entries)))
    assert (await envoy.next(AckEvents)).last_event_checkpoints == (Checkpoint(place.actor_id, 1, 259),)


async def test_an_alarm_wakes_a_sleeping_actor(envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, SetAlarm(int(time.time() * 1000) + 100))
    envoy.event(place, SleepIntent())
    await envoy.stop(place)
    assert (await envoy.start()).generation == 2


async def test_an_alarm_that_woke_an_actor_wakes_it_once_more(envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, SetAlarm(int(time.time() * 1000) + 100))
    envoy.event(place, SleepIntent())
    await envoy.stop(place)
    second = await envoy.start()
    envoy.event(second, SleepIntent())
    await envoy.stop(second)
    assert (await envoy.start()).generation == 3


async def test_a_cleared_alarm_wakes_nobody(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    envoy.event(place, SetAlarm(1))
    envoy.event(place, SetAlarm(None))
    envoy.event(place, SleepIntent())
    await envoy.stop(place)
    await envoy.rows(place, "SELECT 1")
    assert await envoy.quiet() == []


async def test_an_envoy_that_stops_gives_its_actors_away(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    envoy.link.send(Stopping())
    assert await envoy.stopping() == StopActor(StopReason.GOING_AWAY)
    other = Puppet(await side.dial("envoy-2"), side.namespace)
    await other.ready()
    envoy.event(place, Stopped(StopCode.OK))
    assert (await other.start()).generation == 2


async def test_a_higher_version_gets_new_actors(side: Side, envoy: Puppet) -> None:
    newer = Puppet(await side.dial("envoy-2", version=2), side.namespace)
    await newer.ready()
    await side.create()
    assert isinstance((await newer.command()).command, StartActor)


async def test_the_same_key_evicts_the_older_connection(connect: Connect, envoy: Puppet) -> None:
    await connect()
    with pytest.raises(LinkLost, match=r"1000.*ws\.eviction"):
        await envoy.receive()


async def test_a_malformed_id_in_an_event_ends_the_connection(envoy: Puppet) -> None:
    envoy.event(Checkpoint("?", 1, 1), Running())
    with pytest.raises(LinkLost, match=r"1011.*core\.internal_error"):
        await envoy.receive()


@pytest.mark.parametrize("protocol", [1, 9])
async def test_unknown_protocol_versions_are_refused(side: Side, protocol: int) -> None:
    envoy = Puppet(await side.dial(protocol=protocol))
    with pytest.raises(LinkLost, match=r"1011.*ws\.invalid_request"):
        await envoy.receive()
