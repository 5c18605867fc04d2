"""How a generation ends (actor-runtime 5.4 to 5.8)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.task import ActorTask, Lifecycle, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call, failure_of


async def never(_: Scripted, _args: list[object]) -> object:
    await asyncio.Event().wait()
    return None


async def ping(_: Scripted, _args: list[object]) -> object:
    return "pong"


class Door:
    """An action that is under way until the test opens the door."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, instance: Scripted, _args: list[object]) -> object:
        self.entered.set()
        await self.open.wait()
        instance.state = "finished"
        return "answer"


async def stopping_behind(door: Door, kind: StopKind) -> tuple[World, ActorTask, list[asyncio.Task[object]]]:
    world = World(Script(actions={"slow": door, "ping": ping}))
    task = await world.started()
    running = asyncio.create_task(call(task, "slow"))
    await door.entered.wait()
    stopping: asyncio.Task[object] = asyncio.create_task(task.stop(kind))
    await settle()
    return world, task, [running, stopping]


async def test_accepted_work_finishes_and_its_changes_are_stored() -> None:
    door = Door()
    world, task, (running, stopping) = await stopping_behind(door, StopKind.SLEEP)
    assert not stopping.done()
    door.open.set()
    assert await running == "answer"
    await stopping
    assert await world.stored_state() == "finished"
    assert task.lifecycle is Lifecycle.TERMINATED


async def test_an_actor_that_is_destroyed_takes_no_work() -> None:
    door = Door()
    _, task, tasks = await stopping_behind(door, StopKind.DESTROY)
    assert task.lifecycle is Lifecycle.DESTROY_GRACE
    assert (await failure_of(call(task, "ping"))).code == "destroying"
    assert (await failure_of(task.open_connection(None, None))).code == "destroying"
    door.open.set()
    await asyncio.gather(*tasks)
    after = await failure_of(call(task, "ping"))
    assert (after.group, after.code, after.actor) == ("actor", "destroying", task.identity.specifier)


async def test_an_actor_that_goes_to_sleep_still_answers_calls() -> None:
    door = Door()
    _, task, tasks = await stopping_behind(door, StopKind.SLEEP)
    assert task.lifecycle is Lifecycle.SLEEP_GRACE
    assert await call(task, "ping") == "pong"
    door.open.set()
    await asyncio.gather(*tasks)
    after = await failure_of(call(task, "ping"))
    assert (after.group, after.code, after.actor) == ("actor", "stopping", task.identity.specifier)


async def test_an_actor_that_goes_to_sleep_takes_nothing_from_sockets() -> None:
    door = Door()
    world = World(Script(actions={"slow": door, "ping": ping}))
    task = await world.started()
    conn = await task.open_connection(None, RecordingSink())
    running = asyncio.create_task(call(task, "slow"))
    await door.entered.wait()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    assert (await failure_of(task.open_connection(None, RecordingSink()))).code == "stopping"
    assert (await failure_of(task.run_action("ping", b"\x80", conn))).code == "stopping"
    door.open.set()
    await asyncio.gather(running, stopping)


async def test_work_is_refused_once_the_actor_asked_to_be_destroyed() -> None:
    async def end(instance: Scripted, _args: list[object]) -> object:
        await instance.context.destroy()
        return "soon"

    world = World(Script(actions={"end": end, "ping": ping}))
    task = await world.started()
    assert await call(task, "end") == "soon"
    assert world.host.destroy_requests == 1
    assert (await failure_of(call(task, "ping"))).code == "destroying"
    assert (await failure_of(task.context.destroy())).code == "stopping"
    await task.stop(StopKind.DESTROY)


async def test_destroying_during_the_start_is_refused() -> None:
    codes: list[str] = []

    async def on_wake(instance: Scripted) -> None:
        codes.append((await failure_of(instance.context.destroy())).code)

    await World(Script(hooks={"on_wake": on_wake})).started()
    assert codes == ["starting"]


@pytest.mark.parametrize("detached", [False, True])
async def test_work_that_outlives_the_grace_period_is_aborted(detached: bool) -> None:
    world = World(Script(actions={"slow": never}))
    task = await world.started()
    answer = task.call_detached("slow", b"\x80", None) if detached else call(task, "slow")
    running = asyncio.create_task(failure_of(answer))
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(14.9)
    assert not running.done()
    await world.clock.advance(0.2)
    failure = await running
    assert (failure.group, failure.code, failure.actor) == ("actor", "aborted", task.identity.specifier)
    await stopping
    assert task.lifecycle is Lifecycle.TERMINATED


async def test_aborting_is_counted_once_for_each_task(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script(actions={"slow": never}))
    task = await world.started()
    running = asyncio.create_task(failure_of(task.call_detached("slow", b"\x80", None)))
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(15.1)
    await asyncio.gather(running, stopping)
    assert "cancelled 1 tasks" in caplog.text


async def test_state_is_stored_even_if_the_grace_period_was_exceeded() -> None:
    async def half(instance: Scripted, _args: list[object]) -> object:
        instance.state = "half"
        await asyncio.Event().wait()
        return None

    world = World(Script(actions={"half": half}, config=ActorConfig(state_save_interval=1000.0)))
    task = await world.started()
    running = asyncio.create_task(failure_of(call(task, "half")))
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(16)
    await stopping
    await running
    assert await world.stored_state() == "half"


async def test_work_that_ignores_its_cancellation_does_not_block_the_stop() -> None:
    release = asyncio.Event()

    async def stubborn(_: Scripted, _args: list[object]) -> object:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return None

    world = World(Script(actions={"stubborn": stubborn}))
    task = await world.started()
    running = asyncio.create_task(call(task, "stubborn"))
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(15 + 3 * 5 + 1)
    assert stopping.done()
    release.set()
    await running


@pytest.mark.parametrize(
    ("kind", "closed"),
    [(StopKind.SLEEP, (1001, "ws.going_away")), (StopKind.DESTROY, (1000, ""))],
)
async def test_sockets_are_closed_and_see_on_disconnect(kind: StopKind, closed: tuple[int, str]) -> None:
    world = World(Script())
    task = await world.started()
    sink = RecordingSink()
    await task.open_connection(None, sink)
    await task.stop(kind)
    assert sink.closed == closed
    assert world.log.count("on_disconnect") == 1
    assert len(task.connections) == 0


async def test_a_change_by_on_disconnect_is_part_of_the_final_state() -> None:
    async def leave(instance: Scripted, conn: Connection) -> None:
        instance.state = "left"

    world = World(Script(conn_hooks={"on_disconnect": leave}))
    task = await world.started()
    await task.open_connection(None, RecordingSink())
    await task.stop(StopKind.SLEEP)
    assert await world.stored_state() == "left"


async def test_on_destroy_runs_once_and_only_when_destroying() -> None:
    world = World(Script())
    await (await world.started()).stop(StopKind.SLEEP)
    assert "on_destroy" not in world.log
    await (await world.started()).stop(StopKind.DESTROY)
    assert world.log.count("on_destroy") == 1


async def test_a_failing_on_destroy_is_logged_and_does_not_stop_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_: Scripted) -> None:
        raise RuntimeError("farewell broke")

    task = await World(Script(hooks={"on_destroy": fail})).started()
    await task.stop(StopKind.DESTROY)
    assert "farewell broke" in caplog.text
    assert task.lifecycle is Lifecycle.TERMINATED


async def test_on_destroy_has_a_budget_of_its_own() -> None:
    async def hang(_: Scripted) -> None:
        await asyncio.Event().wait()

    world = World(Script(hooks={"on_destroy": hang}, config=ActorConfig(on_destroy_timeout=2.0)))
    task = await world.started()
    stopping = asyncio.create_task(task.stop(StopKind.DESTROY))
    await world.clock.advance(1.9)
    assert not stopping.done()
    await world.clock.advance(0.2)
    assert stopping.done()


async def test_a_destroyed_actor_is_not_saved() -> None:
    world = World(Script(actions={"ping": ping}))
    task = await world.started()
    writes = world.store.writes
    world.instance.state = "unsaved"
    await call(task, "ping")
    await task.stop(StopKind.DESTROY)
    await world.clock.advance(5)
    assert world.store.writes == writes


async def test_the_abort_signal_is_visible_to_running_work() -> None:
    seen: list[bool] = []

    async def wait(instance: Scripted, _args: list[object]) -> object:
        seen.append(instance.context.aborted)
        await instance.context.wait_aborted()
        seen.append(instance.context.aborted)
        return None

    task = await World(Script(actions={"wait": wait})).started()
    running = asyncio.create_task(call(task, "wait"))
    await settle()
    await task.stop(StopKind.SLEEP)
    await running
    assert seen == [False, True]


async def test_a_failed_final_save_is_raised_and_keeps_the_old_state() -> None:
    world = World(Script(first_state="old"))
    task = await world.started()
    world.instance.state = "new"
    world.store.fail_next(StorageError("storage", "unavailable"))
    with pytest.raises(StorageError):
        await task.stop(StopKind.SLEEP)
    assert task.lifecycle is Lifecycle.TERMINATED
    assert await world.stored_state() == "old"


async def test_nothing_is_pending_after_a_stop() -> None:
    world = World(Script(actions={"ping": ping}))
    task = await world.started()
    await call(task, "ping")
    await task.stop(StopKind.SLEEP)
    assert world.clock.pending() == []
    assert task.work.active == 0


async def test_saving_after_the_end_fails_instead_of_waiting() -> None:
    world = World(Script())
    task = await world.started()
    await task.stop(StopKind.SLEEP)
    assert isinstance(await failure_of(task.context.save_state()), StorageError)
