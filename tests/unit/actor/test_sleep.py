"""When an actor is idle, and what it does about it (actor-runtime 5.1 to 5.3)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.sleep import SleepBlocker
from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call, failure_of

TEN = ActorConfig(sleep_timeout=10.0, state_save_interval=0.01)


async def ping(_: Scripted, _args: list[object]) -> object:
    return "pong"


class Held:
    """Waits, in an action or a hook, until the test lets it go."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, _instance: Scripted, _args: list[object] | None = None) -> object:
        await self.release.wait()
        return None

    async def hook(self, _instance: Scripted) -> None:
        await self.release.wait()


async def test_an_idle_actor_asks_for_sleep_once() -> None:
    world = World(Script(config=TEN))
    await world.started()
    await world.clock.advance(9.9)
    assert world.host.sleep_requests == 0
    await world.clock.advance(0.1)
    assert world.host.sleep_requests == 1
    await world.clock.advance(100)
    assert world.host.sleep_requests == 1


async def test_every_call_counts_from_the_beginning() -> None:
    world = World(Script(actions={"ping": ping}, config=TEN))
    task = await world.started()
    for _ in range(5):
        await world.clock.advance(9)
        await call(task, "ping")
    assert world.host.sleep_requests == 0
    await world.clock.advance(9.9)
    assert world.host.sleep_requests == 0
    await world.clock.advance(0.1)
    assert world.host.sleep_requests == 1


async def test_calls_set_no_timers() -> None:
    world = World(Script(actions={"ping": ping}, config=TEN, has_state=False))
    task = await world.started()
    before = len(world.clock.pending())
    for _ in range(100):
        await call(task, "ping")
    assert len(world.clock.pending()) == before == 1


async def test_an_actor_may_never_sleep_by_itself() -> None:
    world = World(Script(config=ActorConfig(no_sleep=True)))
    task = await world.started()
    await world.clock.advance(days=1)
    assert world.host.sleep_requests == 0
    assert task.sleep.blocker() is SleepBlocker.NO_SLEEP
    task.context.sleep()
    assert world.host.sleep_requests == 1


async def test_a_long_action_keeps_the_actor_awake_and_its_end_starts_the_time() -> None:
    held = Held()
    world = World(Script(actions={"held": held}, config=TEN))
    task = await world.started()
    running = asyncio.create_task(call(task, "held"))
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_INTERNAL_KEEP_AWAKE
    held.release.set()
    await running
    await world.clock.advance(9.9)
    assert world.host.sleep_requests == 0
    await world.clock.advance(0.2)
    assert world.host.sleep_requests == 1


async def test_a_connection_keeps_the_actor_awake_until_it_closes() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    conn = await task.open_connection(None, RecordingSink())
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_CONNECTIONS
    await conn.disconnect()
    await world.clock.advance(10)
    assert world.host.sleep_requests == 1


async def test_on_disconnect_keeps_the_actor_awake() -> None:
    held = Held()

    async def leave(_instance: Scripted, _conn: object) -> None:
        await held.release.wait()

    world = World(Script(conn_hooks={"on_disconnect": leave}, config=TEN))
    task = await world.started()
    conn = await task.open_connection(None, RecordingSink())
    await conn.disconnect()
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_DISCONNECT_CALLBACKS
    held.release.set()
    await settle()
    assert task.sleep.blocker() is None


async def test_run_keeps_the_actor_awake_unless_it_waits_for_a_message() -> None:
    waits, goes_on = asyncio.Event(), asyncio.Event()

    async def run(instance: Scripted) -> None:
        await waits.wait()
        with instance.context.queue_wait():
            await goes_on.wait()
        await instance.context.wait_aborted()

    world = World(Script(hooks={"run": run}, config=TEN))
    task = await world.started()
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_RUN_HANDLER
    waits.set()
    await settle()
    assert task.sleep.blocker() is None
    await world.clock.advance(9)
    goes_on.set()
    await world.clock.advance(50)
    assert world.host.sleep_requests == 0
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_RUN_HANDLER


async def test_an_action_that_waits_for_a_message_keeps_the_actor_awake() -> None:
    async def receive(instance: Scripted, _args: list[object]) -> object:
        with instance.context.queue_wait():
            await asyncio.Event().wait()
        return None

    world = World(Script(actions={"receive": receive}, config=TEN))
    task = await world.started()
    running = asyncio.create_task(failure_of(call(task, "receive")))
    await world.clock.advance(50)
    assert world.host.sleep_requests == 0
    running.cancel()
    await asyncio.wait([running])


async def test_keep_awake_keeps_awake_and_returns_the_result() -> None:
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(instance: Scripted) -> None:
        with instance.context.queue_wait():
            instance.log.append(await instance.context.keep_awake().over(gate))

    world = World(Script(hooks={"run": run}, config=TEN))
    task = await world.started()
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_KEEP_AWAKE
    gate.set_result("done")
    await settle()
    assert "done" in world.log
    assert task.sleep.blocker() is None


async def test_a_region_ends_however_it_is_left() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    with pytest.raises(RuntimeError, match="left"):
        async with task.context.keep_awake():
            assert task.sleep.blocker() is SleepBlocker.ACTIVE_KEEP_AWAKE
            raise RuntimeError("left")
    assert task.sleep.blocker() is None


async def test_wait_until_does_not_keep_awake_but_delays_the_end() -> None:
    held = Held()
    world = World(Script(config=TEN))
    task = await world.started()
    task.context.wait_until(held(world.instance))
    await settle()
    assert task.sleep.blocker() is None
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    assert not stopping.done()
    held.release.set()
    await stopping


async def test_what_is_waited_for_in_vain_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("in the background")

    task = await World(Script()).started()
    task.context.wait_until(fail())
    await settle()
    assert "in the background" in caplog.text


async def test_background_work_that_comes_too_late_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script())
    task = await world.started()
    await task.stop(StopKind.SLEEP)
    task.context.wait_until(Held()(world.instance))  # warnings are errors: it must have been closed
    assert "wait_until was refused" in caplog.text


async def test_the_legacy_switch_holds_sleep_and_the_end_back() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    task.context.prevent_sleep = True
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.PREVENT_SLEEP
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(1)
    assert not stopping.done()
    task.context.prevent_sleep = False
    await settle()
    assert stopping.done()


async def test_the_deadline_wins_over_the_legacy_switch() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    task.context.prevent_sleep = True
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(15)
    assert stopping.done()


async def test_sleeping_is_refused_during_the_start_and_at_the_end() -> None:
    codes: list[str] = []

    async def on_wake(instance: Scripted) -> None:
        with pytest.raises(Exception, match="start") as caught:
            instance.context.sleep()
        codes.append(getattr(caught.value, "code", ""))

    world = World(Script(hooks={"on_wake": on_wake}))
    task = await world.started()
    assert codes == ["starting"]
    await task.stop(StopKind.SLEEP)
    with pytest.raises(Exception, match="stopp"):
        task.context.sleep()
    assert world.host.sleep_requests == 0


async def test_asking_for_sleep_twice_is_asking_once() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    task.context.sleep()
    task.context.sleep()
    await world.clock.advance(100)
    assert world.host.sleep_requests == 1


async def test_destroying_is_still_possible_after_asking_for_sleep() -> None:
    world = World(Script())
    task = await world.started()
    task.context.sleep()
    await task.context.destroy()
    assert (world.host.sleep_requests, world.host.destroy_requests) == (1, 1)


async def test_work_that_came_meanwhile_takes_the_request_back() -> None:
    held = Held()
    world = World(Script(actions={"held": held}, config=TEN))
    task = await world.started()
    await world.clock.advance(10)
    running = asyncio.create_task(call(task, "held"))
    await settle()
    assert not task.sleep.still_wanted()
    held.release.set()
    await running
    await world.clock.advance(10)
    assert world.host.sleep_requests == 2
    assert task.sleep.still_wanted()


async def test_a_request_of_the_actors_own_is_not_taken_back() -> None:
    world = World(Script(actions={"held": Held()}, config=TEN))
    task = await world.started()
    running = asyncio.create_task(call(task, "held"))
    await settle()
    task.context.sleep()
    assert task.sleep.still_wanted()
    await task.kill()
    await asyncio.wait([running])
    assert running.exception() is not None


async def test_nothing_asks_for_sleep_after_the_end() -> None:
    world = World(Script(config=TEN))
    task = await world.started()
    await task.stop(StopKind.SLEEP)
    await world.clock.advance(100)
    assert world.host.sleep_requests == 0
    assert world.clock.pending() == []


async def test_the_reasons_to_stay_awake_are_looked_for_in_their_order() -> None:
    """Every reason at once, taken away one by one."""
    calls, leaves, runs, keeps = Held(), Held(), Held(), Held()

    async def leave(_instance: Scripted, _conn: object) -> None:
        await leaves.release.wait()

    async def keep(instance: Scripted, _args: list[object]) -> object:
        return await instance.context.keep_awake().over(keeps(instance))

    script = Script(
        actions={"held": calls, "keep": keep},
        hooks={"run": runs.hook},
        conn_hooks={"on_disconnect": leave},
        config=TEN,
    )
    world = World(script)
    task = world.task()
    assert task.sleep.blocker() is SleepBlocker.NOT_READY
    await task.start(None)
    staying = await task.open_connection(None, RecordingSink())
    leaving = await task.open_connection(None, RecordingSink())
    await leaving.disconnect()
    calling = asyncio.create_task(task.run_action("held", b"\x80", staying))
    keeping = asyncio.create_task(task.run_action("keep", b"\x80", staying))
    task.context.prevent_sleep = True
    await settle()
    assert task.sleep.blocker() is SleepBlocker.PREVENT_SLEEP
    task.context.prevent_sleep = False
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_KEEP_AWAKE
    keeps.release.set()
    await keeping
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_INTERNAL_KEEP_AWAKE
    calls.release.set()
    await calling
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_RUN_HANDLER
    runs.release.set()
    await settle()
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_DISCONNECT_CALLBACKS
    leaves.release.set()
    await settle()
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_CONNECTIONS
    await staying.disconnect()
    await settle()
    assert task.sleep.blocker() is None
    await world.clock.advance(10)
    assert world.host.sleep_requests == 1


async def test_the_legacy_switch_may_be_set_while_waking() -> None:
    async def on_wake(instance: Scripted) -> None:
        instance.context.prevent_sleep = True

    world = World(Script(hooks={"on_wake": on_wake}, config=TEN))
    task = await world.started()
    await world.clock.advance(50)
    assert world.host.sleep_requests == 0
    task.context.prevent_sleep = False
    await world.clock.advance(10)
    assert world.host.sleep_requests == 1


async def test_a_scheduled_action_keeps_the_actor_awake() -> None:
    held = Held()
    world = World(Script(actions={"held": held}, config=TEN))
    task = await world.started()
    await task.schedule.after(1000, "held")
    await world.clock.advance(50)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_INTERNAL_KEEP_AWAKE
    assert world.host.sleep_requests == 0
    held.release.set()
    await world.clock.advance(10)
    assert world.host.sleep_requests == 1
