"""Delayed messages wake a sleeping actor, by the same alarm as its schedules."""

from __future__ import annotations

from rivetkit_core.actor.factory import QueueSpec
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.clock import time_ms
from tests.unit.actor.scripted import Script, Scripted, World


def world_with_delays() -> World:
    async def ring(_: Scripted, _args: list[object]) -> object:
        return None

    return World(Script(actions={"ring": ring}, queues={"later": QueueSpec(delay=0.0)}))


async def test_the_earlier_of_a_message_and_a_schedule_sets_the_alarm() -> None:
    world = world_with_delays()
    actor = await world.started()
    now = time_ms(world.clock)
    await actor.schedule.after(60_000, "ring")
    await actor.context.queue.send("later", b"", delay=30.0)
    await actor.context.queue.send("later", b"", delay=90.0)
    assert world.alarm.pushes == [now + 60_000, now + 30_000]
    await actor.stop(StopKind.SLEEP)
    assert world.alarm.pushes[-1] == now + 30_000


async def test_a_new_generation_sets_the_alarm_for_messages_again() -> None:
    world = world_with_delays()
    actor = await world.started()
    due = time_ms(world.clock) + 30_000
    await actor.context.queue.send("later", b"", delay=30.0)
    await actor.stop(StopKind.SLEEP)
    world.alarm.pushes.clear()
    await world.started()
    assert world.alarm.pushes == [due]


async def test_a_message_that_is_due_already_wakes_nobody() -> None:
    world = world_with_delays()
    actor = await world.started()
    await actor.context.queue.send("later", b"", delay=5.0)
    await world.clock.advance(6)
    await actor.stop(StopKind.SLEEP)
    assert world.alarm.pushes[-1] is None
