"""The background loop (actor-runtime 3.2)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import Lifecycle, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, failure_of


async def until_aborted(instance: Scripted) -> None:
    await instance.context.wait_aborted()
    instance.log.append("left")


async def forever(instance: Scripted) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        instance.log.append("cancelled")


async def test_run_begins_when_the_actor_has_started() -> None:
    seen: list[bool] = []

    async def run(instance: Scripted) -> None:
        seen.append(instance.context.started)

    world = World(Script(hooks={"run": run}))
    await world.started()
    await settle()
    assert seen == [True]
    assert world.log[-2:] == ["on_wake", "run"]


async def test_returning_is_no_end() -> None:
    async def run(_: Scripted) -> None:
        return None

    world = World(Script(hooks={"run": run}))
    task = await world.started()
    await world.clock.advance(1)
    assert task.lifecycle is Lifecycle.STARTED
    await world.clock.advance(30)
    assert world.host.sleep_requests == 1
    await task.stop(StopKind.SLEEP)
    assert world.log[-1] == "on_sleep"


async def test_sleep_waits_for_run_to_see_the_signal() -> None:
    world = World(Script(hooks={"run": until_aborted}))
    task = await world.started()
    await settle()
    await task.stop(StopKind.SLEEP)
    assert "left" in world.log


async def test_a_run_that_does_not_listen_is_cancelled_at_the_deadline() -> None:
    world = World(Script(hooks={"run": forever}))
    task = await world.started()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(14.9)
    assert "cancelled" not in world.log
    await world.clock.advance(0.1)
    assert "cancelled" in world.log
    assert stopping.done()


async def test_destroying_does_not_wait_for_run() -> None:
    world = World(Script(hooks={"run": forever}))
    task = await world.started()
    await settle()
    await task.stop(StopKind.DESTROY)
    assert "cancelled" in world.log


async def test_what_run_changes_is_stored() -> None:
    async def run(instance: Scripted) -> None:
        instance.state = "by run"
        await instance.context.wait_aborted()

    world = World(Script(hooks={"run": run}))
    await world.started()
    await world.clock.advance(1.1)
    assert await world.stored_state() == "by run"


@pytest.mark.parametrize(("policy", "crashes"), [("sleep", []), ("crash", ["run failed: broken"])])
async def test_a_failure_is_logged_and_reported_as_the_policy_says(
    policy: str, crashes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def run(_: Scripted) -> None:
        raise RuntimeError("broken")

    config = ActorConfig.from_input({"run_error_policy": policy})
    world = World(Script(hooks={"run": run}, config=config))
    task = await world.started()
    await settle()
    assert "run failed" in caplog.text
    assert world.host.crashes == crashes
    await world.clock.advance(30)
    assert task.lifecycle is Lifecycle.STARTED
    assert world.host.sleep_requests == 1


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def run(_: Scripted) -> None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    world = World(Script(hooks={"run": run}, config=ActorConfig(run_error_policy="crash")))
    await world.started()
    await settle()
    assert "run failed" in caplog.text
    assert len(world.host.crashes) == 1


async def test_being_cancelled_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script(hooks={"run": forever}, config=ActorConfig(run_error_policy="crash")))
    task = await world.started()
    await settle()
    await task.context.restart_run()
    await task.stop(StopKind.DESTROY)
    assert world.host.crashes == []
    assert "run failed" not in caplog.text


async def test_leaving_with_the_signal_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def run(instance: Scripted) -> None:
        await instance.context.wait_aborted()
        instance.context.abort_signal.raise_if_aborted()

    world = World(Script(hooks={"run": run}, config=ActorConfig(run_error_policy="crash")))
    task = await world.started()
    await settle()
    await task.stop(StopKind.SLEEP)
    assert world.host.crashes == []
    assert "run failed" not in caplog.text


async def test_restarting_cancels_and_begins_anew() -> None:
    world = World(Script(hooks={"run": forever}))
    task = await world.started()
    await settle()
    await task.context.restart_run()
    await settle()
    assert world.log[-3:] == ["run", "cancelled", "run"]
    await task.kill()


async def test_a_finished_run_can_be_restarted() -> None:
    async def run(_: Scripted) -> None:
        return None

    world = World(Script(hooks={"run": run}))
    task = await world.started()
    await settle()
    await task.context.restart_run()
    await settle()
    assert world.log.count("run") == 2


async def test_there_must_be_a_run_to_restart() -> None:
    task = await World(Script()).started()
    assert (await failure_of(task.context.restart_run())).code == "invalid_operation"


async def test_a_run_cannot_restart_itself() -> None:
    codes: list[str] = []

    async def run(instance: Scripted) -> None:
        codes.append((await failure_of(instance.context.restart_run())).code)

    await World(Script(hooks={"run": run})).started()
    await settle()
    assert codes == ["invalid_operation"]


async def test_restarting_is_refused_at_the_end() -> None:
    world = World(Script(hooks={"run": until_aborted}))
    task = await world.started()
    await settle()
    await task.stop(StopKind.SLEEP)
    assert (await failure_of(task.context.restart_run())).code == "stopping"


async def test_killing_ends_run() -> None:
    world = World(Script(hooks={"run": forever}))
    task = await world.started()
    await settle()
    await task.kill()
    assert "cancelled" in world.log
    assert world.clock.pending() == []
