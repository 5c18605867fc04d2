"""One-shots that are tried again."""

from __future__ import annotations

import pytest

from rivetkit_core.actor.oneshots import Retries
from rivetkit_core.actor.task import StopKind
from rivetkit_core.clock import time_ms
from rivetkit_core.testing import settle
from rivetkit_core.wire.schedule_records import retry_key
from tests.unit.actor.scripted import Script, Scripted, World, failure_of


def flaky(failures: int) -> World:
    """An actor whose action ``work`` fails so many times, and logs when which attempt was made."""
    left = [failures]

    async def work(actor: Scripted, _: list[object]) -> object:
        fire = actor.context.schedule.fire
        assert fire is not None
        actor.log.append(f"try {fire.attempt} at {(time_ms(world.clock) - started) / 1000}")
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("not yet")
        return None

    async def slow(actor: Scripted, _: list[object]) -> object:
        actor.log.append("try slow")
        await actor.context.clock.sleep(30)
        return None

    world = World(Script(actions={"work": work, "slow": slow}))
    started = time_ms(world.clock)
    return world


def tries(world: World) -> list[str]:
    return [entry for entry in world.log if entry.startswith("try")]


async def test_a_failing_one_shot_is_tried_again_with_growing_delays() -> None:
    world = flaky(3)
    actor = await world.started()
    await actor.schedule.after(1000, "work", retries=Retries(times=5, delay=1000, max_delay=3000))
    await world.clock.advance(60)
    assert tries(world) == ["try 1 at 1.0", "try 2 at 2.0", "try 3 at 4.0", "try 4 at 7.0"]
    assert actor.schedule.list() == ()
    assert not [key for key in world.store.records[World.ACTOR_ID] if key.startswith(retry_key(""))]


async def test_it_is_given_up_after_the_last_try(caplog: pytest.LogCaptureFixture) -> None:
    world = flaky(100)
    actor = await world.started()
    await actor.schedule.after(0, "work", retries=Retries(times=2))
    await world.clock.advance(600)
    assert len(tries(world)) == 3
    assert actor.schedule.list() == ()
    assert "is given up" in caplog.text


async def test_a_try_that_a_crash_cut_short_is_repeated() -> None:
    world = flaky(0)
    actor = await world.started()
    await actor.schedule.after(1000, "slow", retries=Retries(times=1))
    await world.clock.advance(2)
    await actor.kill()
    actor = await world.started()
    await world.clock.advance(100)
    assert tries(world) == ["try slow"] * 2
    assert actor.schedule.list() == ()


async def test_crashes_use_up_tries_as_failures_do() -> None:
    world = flaky(0)
    actor = await world.started()
    await actor.schedule.after(1000, "slow", retries=Retries(times=1))
    for _ in range(4):
        await world.clock.advance(70)
        await actor.kill()
        actor = await world.started()
        await settle()
    assert len(tries(world)) <= 2
    assert actor.schedule.list() == ()


async def test_the_host_wakes_the_actor_for_a_try_that_was_cut_short() -> None:
    world = flaky(0)
    actor = await world.started()
    await actor.schedule.after(1000, "slow", retries=Retries(times=1, delay=5000))
    await world.clock.advance(1)
    await settle()
    assert world.alarm.pushes[-1] == time_ms(world.clock) + 60_000 + 1000 + 5000
    await actor.kill()


async def test_a_cancelled_one_shot_is_not_tried_again() -> None:
    world = flaky(100)
    actor = await world.started()
    planned = await actor.schedule.after(1000, "work", retries=Retries(times=5, delay=10_000))
    await world.clock.advance(5)
    assert await actor.schedule.cancel(planned)
    await world.clock.advance(600)
    assert len(tries(world)) == 1


async def test_retries_survive_sleep() -> None:
    world = flaky(1)
    actor = await world.started()
    await actor.schedule.after(1000, "work", retries=Retries(times=5, delay=10_000))
    await world.clock.advance(2)
    await actor.stop(StopKind.SLEEP)
    await world.started()
    await world.clock.advance(20)
    assert [entry.split(" at ")[0] for entry in tries(world)] == ["try 1", "try 2"]


@pytest.mark.parametrize(
    "retries", [Retries(0), Retries(1, delay=0), Retries(1, delay=10, max_delay=5)], ids=repr
)
async def test_retries_that_make_no_sense_are_refused(retries: Retries) -> None:
    actor = await flaky(0).started()
    refused = await failure_of(actor.schedule.after(0, "work", retries=retries))
    assert refused.code == "invalid_retries"
