"""One-shots: stored, fired on time, claimed before they run (actor-runtime 8.1 and 8.3)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError, error
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, Scripted, World, failure_of


def ringing(**options: object) -> World:
    """An actor whose action ``ring`` logs its argument, ``fail`` fails, and ``plan`` plans."""

    async def ring(actor: Scripted, args: list[object]) -> object:
        fire = actor.context.schedule.fire
        assert fire is not None
        actor.log.append(f"ring {args} {fire.kind}")
        return None

    async def fail(actor: Scripted, args: list[object]) -> object:
        actor.log.append("fail")
        raise error("actor.aborted")

    config = ActorConfig.from_input(options)
    return World(Script(actions={"ring": ring, "fail": fail}, config=config))


def rings(world: World) -> list[str]:
    return [entry for entry in world.log if entry.startswith(("ring", "fail"))]


def args(*values: object) -> bytes:
    return cbor.encode(list(values))


async def test_a_one_shot_fires_on_time_and_once() -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.after(60_000, "ring", args("hi"))
    await world.clock.advance(59.999)
    assert rings(world) == []
    await world.clock.advance(0.001)
    assert rings(world) == ["ring ['hi'] at"]
    await world.clock.advance(days=1)
    assert len(rings(world)) == 1


async def test_a_one_shot_is_stored_before_it_is_acknowledged() -> None:
    world = ringing()
    actor = await world.started()
    event_id = await actor.schedule.after(1000, "ring", args(1))
    stored = await world.stored()
    assert stored is not None
    [event] = stored.scheduled_events
    assert (event.event_id, event.action, event.args) == (event_id, "ring", args(1))
    assert actor.schedule.get(event_id) == event


async def test_no_arguments_are_stored_as_none() -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.after(1000, "ring", args())
    [event] = actor.schedule.list()
    assert event.args is None
    await world.clock.advance(1)
    assert rings(world) == ["ring [] at"]


async def test_a_claimed_one_shot_is_gone_before_its_action_starts() -> None:
    seen: list[int] = []
    world = ringing()

    async def look(actor: Scripted, _: list[object]) -> object:
        stored = await world.stored()
        assert stored is not None
        seen.append(len(stored.scheduled_events))
        return None

    world.script.actions = {"look": look}
    actor = await world.started()
    await actor.schedule.after(1000, "look")
    await world.clock.advance(1)
    assert seen == [0]


async def test_overdue_one_shots_fire_in_order_when_the_actor_starts() -> None:
    world = ringing()
    actor = await world.started()
    for delay in (3000, 1000, 2000):
        await actor.schedule.after(delay, "ring", args(delay))
    await actor.stop(StopKind.SLEEP)
    await world.clock.advance(10)
    assert rings(world) == []
    await world.started()
    await settle()
    assert rings(world) == ["ring [1000] at", "ring [2000] at", "ring [3000] at"]


async def test_a_time_in_the_past_is_due_at_once() -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.at(0, "ring")
    await world.clock.advance(0)
    assert rings(world) == ["ring [] at"]


async def test_a_cancelled_one_shot_does_not_fire() -> None:
    world = ringing()
    actor = await world.started()
    event_id = await actor.schedule.after(1000, "ring")
    assert await actor.schedule.cancel(event_id)
    assert not await actor.schedule.cancel(event_id)
    await world.clock.advance(5)
    assert rings(world) == []
    assert actor.schedule.list() == ()


async def test_a_failing_one_shot_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.after(1000, "fail")
    await actor.schedule.after(1001, "ring")
    await world.clock.advance(2)
    assert rings(world) == ["fail", "ring [] at"]
    assert "scheduled action fail failed" in caplog.text


async def test_an_action_that_does_not_exist_is_refused() -> None:
    actor = await ringing().started()
    refused = await failure_of(actor.schedule.after(1, "rong"))
    assert refused.code == "action_not_found"


async def test_no_more_than_max_schedules_are_accepted() -> None:
    world = ringing(max_schedules=2)
    actor = await world.started()
    await actor.schedule.after(1000, "ring")
    await actor.schedule.after(2000, "ring")
    refused = await failure_of(actor.schedule.after(3000, "ring"))
    assert (refused.code, refused.metadata) == ("max_schedules_exceeded", {"maximum": 2})
    await world.clock.advance(1)
    await actor.schedule.after(3000, "ring")


async def test_a_one_shot_that_could_not_be_stored_is_not_planned() -> None:
    world = ringing()
    actor = await world.started()
    world.store.fail_next(StorageError("storage", "unavailable"))
    refused = await failure_of(actor.schedule.after(1000, "ring"))
    assert refused.code == "unavailable"
    assert actor.schedule.list() == ()
    await world.clock.advance(2)
    assert rings(world) == []


async def test_a_claim_that_could_not_be_stored_is_tried_again() -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.after(1000, "ring")
    world.store.fail_next(StorageError("storage", "unavailable"))
    await world.clock.advance(1)
    assert rings(world) == []
    await world.clock.advance(1)
    assert rings(world) == ["ring [] at"]


async def test_nothing_is_claimed_after_the_end_began() -> None:
    world = ringing()
    actor = await world.started()
    await actor.schedule.after(1000, "ring")
    actor.schedule.suspend()
    await world.clock.advance(5)
    assert rings(world) == []
    assert len(actor.schedule.list()) == 1


async def test_a_scheduled_action_is_waited_for_at_the_end() -> None:
    world = ringing()

    async def slow(actor: Scripted, _: list[object]) -> object:
        await actor.context.clock.sleep(5)
        actor.log.append("ring done")
        return None

    world.script.actions = {"slow": slow}
    actor = await world.started()
    await actor.schedule.after(1000, "slow")
    await world.clock.advance(1)
    stop = asyncio.create_task(actor.stop(StopKind.SLEEP))
    await world.clock.advance(6)
    await stop
    assert rings(world) == ["ring done"]


async def test_the_action_timeout_ends_a_scheduled_action(caplog: pytest.LogCaptureFixture) -> None:
    world = ringing(action_timeout=2.0)

    async def slow(actor: Scripted, _: list[object]) -> object:
        await actor.context.clock.sleep(100)
        return None

    world.script.actions = {"slow": slow}
    actor = await world.started()
    await actor.schedule.after(1000, "slow")
    await world.clock.advance(3.5)
    assert "action_timed_out" in caplog.text


async def test_a_state_save_keeps_the_one_shots_and_they_keep_the_state() -> None:
    world = ringing()
    actor = await world.started()
    world.instance.state = 1
    actor.context.request_save()
    await actor.schedule.after(10_000, "ring")
    await world.clock.advance(2)
    await actor.schedule.after(20_000, "ring")
    stored = await world.stored()
    assert stored is not None
    assert (cbor.decode(stored.state), len(stored.scheduled_events)) == (1, 2)


async def test_what_on_create_plans_is_stored_with_the_initialization() -> None:
    world = ringing()

    async def on_create(actor: Scripted) -> None:
        await actor.context.schedule.after(1000, "ring")
        assert await world.stored() is None

    world.script.hooks = {"on_create": on_create}
    await world.started()
    stored = await world.stored()
    assert stored is not None
    assert len(stored.scheduled_events) == 1
    await world.clock.advance(1)
    assert rings(world) == ["ring [] at"]


async def test_a_failed_first_start_leaves_no_schedule_behind() -> None:
    world = ringing()

    async def on_create(actor: Scripted) -> None:
        await actor.context.schedule.after(1000, "ring")
        raise error("actor.aborted")

    world.script.hooks = {"on_create": on_create}
    await failure_of(world.task().start(None))
    assert await world.stored() is None


async def test_what_a_long_scheduled_action_changed_is_saved_while_it_runs() -> None:
    async def work(actor: Scripted, _: list[object]) -> object:
        actor.state = 7
        await actor.context.clock.sleep(60)
        return None

    config = ActorConfig(no_sleep=True, state_save_interval=0.5, action_timeout=120.0)
    world = World(Script(actions={"work": work}, config=config))
    actor = await world.started()
    await actor.schedule.after(20_000, "work")
    await world.clock.advance(20.5)
    assert await world.stored_state() == 7
    await actor.kill()


async def test_a_scheduled_action_is_cancelled_at_the_end_of_the_grace_period() -> None:
    async def endless(actor: Scripted, _: list[object]) -> object:
        try:
            await asyncio.Event().wait()
        finally:
            actor.log.append(f"cancelled at {world.clock.now() - started}")
        return None

    world = World(Script(actions={"endless": endless}, config=ActorConfig(sleep_grace_period=5.0)))
    actor = await world.started()
    await actor.schedule.after(0, "endless")
    await world.clock.advance(0)
    started = world.clock.now()
    stopping = asyncio.create_task(actor.stop(StopKind.SLEEP))
    await world.clock.advance(5.0)
    await stopping
    assert world.log[-1] == "cancelled at 5.0"
