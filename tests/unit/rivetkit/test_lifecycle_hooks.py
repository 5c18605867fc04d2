"""Hooks, resources and the context's lifecycle, as authors write them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from rivetkit import Actor, Client, Registry, RivetError, action, actor, resource
from rivetkit._authoring import InvalidActor
from rivetkit._compiler import compile_actor
from rivetkit_core.testing import FakeClock, settle

log: list[str] = []


@pytest.fixture(autouse=True)
def empty_log() -> None:
    log.clear()


class Pool:
    def __init__(self, size: int) -> None:
        self.size = size


@actor(sleep_timeout=5.0)
class Worker(Actor):
    state: int = 3

    @resource
    async def pool(self) -> AsyncIterator[Pool]:
        log.append("pool opens")
        yield Pool(self.state)
        log.append("pool closes")

    @resource
    async def double(self) -> AsyncGenerator[int]:
        yield self.pool.size * 2
        log.append(f"double closes, the pool has {self.pool.size}")

    async def on_migrate(self, is_new: bool) -> None:
        log.append(f"migrate {is_new}")

    async def on_create(self) -> None:
        log.append(f"create with {self.double}")

    async def on_sleep(self) -> None:
        log.append(f"sleep, aborted {self.ctx.aborted}")
        self.state += 1

    async def run(self) -> None:
        with self.ctx.__rivet_core__.queue_wait():
            await self.ctx.abort_signal.wait()
        log.append("run ends")

    @action
    async def size(self) -> int:
        return self.pool.size

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def keep(self) -> str:
        async def answer() -> str:
            return "kept"

        async with self.ctx.keep_awake():
            return await self.ctx.keep_awake(answer())

    @action
    async def later(self) -> None:
        async def note() -> None:
            log.append("later")

        self.ctx.wait_until(note())

    @action
    async def hold_on(self, on: bool) -> bool:
        with pytest.warns(DeprecationWarning, match="keep_awake"):
            self.ctx.prevent_sleep = on
        with pytest.warns(DeprecationWarning):
            return self.ctx.prevent_sleep

    @action
    async def again(self) -> None:
        await self.ctx.restart_run()


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.registry = Registry(Worker, data_dir=":memory:", clock=self.clock)

    @property
    def client(self) -> Client:
        return self.registry.client


async def test_a_life_from_the_first_start_to_sleep_and_back() -> None:
    world = World()
    async with world.registry.lifespan():
        worker = world.client.get_or_create(Worker, "a")
        assert await worker.call(Worker.size) == 3
        assert log == ["migrate True", "pool opens", "create with 6"]
        log.clear()
        await world.clock.advance(5)
        while "pool closes" not in log:
            await asyncio.wait([asyncio.ensure_future(settle())])
        assert sorted(log[:2]) == ["run ends", "sleep, aborted True"]
        assert log[2:] == ["double closes, the pool has 3", "pool closes"]
        assert await worker.call(Worker.size) == 4
        assert log[4:6] == ["migrate False", "pool opens"]


async def test_the_context_keeps_awake_and_waits() -> None:
    world = World()
    async with world.registry.lifespan():
        worker = world.client.get_or_create(Worker, "a")
        assert await worker.call(Worker.keep) == "kept"
        await worker.call(Worker.later)
        await settle()
        assert "later" in log
        await worker.call(Worker.again)
        assert await worker.call(Worker.hold_on, True) is True
        await world.clock.advance(100)
        assert "sleep, aborted True" not in log
        assert await worker.call(Worker.hold_on, False) is False
        await worker.call(Worker.nap)


def test_a_closed_resource_says_why_there_is_none() -> None:
    with pytest.raises(AttributeError, match=r"Worker\.pool is not open"):
        _ = Worker().pool


async def test_a_resource_of_an_actor_made_by_hand_is_assigned_or_held() -> None:
    worker = Worker()
    worker.pool = Pool(7)
    assert worker.pool.size == 7
    async with Worker.double.held(worker) as double:
        assert double == worker.double == 14
    assert log == ["double closes, the pool has 7"]


async def test_wait_until_belongs_to_a_runtime() -> None:
    with pytest.raises(RivetError, match=r"self\.ctx"):
        _ = Worker().ctx


class Misnamed(Actor):
    async def on_slep(self) -> None: ...


def test_a_misspelt_hook_is_found() -> None:
    with pytest.raises(InvalidActor, match="did you mean on_sleep"):
        compile_actor(Misnamed)


def test_run_is_async() -> None:
    class Blocking(Actor):
        def run(self) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]  # what is tested

    with pytest.raises(InvalidActor, match="async def run"):
        compile_actor(Blocking)


def test_a_resource_is_an_async_generator() -> None:
    async def pool(self: object) -> int:
        return 1

    with pytest.raises(InvalidActor, match="async generator"):
        resource(pool)  # pyright: ignore[reportArgumentType]  # what is tested


@pytest.mark.parametrize("option", ["on_sleep_timeout", "run_stop_timeout"])
def test_an_old_option_is_taken_with_a_warning(option: str) -> None:
    with pytest.warns(DeprecationWarning, match=option):
        actor(**{option: 1.0})(Misnamed)  # pyright: ignore[reportArgumentType]  # by its name


def test_a_resource_takes_nothing_but_its_actor() -> None:
    async def pool(self: Actor, url: str) -> AsyncIterator[str]:
        yield url

    with pytest.raises(InvalidActor, match="pool takes more than self"):
        resource(pool)  # pyright: ignore[reportArgumentType]  # what is tested


def test_a_hook_that_yields_is_told_so() -> None:
    class Yields(Actor):
        async def run(self) -> AsyncIterator[int]:  # pyright: ignore[reportIncompatibleMethodOverride]  # what is tested
            yield 1

    with pytest.raises(InvalidActor, match="take the `yield` out"):
        compile_actor(Yields)
