"""The engine host against a scripted engine: generations, storage, reconnects, and losing its actors."""

from __future__ import annotations

import asyncio
import json

import pytest

from rivetkit_core.actor.factory import QueueSpec
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, UserError
from rivetkit_core.testing import settle
from rivetkit_core.testing.engine import ActorState
from rivetkit_core.wire import cbor
from rivetkit_core.wire.envoy.messages import (
    AckCommands,
    KvGet,
    KvPut,
    KvRequest,
    Metadata,
    Pong,
    Running,
    SetAlarm,
    SleepIntent,
    StopCode,
    StopIntent,
    Stopped,
)
from rivetkit_core.wire.persisted import ACTOR_KEY, decode_actor
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import World, running

OK = Stopped(StopCode.OK)
STRICT = ActorConfig(durability="strict")


async def _add(actor: Scripted, args: list[object]) -> object:
    assert isinstance(actor.state, int)
    actor.state += int(str(args[0]))
    return actor.state


async def _destroy(actor: Scripted, _args: list[object]) -> object:
    await actor.context.destroy()
    return None


ADDING = Script(actions={"add": _add, "destroy": _destroy})
STRICTLY = Script(actions={"add": _add}, config=STRICT)


def stored(world: World, actor_id: str) -> object:
    """The state that the engine's store holds."""
    record = decode_actor(world.engine.actors[actor_id].kv.records[ACTOR_KEY])
    return cbor.decode(record.state)


def puts(world: World) -> int:
    return sum(
        isinstance(message, KvRequest) and isinstance(message.data, KvPut)
        for message in world.engine.received
    )


def gets(world: World) -> int:
    return sum(
        isinstance(message, KvRequest) and isinstance(message.data, KvGet)
        for message in world.engine.received
    )


async def test_the_engine_is_told_which_actors_run_here_how_they_look_and_what_they_read_first() -> None:
    config = ActorConfig(icon="rocket", display_name="Counters")
    async with running(Script(actions={"add": _add}, config=config)) as world:
        metadata = next(message for message in world.engine.received if isinstance(message, Metadata))
        assert metadata.prepopulate_actor_names is not None
        shown = json.loads(metadata.prepopulate_actor_names["scripted"])
        assert (shown["icon"], shown["name"]) == ("rocket", "Counters")
        assert [1] in shown["preload"]["keys"]
        assert json.loads(metadata.metadata or "")["rivetkit"]["version"]


async def test_connections_and_messages_come_with_the_start_of_an_actor_that_has_queues() -> None:
    async with running(Script(queues={"jobs": QueueSpec()})) as world:
        metadata = next(message for message in world.engine.received if isinstance(message, Metadata))
        assert metadata.prepopulate_actor_names is not None
        preload = json.loads(metadata.prepopulate_actor_names["scripted"])["preload"]
        assert [5, 1, 1] in preload["keys"]
        assert [(wanted["prefix"], wanted["partial"]) for wanted in preload["prefixes"]] == [
            ([2], False),
            ([5, 1, 2], False),
        ]


# --- one generation ---------------------------------------------------------------------------------


async def test_a_start_is_told_in_one_message_with_the_alarm() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        assert world.events_of(actor_id) == [Running(), SetAlarm(None)]
        assert world.batches() == [2]


@pytest.mark.parametrize("streaming", [False, True], ids=["default", "streaming"])
async def test_an_action_reaches_the_actor(streaming: bool) -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        assert await world.call(actor_id, "add", 2, streaming=streaming) == 2
        assert await world.call(actor_id, "add", 3, streaming=streaming) == 5


async def test_the_input_of_creation_reaches_the_actor() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create(input=40)
        assert await world.call(actor_id, "add", 2) == 42


async def test_an_actor_that_is_stopped_keeps_its_state() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        world.engine.sleep_actor(actor_id)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        assert world.events_of(actor_id)[-1] == OK
        assert stored(world, actor_id) == 7
        assert await world.call(actor_id, "add", 1) == 8


async def test_destroy_is_asked_for_and_done_when_the_engine_says_so() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "destroy")
        await world.engine.reached(actor_id, ActorState.DESTROYED)
        assert world.events_of(actor_id)[-2:] == [StopIntent(), OK]
        assert "on_destroy" in world.log


async def test_a_moved_actor_comes_back_as_a_later_generation() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        world.engine.reschedule_actor(actor_id)
        assert await world.call(actor_id, "add", 1) == 8
        assert world.engine.actors[actor_id].generation == 2


async def test_a_stop_during_the_start_is_obeyed_after_it() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_actor: Scripted) -> None:
        entered.set()
        await go_on.wait()

    async with running(Script(hooks={"on_wake": slow})) as world:
        actor_id = world.engine.create_actor("scripted")
        await entered.wait()
        destroying = asyncio.create_task(world.engine.destroy_actor(actor_id))
        await settle()
        assert not destroying.done()
        go_on.set()
        await destroying
        assert "on_destroy" in world.log


async def test_a_repeated_command_is_not_obeyed_again() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 1)
        world.engine.faults.duplicate_command(actor_id)
        await settle()
        assert await world.call(actor_id, "add", 1) == 2
        assert world.log.count("create_state") == 1


async def test_commands_are_acknowledged_within_seconds() -> None:
    async with running(ADDING) as world:
        await world.create("a")
        await world.create("b")
        assert world.received(AckCommands) == 0
        await world.clock.advance(2.0)
        assert world.received(AckCommands) == 1


async def test_a_start_that_the_engine_gave_up_ends_before_the_next_one_begins() -> None:
    stuck = asyncio.Event()
    starts: list[int] = []

    async def wake(actor: Scripted) -> None:
        generation = actor.context.identity.generation
        starts.append(generation)
        if generation == 1:
            try:
                await stuck.wait()
            finally:
                starts.append(-generation)

    config = ActorConfig(on_wake_timeout=100.0)
    async with running(Script(actions={"add": _add}, hooks={"on_wake": wake}, config=config)) as world:
        actor_id = world.engine.create_actor("scripted")
        calling = asyncio.create_task(world.call(actor_id, "add", 1))
        await world.clock.advance(31.0)
        assert await calling == 1
        assert starts == [1, -1, 2]
        assert world.host.running_count == 1


# --- failed starts ----------------------------------------------------------------------------------


async def test_who_waits_for_a_failed_first_start_gets_its_error_and_nothing_is_left() -> None:
    async def refuse(_actor: Scripted) -> None:
        raise UserError("not today", code="closed")

    async with running(Script(actions={"add": _add}, hooks={"on_create": refuse})) as world:
        actor_id = world.engine.create_actor("scripted")
        assert await world.call(actor_id, "add", 1) == "user.closed"
        await world.clock.advance(0.25)
        await world.engine.reached(actor_id, ActorState.DESTROYED)
        assert world.events_of(actor_id) == [Running(), StopIntent(), OK]


async def test_an_initialized_actor_that_cannot_wake_sleeps_with_its_bytes_untouched() -> None:
    broken = False

    async def wake(_actor: Scripted) -> None:
        if broken:
            raise UserError("model changed", code="unreadable")

    async with running(Script(actions={"add": _add}, hooks={"on_wake": wake})) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        world.engine.sleep_actor(actor_id)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        broken = True
        assert await world.call(actor_id, "add", 1) == "user.unreadable"
        await world.clock.advance(0.25)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        last = world.events_of(actor_id)[-1]
        assert isinstance(last, Stopped)
        assert last.code is StopCode.ERROR
        assert stored(world, actor_id) == 7
        broken = False
        assert await world.call(actor_id, "add", 1) == 8


async def test_an_actor_of_an_unknown_name_says_so() -> None:
    async with running(ADDING) as world:
        actor_id = world.engine.create_actor("nobody_knows")
        assert await world.call(actor_id, "add", 1) == "actor.not_registered"


# --- storage ----------------------------------------------------------------------------------------


async def test_a_throttled_action_costs_no_round_trip() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        before = puts(world), gets(world)
        for _ in range(20):
            await world.call(actor_id, "add", 1)
        assert (puts(world), gets(world)) == before
        await world.clock.advance(1.0)
        assert puts(world) == before[0] + 1
        assert stored(world, actor_id) == 20


async def test_a_strict_action_costs_one() -> None:
    async with running(STRICTLY) as world:
        actor_id = await world.create()
        before = puts(world), gets(world)
        await world.call(actor_id, "add", 1)
        assert stored(world, actor_id) == 1
        assert (puts(world), gets(world)) == (before[0] + 1, before[1])


async def test_a_start_costs_one_read_and_creation_one_write() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        assert (puts(world), gets(world)) == (1, 1)
        world.engine.sleep_actor(actor_id)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        world.engine.wake_actor(actor_id)
        await world.engine.reached(actor_id, ActorState.RUNNING)
        assert gets(world) == 2


async def test_a_write_the_engine_refuses_fails_the_strict_action_and_is_tried_again() -> None:
    async with running(STRICTLY) as world:
        actor_id = await world.create()
        world.engine.faults.fail_next_kv("transaction failed")
        assert await world.call(actor_id, "add", 1) == "storage.unavailable"
        await world.clock.advance(1.0)
        assert stored(world, actor_id) == 1


# --- connections ------------------------------------------------------------------------------------


async def test_a_short_interruption_is_invisible() -> None:
    async with running(STRICTLY) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 1)
        world.engine.faults.drop()
        await world.clock.advance(0.25)
        assert world.host.envoy.is_connected
        assert await world.call(actor_id, "add", 1) == 2
        assert world.engine.actors[actor_id].generation == 1


async def test_a_write_under_way_is_repeated_on_the_next_connection() -> None:
    async with running(STRICTLY) as world:
        actor_id = await world.create()
        world.engine.faults.hold_answers()
        calling = asyncio.create_task(world.call(actor_id, "add", 1))
        await settle()
        world.engine.faults.drop()
        world.engine.faults.release_answers()
        await world.clock.advance(0.25)
        assert await calling == 1
        assert stored(world, actor_id) == 1


async def test_events_that_were_not_acknowledged_are_repeated() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        world.engine.faults.drop()
        await world.clock.advance(0.25)
        await settle()
        assert world.events_of(actor_id) == [Running(), SetAlarm(None)]
        assert len(world.engine.events) > 2


async def test_the_first_retry_comes_within_a_quarter_of_a_second() -> None:
    async with running(ADDING) as world:
        world.engine.faults.drop()
        await settle()
        assert not world.host.envoy.is_connected
        await world.clock.advance(0.25)
        assert world.host.envoy.is_connected


async def test_a_connection_that_breaks_again_and_again_does_not_cost_the_lease() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        for _ in range(8):
            world.engine.faults.drop()
            await settle()
            await world.clock.advance(world.host.envoy.lease.duration / 4)
            assert world.host.envoy.is_connected
        assert await world.call(actor_id, "add", 1) == 1
        assert world.host.running_count == 1


async def test_pings_are_answered() -> None:
    async with running(ADDING) as world:
        await world.clock.advance(9.0)
        assert world.received(Pong) >= 2


async def test_out_of_touch_for_the_lost_threshold_every_actor_ends_and_nothing_is_written() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        await world.clock.advance(1.0)
        await world.call(actor_id, "add", 1)
        before = puts(world)
        world.engine.up = False
        world.engine.faults.drop()
        await world.clock.advance(15.0)
        assert world.host.running_count == 0
        world.engine.up = True
        await world.clock.advance(30.0)
        assert world.host.envoy.is_connected
        assert puts(world) == before
        assert stored(world, actor_id) == 7


async def test_an_eviction_ends_everything_for_good() -> None:
    async with running(ADDING) as world:
        await world.create()
        world.engine.faults.evict()
        await world.clock.advance(120.0)
        assert world.host.running_count == 0
        assert not world.host.envoy.is_connected
        assert world.host.envoy.failure is not None
        assert world.host.envoy.failure.code == "evicted"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("namespace.not_found", "RIVET_NAMESPACE"),
        ("api.forbidden", "RIVET_TOKEN"),
        ("guard.missing_header", "RIVET_TOKEN"),
        ("ws.no_runner_config", "RIVET_POOL"),
        ("ws.invalid_request", "RIVET_ENVOY_VERSION"),
    ],
)
async def test_a_refused_connection_says_what_to_change(reason: str, advice: str) -> None:
    async with running(ADDING) as world:
        await world.host.close()
        world.engine.faults.refuse_next(1011, f"{reason}#ray")
        another = world.another_host()
        with pytest.raises(RivetError) as caught:
            await another.open()
        assert caught.value.code == "refused"
        assert advice in caught.value.message


# --- the end ----------------------------------------------------------------------------------------


async def test_closing_has_the_engine_move_the_actors_if_others_can_take_them() -> None:
    async with running(ADDING) as world:
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        assert await world.host.close() == 0
        assert SleepIntent() not in world.events_of(actor_id)
        assert world.events_of(actor_id)[-1] == OK
        assert world.engine.actors[actor_id].state is ActorState.PENDING
        assert stored(world, actor_id) == 7


async def test_closing_puts_the_actors_to_sleep_if_nobody_can_take_them() -> None:
    async with running(ADDING) as world:
        world.environment.company = False
        actor_id = await world.create()
        await world.call(actor_id, "add", 7)
        assert await world.host.close() == 0
        assert SleepIntent() in world.events_of(actor_id)
        assert world.engine.actors[actor_id].state is ActorState.ASLEEP
        assert stored(world, actor_id) == 7


async def test_closing_is_bounded_when_the_engine_says_nothing() -> None:
    async with running(ADDING) as world:
        await world.create()
        world.engine.up = False
        world.engine.faults.drop()
        closing = asyncio.create_task(world.host.close())
        for _ in range(90):
            await world.clock.advance(1.0)
        assert closing.done()
        assert world.host.running_count == 0
