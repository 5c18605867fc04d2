"""What an actor holds open: order, tasks, failures, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, failure_of

Make = Callable[[Scripted], AbstractAsyncContextManager[object]]


def noting(name: str) -> Make:
    """A resource that writes down when it is opened and how it is left."""

    @asynccontextmanager
    async def held(instance: Scripted) -> AsyncGenerator[None]:
        task = asyncio.current_task()
        instance.log.append(f"open {name}")
        try:
            yield
            instance.log.append(f"close {name}")
        finally:
            instance.log.append(f"leave {name}")
            assert asyncio.current_task() is task

    return held


@pytest.mark.parametrize("kind", StopKind)
async def test_resources_open_in_order_and_close_in_reverse(kind: StopKind) -> None:
    world = World(Script(resources={"pool": noting("pool"), "client": noting("client")}))
    task = await world.started()
    assert world.log == [
        "create_state",
        "open pool",
        "open client",
        "on_create",
        "create_vars",
        "on_wake",
    ]
    await task.stop(kind)
    assert world.log[-4:] == ["close client", "leave client", "close pool", "leave pool"]


async def test_every_generation_opens_its_own() -> None:
    world = World(Script(resources={"pool": noting("pool")}))
    await (await world.started()).stop(StopKind.SLEEP)
    await (await world.started()).stop(StopKind.SLEEP)
    assert world.log.count("open pool") == world.log.count("close pool") == 2


async def test_what_closing_changes_is_stored() -> None:
    @asynccontextmanager
    async def held(instance: Scripted) -> AsyncGenerator[None]:
        yield
        instance.state = "closed"

    world = World(Script(resources={"pool": held}))
    await (await world.started()).stop(StopKind.SLEEP)
    assert await world.stored_state() == "closed"


async def test_a_resource_that_cannot_open_fails_the_start_and_unwinds_the_others() -> None:
    @asynccontextmanager
    async def broken(_: Scripted) -> AsyncGenerator[None]:
        raise RuntimeError("no network")
        yield

    world = World(Script(resources={"pool": noting("pool"), "broken": broken}))
    assert (await failure_of(world.started())).code == "start_failed"
    assert world.log[-2:] == ["open pool", "leave pool"]
    record = await world.stored()
    assert record is None or not record.has_initialized


async def test_opening_has_a_deadline() -> None:
    @asynccontextmanager
    async def slow(_: Scripted) -> AsyncGenerator[None]:
        await asyncio.Event().wait()
        yield

    world = World(Script(resources={"slow": slow}, config=ActorConfig(create_vars_timeout=2.0)))
    starting = asyncio.create_task(failure_of(world.started()))
    await world.clock.advance(2)
    assert (await starting).code == "callback_timed_out"
    assert world.clock.pending() == []


async def test_a_later_failure_of_the_start_unwinds_resources() -> None:
    async def refuse(_: Scripted) -> None:
        raise RuntimeError("no")

    world = World(Script(resources={"pool": noting("pool")}, hooks={"on_wake": refuse}))
    await failure_of(world.started())
    assert world.log[-1] == "leave pool"
    assert "close pool" not in world.log


async def test_killing_unwinds_resources() -> None:
    world = World(Script(resources={"pool": noting("pool")}))
    await (await world.started()).kill()
    assert world.log[-1] == "leave pool"
    assert "close pool" not in world.log


async def test_a_failing_close_is_logged_and_the_others_close(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def broken(_: Scripted) -> AsyncGenerator[None]:
        yield
        raise RuntimeError("will not close")

    world = World(Script(resources={"pool": noting("pool"), "broken": broken}))
    await (await world.started()).stop(StopKind.SLEEP)
    assert "will not close" in caplog.text
    assert world.log[-1] == "leave pool"


async def test_a_close_that_hangs_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def hanging(_: Scripted) -> AsyncGenerator[None]:
        yield
        await asyncio.Event().wait()

    world = World(Script(resources={"pool": noting("pool"), "hanging": hanging}))
    task = await world.started()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(5)
    assert stopping.done()
    assert "hanging took longer than 5 s" in caplog.text
    assert world.log[-1] == "leave pool"


@pytest.mark.parametrize("fails", [False, True])
async def test_closing_may_wait_for_what_it_saves(fails: bool) -> None:
    saves: list[object] = []

    @asynccontextmanager
    async def held(instance: Scripted) -> AsyncGenerator[None]:
        yield
        instance.state = 7
        if fails:
            world.store.fail_next(StorageError("storage", "unavailable"))
        try:
            await instance.context.save_state()
        except StorageError:
            saves.append("failed")
        else:
            saves.append(await world.stored_state())

    world = World(Script(resources={"pool": held}))
    task = await world.started()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    assert stopping.done()
    assert saves == ["failed" if fails else 7]
    assert await world.stored_state() == 7
