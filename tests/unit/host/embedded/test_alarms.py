"""Sleep and alarms in the embedded host, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest

from rivetkit_core.actor.factory import ActionSpec, ActorFactory
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.clock import time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import StorageError
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ById, ByKey
from rivetkit_core.testing import FakeClock, MemoryStore, settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Handler, Hook, Script, Scripted, failure_of

NO_ARGS = cbor.encode([])
MINUTE = 60_000


async def nap(instance: Scripted, args: list[object]) -> object:
    """Sleep, with an alarm so many milliseconds from now."""
    if args:
        (delay,) = args
        assert isinstance(delay, int)
        await instance.context.set_alarm(time_ms(instance.context.clock) + delay)
    instance.context.sleep()
    return None


async def ping(_: Scripted, _args: list[object]) -> object:
    return "pong"


class World:
    """A host, and the keys of its actors in the order in which they started."""

    def __init__(
        self,
        *,
        hooks: Mapping[str, Hook] | None = None,
        actions: Mapping[str, Handler] | None = None,
        config: ActorConfig | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.log: list[str] = []
        self.starts: list[str] = []
        self.failing = 0
        given = dict(hooks or {})
        self._on_wake = given.pop("on_wake", None)
        self.script = Script(
            actions={"nap": nap, "ping": ping, **(actions or {})},
            hooks={**given, "on_wake": self._woken},
            config=config or ActorConfig(),
        )
        self.host: EmbeddedHost

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[EmbeddedHost]:
        factory = ActorFactory(
            name="scripted",
            create=lambda context: Scripted(self.script, context, self.log),
            actions={name: ActionSpec() for name in self.script.actions},
            config=self.script.config,
        )
        entropy = SeededEntropy(len(self.starts))
        self.host = EmbeddedHost([factory], store=self.store, clock=self.clock, entropy=entropy)
        await self.host.open()
        try:
            yield self.host
        finally:
            closing = asyncio.create_task(self.host.close())
            await self.clock.advance(60)
            await closing

    async def call(self, key: str, action: str, *args: object) -> object:
        target = ByKey("scripted", (key,), create=True)
        return cbor.decode(await self.host.access.call(target, action, cbor.encode(list(args)), params=None))

    async def _woken(self, instance: Scripted) -> None:
        self.starts.append(instance.context.key[0])
        if self.failing and instance.context.generation > 1:
            self.failing -= 1
            raise RuntimeError("cannot start")
        if self._on_wake is not None:
            await self._on_wake(instance)


async def test_an_idle_actor_is_put_to_sleep_and_noted_as_asleep() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "ping")
        actor_id = (await host.place(ByKey("scripted", ("a",)))).actor_id
        await world.clock.advance(30)
        assert host.registry.running_count == 0
        row = await world.store.find_by_id(actor_id)
        assert row is not None
        assert row.sleep_ts == time_ms(world.clock)
        assert await world.call("a", "ping") == "pong"
        assert world.starts == ["a", "a"]


async def test_nothing_of_a_sleeping_actor_stays_in_memory() -> None:
    made: list[weakref.ref[Scripted]] = []

    async def note(instance: Scripted) -> None:
        made.append(weakref.ref(instance))

    world = World(hooks={"on_wake": note})
    async with world.open():
        await world.call("a", "ping")
        await world.clock.advance(30)
        gc.collect()
        assert [instance() for instance in made] == [None]
        assert not world.host._placed  # pyright: ignore[reportPrivateUsage]  # grows with every actor ever called
        assert await world.call("a", "ping") == "pong"


async def test_an_actor_that_is_called_again_in_the_last_moment_stays() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "ping")
        for _ in range(10):
            await world.clock.advance(29)
            await world.call("a", "ping")
        assert host.registry.running_count == 1
        assert world.starts == ["a"]


async def test_alarms_wake_in_their_order() -> None:
    world = World()
    async with world.open():
        for key, delay in (("c", 3), ("a", 1), ("b", 2)):
            await world.call(key, "nap", delay * MINUTE)
        await settle()
        world.starts.clear()
        await world.clock.advance(59)
        assert world.starts == []
        await world.clock.advance(1)
        assert world.starts == ["a"]
        await world.clock.advance(minutes=2)
        assert world.starts == ["a", "b", "c"]


async def test_a_month_away_is_not_too_far() -> None:
    world = World()
    async with world.open():
        await world.call("a", "nap", 30 * 24 * 60 * MINUTE)
        await world.clock.advance(days=29, hours=23)
        assert world.starts == ["a"]
        await world.clock.advance(hours=1)
        assert world.starts == ["a", "a"]


async def test_an_alarm_rings_once() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "nap", MINUTE)
        await world.clock.advance(days=2)
        assert world.starts == ["a", "a"]
        assert host.registry.running_count == 0


async def test_an_earlier_start_forgets_an_alarm_that_is_not_set_again() -> None:
    world = World()
    async with world.open():
        await world.call("a", "nap", MINUTE)
        await settle()
        await world.call("a", "nap")
        await world.clock.advance(days=1)
        assert world.starts == ["a", "a"]


async def test_an_alarm_that_the_start_sets_again_costs_no_write() -> None:
    at: list[int] = []

    async def again(instance: Scripted) -> None:
        at.append(time_ms(instance.context.clock) + MINUTE)
        await instance.context.set_alarm(at[0])

    world = World(hooks={"on_wake": again})
    async with world.open():
        await world.call("a", "nap")
        await settle()
        before = world.store.writes
        await world.call("a", "ping")
        assert world.store.writes == before + 1  # the generation


async def test_a_running_actor_is_left_alone_and_woken_when_it_sleeps_too_late() -> None:
    async def remind(instance: Scripted, _args: list[object]) -> object:
        await instance.context.set_alarm(time_ms(instance.context.clock) + MINUTE)
        return None

    world = World(actions={"remind": remind}, config=ActorConfig(sleep_timeout=120.0))
    async with world.open():
        await world.call("a", "remind")
        await world.clock.advance(119)
        assert world.starts == ["a"]
        await world.clock.advance(1)
        assert world.starts == ["a", "a"]


async def test_what_came_due_while_nothing_ran_rings_at_the_opening() -> None:
    world = World()
    async with world.open():
        await world.call("a", "nap", MINUTE)
        await settle()
    await world.clock.advance(hours=1)
    assert world.starts == ["a"]
    async with world.open():
        await settle()
        assert world.starts == ["a", "a"]


async def test_many_alarms_of_one_moment_all_ring() -> None:
    world = World()
    async with world.open():
        keys = [f"{number:04}" for number in range(600)]
        for key in keys:
            await world.call(key, "nap", MINUTE)
        await settle()
        world.starts.clear()
        await world.clock.advance(60)
        assert sorted(world.starts) == keys


async def test_an_actor_that_cannot_start_is_tried_again_less_and_less_often() -> None:
    world = World()
    async with world.open():
        await world.call("a", "nap", MINUTE)
        await settle()
        world.failing = 3
        await world.clock.advance(60)
        assert len(world.starts) == 2
        await world.clock.advance(1)
        assert len(world.starts) == 3
        await world.clock.advance(2)
        assert len(world.starts) == 4
        await world.clock.advance(3.9)
        assert len(world.starts) == 4
        await world.clock.advance(0.1)
        assert len(world.starts) == 5
        await world.clock.advance(hours=1)
        assert len(world.starts) == 5


async def test_alarms_that_cannot_be_read_are_read_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    async with world.open():
        await world.call("a", "nap", MINUTE)
        await settle()
        world.store.failure = StorageError("storage", "unavailable")
        await world.clock.advance(60)
        world.store.failure = None
        assert "alarms could not be read" in caplog.text
        await world.clock.advance(1)
        assert world.starts == ["a", "a"]


async def test_destroying_takes_the_alarm_along() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "nap", MINUTE)
        await settle()
        await host.destroy((await host.place(ByKey("scripted", ("a",)))).actor_id)
        await world.clock.advance(hours=1)
        assert world.starts == ["a"]
        assert await world.store.next_alarm("default", 0) is None


async def test_a_request_of_an_earlier_life_does_not_end_a_later_one() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "ping")
        first = host.registry.running((await host.place(ByKey("scripted", ("a",)))).actor_id)
        assert first is not None
        first.context.sleep()
        await settle()
        await world.call("a", "ping")
        await host.registry.stop(first.context.actor_id, StopKind.SLEEP, only=first)
        assert host.registry.running_count == 1


async def test_a_crash_of_run_ends_the_generation_and_a_call_brings_the_next() -> None:
    async def run(instance: Scripted) -> None:
        if instance.context.generation == 1:
            raise RuntimeError("broken")

    world = World(hooks={"run": run}, config=ActorConfig(run_error_policy="crash"))
    async with world.open() as host:
        await world.call("a", "ping")
        await settle()
        assert host.registry.running_count == 0
        assert "on_sleep" in world.log
        assert await world.call("a", "ping") == "pong"
        await settle()
        assert host.registry.running_count == 1


async def test_a_call_during_the_final_save_is_held_until_the_next_life() -> None:
    world = World()
    async with world.open() as host:
        await world.call("a", "ping")
        actor_id = (await host.place(ByKey("scripted", ("a",)))).actor_id
        actor = host.registry.running(actor_id)
        assert actor is not None
        world.store.hold_writes()
        actor.context.sleep()
        await settle()
        held = asyncio.create_task(host.access.call(ById(actor_id), "ping", NO_ARGS, params=None))
        await settle()
        assert not held.done()
        world.store.release_writes()
        assert cbor.decode(await held) == "pong"
        assert (await failure_of(actor.call("ping", NO_ARGS, None))).code == "stopping"
        assert world.starts == ["a", "a"]
