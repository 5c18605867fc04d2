"""What a failed start leaves behind: nothing (actor-runtime 3.1)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import Lifecycle, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, failure_of

HOOKS = ["on_migrate", "create_state", "on_create", "create_vars", "on_wake"]
CREATING = {"on_migrate", "create_state", "on_create"}


async def fail(instance: Scripted) -> None:
    instance.context.wait_until(asyncio.Event().wait())
    raise RuntimeError("no")


async def hang(_: Scripted) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("hook", HOOKS)
async def test_nothing_runs_on_and_no_end_is_celebrated(hook: str) -> None:
    world = World(Script(hooks={hook: fail, "on_sleep": hang, "on_destroy": hang, "run": hang}))
    task = world.task()
    assert (await failure_of(task.start(None))).code == "start_failed"
    await settle()
    assert task.lifecycle is Lifecycle.TERMINATED
    assert not {"on_sleep", "on_destroy", "run"} & set(world.log)
    assert world.clock.pending() == []
    assert task.work.active == 0
    assert (world.host.sleep_requests, world.host.destroy_requests) == (0, 0)


@pytest.mark.parametrize("hook", HOOKS)
async def test_the_next_start_is_a_first_one_unless_creation_was_over(hook: str) -> None:
    world = World(Script(hooks={hook: fail}))
    await failure_of(world.started())
    stored = await world.stored()
    assert (stored is None) == (hook in CREATING)
    world.script.hooks = {}
    world.log.clear()
    await world.started()
    assert ("on_create" in world.log) == (hook in CREATING)


@pytest.mark.parametrize("hook", HOOKS)
async def test_the_log_says_where_it_failed(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    await failure_of(World(Script(hooks={hook: fail})).started())
    assert f"the actor failed to start, in {hook}" in caplog.text


async def test_the_log_says_that_storage_failed(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script())
    world.store.fail_next(StorageError("storage", "unavailable"))
    await failure_of(world.started())
    assert "the actor failed to start, in load" in caplog.text or "in persist" in caplog.text


async def test_on_migrate_has_a_budget() -> None:
    world = World(Script(hooks={"on_migrate": hang}, config=ActorConfig(on_migrate_timeout=7.0)))
    starting = asyncio.create_task(failure_of(world.started()))
    await world.clock.advance(6.9)
    assert not starting.done()
    await world.clock.advance(0.2)
    assert (await starting).code == "callback_timed_out"
    assert await world.stored() is None


async def test_a_failed_wake_leaves_the_state_as_it_was() -> None:
    async def spoil(instance: Scripted) -> None:
        instance.state = "spoilt"
        raise RuntimeError("no")

    world = World(Script(first_state="good"))
    await (await world.started()).stop(StopKind.SLEEP)
    world.script.hooks = {"on_wake": spoil}
    await failure_of(world.started())
    await world.clock.advance(10)
    assert await world.stored_state() == "good"


async def test_on_migrate_comes_first_and_knows_whether_the_actor_is_new() -> None:
    async def migrate(_: Scripted) -> None: ...

    world = World(Script(hooks={"on_migrate": migrate}))
    await (await world.started()).stop(StopKind.SLEEP)
    assert world.log[:3] == ["is_new=True", "on_migrate", "create_state"]
    world.log.clear()
    await world.started()
    assert world.log[:3] == ["is_new=False", "on_migrate", "restore_state"]
