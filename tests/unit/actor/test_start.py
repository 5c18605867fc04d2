"""Startup: create versus wake, its order, and what a failed start leaves behind (actor-runtime 3)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import Lifecycle, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, StorageError, UserError
from tests.unit.actor.scripted import Script, Scripted, World, call, failure_of


async def test_a_first_start_runs_the_creation_hooks_in_order() -> None:
    world = World(Script())
    await world.started()
    assert world.log == ["create_state", "on_create", "create_vars", "on_wake"]


async def test_a_later_start_restores_state_and_does_not_create() -> None:
    world = World(Script(first_state=7))
    await (await world.started()).stop(StopKind.SLEEP)
    world.log.clear()
    task = await world.started()
    assert world.log == ["restore_state", "create_vars", "on_wake"]
    assert world.instance.state == 7
    assert task.lifecycle is Lifecycle.STARTED


async def test_the_stored_input_wins_over_the_one_of_a_later_start() -> None:
    world = World(Script())
    await (await world.started(input="first")).stop(StopKind.SLEEP)
    await world.started(input="second")
    record = await world.stored()
    assert record is not None
    assert world.instance.context.input == record.input
    assert await world.stored_state() == "first"


async def test_initialization_is_durable_before_the_actor_wakes() -> None:
    seen: list[bool] = []

    async def on_wake(_: Scripted) -> None:
        record = await world.stored()
        seen.append(record is not None and record.has_initialized)

    world = World(Script(hooks={"on_wake": on_wake}))
    await world.started()
    assert seen == [True]


async def test_a_failing_on_create_leaves_the_actor_uninitialized() -> None:
    async def refuse(_: Scripted) -> None:
        raise UserError("not today", code="closed")

    world = World(Script(hooks={"on_create": refuse}))
    task = world.task()
    with pytest.raises(UserError) as caught:
        await task.start(None)
    assert caught.value.code == "closed"
    assert caught.value.actor is not None
    assert task.lifecycle is Lifecycle.TERMINATED
    assert await world.stored() is None


async def test_an_unexpected_startup_failure_is_masked() -> None:
    async def crash(_: Scripted) -> None:
        raise RuntimeError("secret dsn")

    task = World(Script(hooks={"on_wake": crash})).task()
    with pytest.raises(RivetError) as caught:
        await task.start(None)
    assert (caught.value.group, caught.value.code) == ("actor", "start_failed")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("hook", "seconds"), [("create_state", 5), ("on_create", 5), ("create_vars", 5), ("on_wake", 30)]
)
async def test_a_startup_hook_has_a_budget(hook: str, seconds: float) -> None:
    async def never(_: Scripted) -> None:
        await asyncio.Event().wait()

    world = World(Script(hooks={hook: never}))
    task = world.task()
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(failure_of(task.start(None)))
        await world.clock.advance(seconds - 0.1)
        assert not starting.done()
        await world.clock.advance(0.2)
        assert (await starting).code == "callback_timed_out"


async def test_changes_made_by_hooks_after_creation_are_stored_before_dispatch() -> None:
    async def on_wake(instance: Scripted) -> None:
        instance.state = "woken"

    world = World(Script(hooks={"on_wake": on_wake}))
    await world.started()
    assert await world.stored_state() == "woken"


async def test_a_stateless_actor_starts_again_without_state() -> None:
    async def ping(_: Scripted, _args: list[object]) -> object:
        return "pong"

    world = World(Script(actions={"ping": ping}, has_state=False))
    await (await world.started()).stop(StopKind.SLEEP)
    assert await call(await world.started(), "ping") == "pong"


async def test_state_is_created_when_an_initialized_actor_gains_it() -> None:
    world = World(Script(has_state=False))
    await (await world.started()).stop(StopKind.SLEEP)
    world.script.has_state = True
    world.script.first_state = "new"
    await world.started()
    assert await world.stored_state() == "new"


async def test_a_damaged_snapshot_fails_the_start_and_keeps_its_bytes() -> None:
    world = World(Script())
    storage = world.store.storage(World.ACTOR_ID)
    await storage.apply({b"\x01": b"\x04\x00garbage"})
    with pytest.raises(RivetError):
        await world.started()
    assert await storage.load([b"\x01"]) == {b"\x01": b"\x04\x00garbage"}


async def test_a_start_that_cannot_store_fails_with_the_storage_error() -> None:
    world = World(Script())
    world.store.fail_next(StorageError("storage", "unavailable"))
    with pytest.raises(StorageError):
        await world.started()


async def test_an_action_is_refused_before_the_start_has_finished() -> None:
    failures: list[RivetError] = []

    async def ping(_: Scripted, _args: list[object]) -> object:
        return "pong"

    async def on_wake(_: Scripted) -> None:
        failures.append(await failure_of(call(task, "ping")))

    world = World(Script(actions={"ping": ping}, hooks={"on_wake": on_wake}, config=ActorConfig()))
    task = world.task()
    await task.start(None)
    assert [failure.code for failure in failures] == ["not_ready"]
