"""What the host is told about the next due time (actor-runtime 8.4)."""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.clock import time_ms
from rivetkit_core.errors import StorageError, error
from rivetkit_core.testing import settle
from rivetkit_core.wire.persisted import LAST_ALARM_KEY, decode_last_alarm
from tests.unit.actor.scripted import Script, Scripted, World, failure_of


def world_with_ring() -> World:
    async def ring(actor: Scripted, _: list[object]) -> object:
        actor.log.append("ring")
        return None

    return World(Script(actions={"ring": ring}))


def noted(world: World) -> int | None:
    return decode_last_alarm(world.store.records[World.ACTOR_ID][LAST_ALARM_KEY])


async def planned(world: World, delay: int = 60_000) -> tuple[ActorTask, int]:
    actor = await world.started()
    await actor.schedule.after(delay, "ring")
    return actor, time_ms(world.clock) + delay


async def test_the_alarm_is_set_before_a_plan_is_acknowledged_and_then_noted() -> None:
    world = world_with_ring()
    _, due = await planned(world)
    assert world.alarm.pushes[-1] == due
    assert noted(world) == due


async def test_a_later_plan_does_not_move_the_alarm() -> None:
    world = world_with_ring()
    actor, _ = await planned(world)
    pushes = len(world.alarm.pushes)
    await actor.schedule.after(90_000, "ring")
    assert len(world.alarm.pushes) == pushes
    await actor.schedule.after(30_000, "ring")
    assert len(world.alarm.pushes) == pushes + 1


async def test_when_nothing_is_left_the_alarm_is_cleared() -> None:
    world = world_with_ring()
    await planned(world)
    await world.clock.advance(60)
    assert world.alarm.pushes[-1] is None
    assert noted(world) is None


async def test_an_actor_without_plans_writes_nothing() -> None:
    world = world_with_ring()
    actor = await world.started()
    await actor.stop(StopKind.SLEEP)
    await world.started()
    assert LAST_ALARM_KEY not in world.store.records[World.ACTOR_ID]
    assert world.alarm.pushes == []


async def test_sleep_leaves_the_alarm_and_destruction_clears_it() -> None:
    world = world_with_ring()
    actor, due = await planned(world)
    await actor.stop(StopKind.SLEEP)
    assert world.alarm.pushes[-1] == due
    actor = await world.started()
    await actor.stop(StopKind.DESTROY)
    assert world.alarm.pushes[-1] is None


async def test_a_new_generation_sets_the_alarm_before_its_hooks_run() -> None:
    world = world_with_ring()
    actor, due = await planned(world)
    await actor.stop(StopKind.SLEEP)
    world.alarm.pushes.clear()
    seen: list[list[int | None]] = []

    async def on_wake(_: Scripted) -> None:
        seen.append(list(world.alarm.pushes))

    world.script.hooks = {"on_wake": on_wake}
    await world.started()
    assert seen == [[due]]
    assert world.alarm.pushes == [due]


async def test_what_is_overdue_at_a_start_is_fired_and_not_pushed() -> None:
    world = world_with_ring()
    actor, _ = await planned(world)
    later = time_ms(world.clock) + 500_000
    await actor.schedule.at(later, "ring")
    await actor.stop(StopKind.SLEEP)
    await world.clock.advance(100)
    world.alarm.pushes.clear()
    await world.started()
    assert world.alarm.pushes == [later]


async def test_a_failed_push_is_tried_again_with_the_next_change() -> None:
    world = world_with_ring()
    actor = await world.started()
    world.alarm.failure = error("storage.unavailable")
    await actor.schedule.after(60_000, "ring")
    due = time_ms(world.clock) + 60_000
    assert LAST_ALARM_KEY not in world.store.records[World.ACTOR_ID]
    world.alarm.failure = None
    await actor.schedule.after(90_000, "ring")
    assert world.alarm.pushes[-1] == due
    assert noted(world) == due


async def test_a_failed_push_is_tried_again_at_the_end() -> None:
    world = world_with_ring()
    actor = await world.started()
    world.alarm.failure = error("storage.unavailable")
    await actor.schedule.after(60_000, "ring")
    world.alarm.failure = None
    await actor.stop(StopKind.SLEEP)
    assert world.alarm.pushes[-1] == time_ms(world.clock) + 60_000


async def test_a_push_that_fails_does_not_lose_what_was_claimed() -> None:
    world = world_with_ring()
    await planned(world)
    world.alarm.failure = error("storage.unavailable")
    await world.clock.advance(60)
    assert world.log[-1] == "ring"


async def test_a_cancelled_push_is_made_up_for() -> None:
    world = world_with_ring()
    actor = await world.started()
    world.alarm.gate.clear()
    planning = asyncio.create_task(actor.schedule.after(60_000, "ring"))
    await world.clock.advance(0)
    planning.cancel()
    await asyncio.wait([planning])
    world.alarm.gate.set()
    await actor.stop(StopKind.SLEEP)
    assert world.alarm.pushes[-1] == time_ms(world.clock) + 60_000


async def test_the_note_is_never_ahead_of_the_host() -> None:
    world = world_with_ring()
    actor = await world.started()
    world.store.fail_next(StorageError("storage", "unavailable"))  # the plan
    await failure_of(actor.schedule.after(60_000, "ring"))
    assert world.alarm.pushes == []


async def test_a_failed_first_start_sets_no_alarm() -> None:
    world = world_with_ring()

    async def on_create(actor: Scripted) -> None:
        await actor.context.schedule.after(1000, "ring")
        raise error("actor.aborted")

    world.script.hooks = {"on_create": on_create}
    await failure_of(world.task().start(None))
    assert world.alarm.pushes == []


async def test_what_comes_due_during_the_start_keeps_its_alarm_until_it_was_taken_up() -> None:
    """A process that dies before it claimed anything must not have told the host to forget the alarm."""

    async def wake(actor: Scripted) -> None:
        await actor.context.clock.sleep(5.0)

    world = world_with_ring()
    actor, due = await planned(world, delay=2000)
    await actor.kill()
    world.script.hooks = {"on_wake": wake}
    world.store.hold_writes()
    actor = world.task()
    starting = asyncio.create_task(actor.start(None))
    await world.clock.advance(6)
    assert world.alarm.pushes[-1] == due
    world.store.release_writes()
    await starting
    assert world.alarm.pushes[-1] is None


async def test_what_is_overdue_keeps_its_alarm_until_it_was_taken_up() -> None:
    world = world_with_ring()
    actor, due = await planned(world, delay=2000)
    await actor.schedule.after(90_000, "ring")
    await actor.kill()
    await world.clock.advance(10)
    world.store.hold_writes()
    starting = asyncio.create_task(world.task().start(None))
    await settle()
    assert world.alarm.pushes[-1] == due
    world.store.release_writes()
    await starting
    assert world.alarm.pushes[-1] == due + 88_000
