"""Reaching, joining and stopping actors in one process (actor-runtime 14.1)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.registry import ActorRegistry
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, Scripted, World, call, failure_of

ID = World.ACTOR_ID


class Bench:
    """A registry over one world; ``gate`` holds launches back."""

    def __init__(self, script: Script | None = None) -> None:
        self.world = World(script or Script())
        self.registry = ActorRegistry([], self.world.clock)
        self.launches = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def launch(self) -> ActorTask:
        self.launches += 1
        await self.gate.wait()
        return await self.world.started()

    async def reach(self) -> ActorTask:
        return await self.registry.reach(ID, self.launch)

    def reaching(self) -> asyncio.Task[ActorTask]:
        return asyncio.create_task(self.reach())


async def test_a_running_actor_is_found_again() -> None:
    bench = Bench()
    actor = await bench.reach()
    assert await bench.reach() is actor
    assert bench.registry.running(ID) is actor
    assert (bench.launches, bench.registry.running_count) == (1, 1)


async def test_callers_join_one_start() -> None:
    bench = Bench()
    bench.gate.clear()
    callers = [bench.reaching() for _ in range(5)]
    await settle()
    assert bench.registry.running(ID) is None
    bench.gate.set()
    assert len(set(await asyncio.gather(*callers))) == 1
    assert bench.launches == 1


async def test_a_failed_start_is_told_to_everybody_and_tried_anew() -> None:
    bench = Bench()
    bench.world.store.fail_next(StorageError("storage", "unavailable"))
    failures = await asyncio.gather(failure_of(bench.reach()), failure_of(bench.reach()))
    assert [failure.code for failure in failures] == ["unavailable", "unavailable"]
    assert await bench.reach() is bench.registry.running(ID)
    assert bench.launches == 2


async def test_waiting_for_a_start_ends_after_thirty_seconds() -> None:
    bench = Bench()
    bench.gate.clear()
    reaching = asyncio.create_task(failure_of(bench.reach()))
    await bench.world.clock.advance(29.9)
    assert not reaching.done()
    await bench.world.clock.advance(0.2)
    failure = await reaching
    assert (failure.group, failure.code) == ("guard", "actor_ready_timeout")
    bench.gate.set()
    assert await bench.reach() is bench.registry.running(ID)
    assert bench.launches == 1


async def test_a_timeout_of_the_launch_itself_is_not_taken_for_the_waiting_limit() -> None:
    async def launch() -> ActorTask:
        raise TimeoutError("the disk took too long")

    registry = ActorRegistry([], World(Script()).clock)
    with pytest.raises(TimeoutError, match="the disk"):
        await registry.reach(ID, launch)


async def test_cancelling_a_caller_does_not_stop_the_start() -> None:
    bench = Bench()
    bench.gate.clear()
    caller = bench.reaching()
    await settle()
    caller.cancel()
    await asyncio.wait([caller])
    bench.gate.set()
    await settle()
    assert bench.registry.running(ID) is not None


async def test_too_many_waiting_callers_are_refused() -> None:
    bench = Bench()
    bench.gate.clear()
    callers = [bench.reaching() for _ in range(1024)]
    await settle()
    failure = await failure_of(bench.reach())
    assert failure.code == "overloaded"
    bench.gate.set()
    await asyncio.gather(*callers)
    await bench.reach()


async def test_an_actor_that_calls_itself_while_starting_is_refused() -> None:
    codes: list[str] = []

    async def on_wake(_: Scripted) -> None:
        codes.append((await failure_of(bench.reach())).code)

    bench = Bench(Script(hooks={"on_wake": on_wake}))
    await bench.reach()
    assert codes == ["not_ready"]


async def test_a_stop_during_the_start_waits_for_it() -> None:
    bench = Bench()
    bench.gate.clear()
    reaching = bench.reaching()
    await settle()
    stopping = asyncio.create_task(bench.registry.stop(ID, StopKind.SLEEP))
    await settle()
    assert not stopping.done()
    bench.gate.set()
    await reaching
    await stopping
    assert bench.registry.running_count == 0


async def test_a_stop_after_a_failed_start_has_nothing_to_do() -> None:
    bench = Bench()
    bench.gate.clear()
    bench.world.store.fail_next(StorageError("storage", "unavailable"))
    reaching = asyncio.create_task(failure_of(bench.reach()))
    await settle()
    stopping = asyncio.create_task(bench.registry.stop(ID, StopKind.SLEEP))
    bench.gate.set()
    await asyncio.gather(reaching, stopping)


async def test_stopping_what_does_not_run_does_nothing() -> None:
    await Bench().registry.stop(ID, StopKind.SLEEP)


async def test_two_stops_are_one() -> None:
    bench = Bench()
    await bench.reach()
    await asyncio.gather(*(bench.registry.stop(ID, StopKind.DESTROY) for _ in range(2)))
    assert bench.world.log.count("on_destroy") == 1


async def test_who_comes_late_or_to_stay_waits_for_the_next_generation() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return None

    bench = Bench(Script(actions={"slow": slow}))
    first = await bench.reach()
    running = asyncio.create_task(call(first, "slow"))
    await settle()
    stopping = asyncio.create_task(bench.registry.stop(ID, StopKind.SLEEP))
    await settle()
    assert await bench.reach() is first
    waiting = asyncio.create_task(bench.registry.reach(ID, bench.launch, lasting=True))
    await bench.world.clock.advance(7.5)
    reaching = bench.reaching()
    await settle()
    assert not reaching.done()
    assert not waiting.done()
    release.set()
    await asyncio.gather(running, stopping)
    second = await reaching
    assert second is not first
    assert second.identity.generation == 2
    assert await waiting is second


async def test_shutting_down_stops_everything_and_refuses_more() -> None:
    bench = Bench()
    await bench.reach()
    assert await bench.registry.shut_down() == 0
    assert bench.registry.running_count == 0
    failure = await failure_of(bench.reach())
    assert (failure.group, failure.code) == ("guard", "service_unavailable")


async def test_shutting_down_counts_actors_that_could_not_save() -> None:
    bench = Bench()
    await bench.reach()
    bench.world.instance.state = "changed"
    bench.world.store.fail_next(StorageError("storage", "unavailable"))
    assert await bench.registry.shut_down() == 1
    assert bench.registry.running_count == 0


async def test_state_that_cannot_be_encoded_does_not_break_the_shutdown() -> None:
    bench = Bench()
    await bench.reach()
    bench.world.instance.state = object()
    assert await bench.registry.shut_down() == 1


async def test_an_unknown_name_lists_what_is_registered() -> None:
    def create(_: object) -> Scripted:
        raise error("core.internal_error")

    registry = ActorRegistry([ActorFactory(name="known", create=create)], World(Script()).clock)
    assert registry.factory("known").name == "known"
    with pytest.raises(RivetError) as caught:
        registry.factory("unknown")
    assert caught.value.metadata == {"actor_name": "unknown", "registered": ["known"]}
