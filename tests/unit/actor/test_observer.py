"""on_state_change (actor-runtime 6.2)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Hook, Script, Scripted, World, call


async def put(instance: Scripted, args: list[object]) -> object:
    instance.state = args[0]
    return None


async def add(instance: Scripted, args: list[object]) -> object:
    assert isinstance(instance.state, list)
    instance.state.append(args[0])  # pyright: ignore[reportUnknownMemberType]  # an object of the test
    return None


async def note(instance: Scripted) -> None:
    instance.log.append(f"saw {instance.state}")


def observed(hook: Hook, first_state: object = 0) -> World:
    return World(
        Script(actions={"put": put, "add": add}, hooks={"on_state_change": hook}, first_state=first_state)
    )


def seen(world: World) -> list[str]:
    return [entry for entry in world.log if entry.startswith("saw")]


async def started(world: World) -> ActorTask:
    task = await world.started()
    await settle()
    return task


async def test_a_change_is_reported_once() -> None:
    world = observed(note)
    task = await started(world)
    await call(task, "put", 1)
    await settle()
    assert seen(world) == ["saw 1"]


async def test_a_call_without_a_change_is_not_reported() -> None:
    world = observed(note)
    task = await started(world)
    await call(task, "put", 0)
    await settle()
    assert seen(world) == []


async def test_changes_of_one_turn_are_reported_together() -> None:
    world = observed(note)
    task = await started(world)
    await asyncio.gather(*(call(task, "put", number) for number in (1, 2, 3)))
    await settle()
    assert seen(world) == ["saw 3"]


async def test_creation_is_not_a_change() -> None:
    world = observed(note)
    await started(world)
    assert seen(world) == []


async def test_loading_is_not_a_change() -> None:
    world = observed(note, first_state=5)
    await (await started(world)).stop(StopKind.SLEEP)
    await started(world)
    assert seen(world) == []


async def test_a_change_by_a_startup_hook_is_reported() -> None:
    async def on_wake(instance: Scripted) -> None:
        instance.state = "woken"

    world = World(Script(hooks={"on_state_change": note, "on_wake": on_wake}))
    await started(world)
    assert seen(world) == ["saw woken"]


async def test_the_callback_never_overlaps_itself_and_runs_once_more() -> None:
    release = asyncio.Event()
    running: list[int] = []

    async def slow(instance: Scripted) -> None:
        assert not running
        running.append(1)
        instance.log.append(f"saw {instance.state}")
        await release.wait()
        running.clear()

    world = observed(slow)
    task = await started(world)
    for number in (1, 2, 3):
        await call(task, "put", number)
        await settle()
    assert seen(world) == ["saw 1"]
    release.set()
    await settle()
    assert seen(world) == ["saw 1", "saw 3"]


async def test_replacing_the_state_inside_the_callback_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def replace(instance: Scripted) -> None:
        instance.log.append(f"saw {instance.state}")
        instance.context.check_state_assignment()

    world = observed(replace)
    task = await started(world)
    await call(task, "put", 1)
    await settle()
    assert seen(world) == ["saw 1"]
    assert "state_mutation_reentrant" in caplog.text


async def test_replacing_the_state_outside_the_callback_is_fine_while_it_waits() -> None:
    release = asyncio.Event()

    async def wait(instance: Scripted) -> None:
        await release.wait()

    async def assign(instance: Scripted, args: list[object]) -> object:
        instance.context.check_state_assignment()
        instance.state = args[0]
        return "assigned"

    world = World(Script(actions={"assign": assign}, hooks={"on_state_change": wait}))
    task = await started(world)
    await call(task, "assign", 1)
    await settle()
    assert await call(task, "assign", 2) == "assigned"
    release.set()
    await settle()


@pytest.mark.parametrize("turns", [0, 2])
async def test_a_nested_mutation_is_an_error_and_is_kept(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def mutate(instance: Scripted) -> None:
        for _ in range(turns):
            await instance.context.clock.sleep(0)
        instance.log.append(f"saw {instance.state}")
        await add(instance, ["mine"])
        await instance.context.clock.sleep(0)
        instance.log.append("saw what comes after the mutation")

    world = observed(mutate, first_state=[])
    task = await started(world)
    await call(task, "put", [1])
    await settle()
    assert seen(world) == ["saw [1]"]
    assert world.instance.state == [1, "mine"]
    assert "state_mutation_reentrant" in caplog.text


async def test_changes_of_a_concurrent_action_are_not_blamed_on_the_callback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    async def wait(instance: Scripted) -> None:
        instance.log.append(f"saw {instance.state}")
        await release.wait()

    world = observed(wait, first_state=[])
    task = await started(world)
    await call(task, "add", 1)
    await settle()
    await call(task, "add", 2)
    release.set()
    await settle()
    assert seen(world) == ["saw [1]", "saw [1, 2]"]
    assert "state_mutation_reentrant" not in caplog.text


async def test_a_mutating_callback_does_not_hide_the_changes_of_others() -> None:
    release = asyncio.Event()

    async def mutate_once(instance: Scripted) -> None:
        instance.log.append(f"saw {instance.state}")
        if len(seen(world)) == 1:
            await release.wait()
            await add(instance, ["mine"])

    world = observed(mutate_once, first_state=[])
    task = await started(world)
    await call(task, "add", 1)
    await settle()
    await call(task, "add", 2)
    release.set()
    await settle()
    assert seen(world) == ["saw [1]", "saw [1, 2, 'mine']"]


async def test_a_failure_is_logged_and_the_change_stands(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(instance: Scripted) -> None:
        raise RuntimeError("observer broke")

    world = observed(fail)
    task = await started(world)
    await call(task, "put", 1)
    await world.clock.advance(2)
    assert "observer broke" in caplog.text
    assert await world.stored_state() == 1


async def test_changes_during_a_failing_callback_are_reported() -> None:
    release = asyncio.Event()

    async def fail_once(instance: Scripted) -> None:
        instance.log.append(f"saw {instance.state}")
        if instance.state == 1:
            await release.wait()
            raise RuntimeError

    world = observed(fail_once)
    task = await started(world)
    await call(task, "put", 1)
    await settle()
    await call(task, "put", 2)
    await settle()
    release.set()
    await settle()
    assert seen(world) == ["saw 1", "saw 2"]


async def test_a_callback_that_mutates_and_fails_does_not_repeat_for_ever() -> None:
    async def spoil(instance: Scripted) -> None:
        instance.log.append(f"saw {instance.state}")
        await add(instance, ["mine"])
        raise RuntimeError

    world = observed(spoil, first_state=[])
    task = await started(world)
    await call(task, "add", 1)
    await settle()
    assert seen(world) == ["saw [1]"]


async def test_an_actor_without_the_callback_is_not_encoded_for_it() -> None:
    world = World(Script(actions={"put": put}))
    task = await started(world)
    world.instance.encodings = 0
    await call(task, "put", 1)
    await settle()
    assert world.instance.encodings == 0


async def test_the_last_change_is_reported_before_the_actor_is_gone() -> None:
    world = observed(note)
    task = await started(world)
    await call(task, "put", 1)
    await task.stop(StopKind.SLEEP)
    assert seen(world) == ["saw 1"]
