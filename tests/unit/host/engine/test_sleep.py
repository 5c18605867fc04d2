"""Sleep and alarms of an engine host, against a scripted engine."""

from __future__ import annotations

import pytest

from rivetkit_core.config import ActorConfig
from rivetkit_core.testing.engine import ActorState
from rivetkit_core.wire.envoy.messages import Running, SetAlarm, SleepIntent, StopCode, StopIntent, Stopped
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import running

OK = Stopped(StopCode.OK)


async def _add(actor: Scripted, args: list[object]) -> object:
    assert isinstance(actor.state, int)
    actor.state += int(str(args[0]))
    return actor.state


async def _nap(actor: Scripted, args: list[object]) -> object:
    (at,) = args
    assert isinstance(at, int)
    await actor.context.set_alarm(at)
    actor.context.sleep()
    return None


NAPPING = Script(actions={"add": _add, "nap": _nap})


async def test_an_idle_actor_asks_for_sleep_and_a_request_wakes_it() -> None:
    async with running(NAPPING) as world:
        actor_id = await world.create()
        assert await world.call(actor_id, "add", 2) == 2
        await world.clock.advance(30)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        assert world.events_of(actor_id) == [Running(), SetAlarm(None), SleepIntent(), OK]
        assert await world.call(actor_id, "add", 1) == 3


async def test_an_alarm_is_told_at_once_and_forgotten_by_the_start_it_causes() -> None:
    async with running(NAPPING) as world:
        actor_id = await world.create()
        at = int(world.clock.now() * 1000) + 60_000
        await world.call(actor_id, "nap", at)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        assert SetAlarm(at) in world.events_of(actor_id)
        await world.clock.advance(60)
        await world.engine.reached(actor_id, ActorState.RUNNING)
        assert world.events_of(actor_id)[-2:] == [Running(), SetAlarm(None)]


async def test_an_alarm_set_by_a_startup_hook_travels_with_the_start() -> None:
    async def again(actor: Scripted) -> None:
        await actor.context.set_alarm(1_999_999_999_999)

    async with running(Script(hooks={"on_wake": again})) as world:
        actor_id = await world.create()
        assert world.events_of(actor_id) == [Running(), SetAlarm(1_999_999_999_999)]
        assert world.batches() == [2]


async def test_what_run_asks_for_at_once_is_told_after_running() -> None:
    async def run(actor: Scripted) -> None:
        actor.context.sleep()
        await actor.context.wait_aborted()

    async with running(Script(hooks={"run": run})) as world:
        actor_id = world.engine.create_actor("scripted", "a")
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        assert world.events_of(actor_id) == [Running(), SetAlarm(None), SleepIntent(), OK]


async def test_a_crash_of_run_is_told_to_the_engine_and_destroys_nothing() -> None:
    async def run(actor: Scripted) -> None:
        if actor.context.generation == 1:
            await actor.context.clock.sleep(1)
            raise RuntimeError("broken")

    config = ActorConfig(run_error_policy="crash")
    async with running(Script(hooks={"run": run}, actions={"add": _add}, config=config)) as world:
        actor_id = await world.create()
        assert await world.call(actor_id, "add", 2) == 2
        await world.clock.advance(1)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
        ended = Stopped(StopCode.ERROR, "run failed: broken")
        assert world.events_of(actor_id)[-2:] == [StopIntent(), ended]
        assert "on_sleep" in world.log
        assert await world.call(actor_id, "add", 1) == 3


async def _nap_and_end(actor: Scripted, _args: list[object]) -> object:
    actor.context.sleep()
    await actor.context.destroy()
    return None


async def _end(actor: Scripted) -> None:
    await actor.context.destroy()


async def test_destroying_overrules_a_sleep_that_was_asked_for_first() -> None:
    async with running(Script(actions={"go": _nap_and_end})) as world:
        actor_id = await world.create()
        await world.call(actor_id, "go")
        await world.engine.reached(actor_id, ActorState.DESTROYED)
        assert "on_destroy" in world.log
        assert "on_sleep" not in world.log


async def test_an_actor_may_end_for_good_while_it_goes_to_sleep() -> None:
    async with running(Script(actions=NAPPING.actions, hooks={"on_sleep": _end})) as world:
        actor_id = await world.create()
        await world.call(actor_id, "nap", 1_999_999_999_999)
        await world.engine.reached(actor_id, ActorState.DESTROYED)


async def test_a_destroy_that_the_engine_does_not_hear_is_asked_for_again() -> None:
    async with running(Script(actions=NAPPING.actions, hooks={"on_sleep": _end})) as world:
        world.environment.failing_deletions = 2
        actor_id = await world.create()
        await world.call(actor_id, "nap", 1_999_999_999_999)
        await world.clock.advance(5)
        await world.engine.reached(actor_id, ActorState.DESTROYED)


async def test_a_destroy_that_is_never_heard_is_given_up_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Script(actions=NAPPING.actions, hooks={"on_sleep": _end})) as world:
        world.environment.failing_deletions = 1000
        actor_id = await world.create()
        await world.call(actor_id, "nap", 1_999_999_999_999)
        await world.clock.advance(30)
        await world.engine.reached(actor_id, ActorState.ASLEEP)
    assert "sleeps instead" in caplog.text
