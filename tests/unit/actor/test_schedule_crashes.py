"""Schedules of a process that dies at any write: nothing fires twice, nothing acknowledged is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.oneshots import Retries
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.host.port import ActorStorage, Records
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, Scripted, World


class Dying:
    """Storage of a process that dies at one of its writes, which happens or not; nothing answers after."""

    def __init__(self, inner: ActorStorage, dies_at: int, *, written: bool) -> None:
        self._inner = inner
        self._left = dies_at
        self._written = written
        self.buried = asyncio.Event()

    @property
    def dead(self) -> bool:
        return self._left <= 0

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        await self._unless_dead()
        return await self._inner.load(keys)

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        await self._unless_dead()
        self._left -= 1
        if not self.dead:
            await self._inner.apply(puts, deletes)
            return
        if self._written:
            await self._inner.apply(puts, deletes)
        await self._unless_dead()

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        await self._unless_dead()
        return await self._inner.list_range(start, end, reverse=reverse, limit=limit)

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        await self._unless_dead()
        return await self._inner.list(prefix, reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        await self._unless_dead()
        await self._inner.delete_range(start, end)

    async def _unless_dead(self) -> None:
        if self.dead:
            await self.buried.wait()
            raise StorageError("storage", "unavailable")


@dataclass
class Story:
    """What was planned in one actor's lives, and what ran."""

    acknowledged: dict[str, int] = field(default_factory=dict[str, int])
    retried: set[str] = field(default_factory=set[str])
    ran: Counter[str] = field(default_factory=Counter[str])
    died_at: int = 0

    async def ring(self, actor: Scripted, _: list[object]) -> object:
        fire = actor.context.schedule.fire
        assert fire is not None
        self.ran[fire.id if fire.name is None else f"{fire.id} {fire.scheduled_at}"] += 1
        await actor.context.clock.sleep(0.5)
        return None

    async def plan(self, actor: ActorTask, delay: int, retries: int) -> None:
        wanted = Retries(retries) if retries else None
        due = time_ms(actor.context.clock) + delay
        try:
            planned = await actor.schedule.after(delay, "ring", cbor.encode([]), retries=wanted)
        except RivetError:
            return
        if retries:
            self.retried.add(planned)
        else:
            self.acknowledged[planned] = due


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.just("plan"), st.integers(0, 20_000))
    | st.tuples(st.just("retry"), st.integers(0, 20_000))
    | st.tuples(st.just("every"), st.integers(5000, 9000))
    | st.tuples(st.just("advance"), st.integers(0, 9000)),
    min_size=1,
    max_size=12,
)
LIVES = st.lists(st.tuples(st.integers(1, 25), st.booleans(), STEPS), min_size=1, max_size=4)


async def live(
    world: World, story: Story, actor: ActorTask, steps: Sequence[Step]
) -> set[asyncio.Task[None]]:
    """Do the steps; those that wait for a dead process go on waiting."""
    waiting: set[asyncio.Task[None]] = set()
    for what, number in steps:
        if what == "advance":
            await world.clock.advance(number / 1000)
            continue
        if what == "every":
            step = asyncio.create_task(_every(actor, number))
        else:
            step = asyncio.create_task(story.plan(actor, number, 3 if what == "retry" else 0))
        waiting.add(step)
        await settle()
    await world.clock.advance(3)
    return waiting


async def _every(actor: ActorTask, interval: int) -> None:
    try:
        await actor.schedule.cron.every("beat", interval, "ring")
    except RivetError:
        return


async def tell(lives: Sequence[tuple[int, bool, Sequence[Step]]]) -> tuple[World, Story, ActorTask]:
    story = Story()
    world = World(Script(actions={"ring": story.ring}, config=ActorConfig(action_timeout=2.0)))
    await (await world.started()).kill()
    for dies_at, written, steps in lives:
        world.storage = dying = Dying(world.store.storage(World.ACTOR_ID), dies_at, written=written)
        actor = world.task()
        starting = asyncio.create_task(actor.start(None))
        await settle()
        waiting: set[asyncio.Task[None]] = {starting}
        if starting.done():
            waiting |= await live(world, story, actor, steps)
        dying._left = 0  # pyright: ignore[reportPrivateUsage]  # if no write was the last, this moment is
        story.died_at = time_ms(world.clock)
        killing = asyncio.create_task(actor.kill())
        dying.buried.set()
        await asyncio.wait([killing, *waiting])
        killing.result()
        for task in waiting:
            task.exception()
    world.storage = world.store.storage(World.ACTOR_ID)
    actor = await world.started()
    await world.clock.advance(300)
    return world, story, actor


@settings(max_examples=60, deadline=None)
@given(LIVES)
async def test_what_dies_at_any_write_fires_nothing_twice(
    lives: list[tuple[int, bool, list[Step]]],
) -> None:
    world, story, actor = await tell(lives)
    plain = {what: times for what, times in story.ran.items() if not what.startswith("retry:")}
    assert all(times == 1 for times in plain.values()), plain
    missing = [due for planned, due in story.acknowledged.items() if not story.ran[planned]]
    assert all(due <= story.died_at for due in missing), "a death loses only what it claimed"
    assert all(story.ran[planned] for planned in story.retried)
    assert actor.schedule.list() == ()
    for job in actor.schedule.cron.list():
        rows = await actor.schedule.cron.history(job.name, 1000)
        assert [row.result for row in rows].count("running") <= 1
    assert world.generation == len(lives) + 2
