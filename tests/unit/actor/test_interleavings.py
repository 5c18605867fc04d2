"""Random histories on the fake clock: what must hold however calls, failures, time and a stop interleave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig, Durability
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, Scripted, World, call

Step = (
    tuple[Literal["add", "slow", "fail", "unknown", "detached"], int]
    | tuple[Literal["advance"], float]
    | tuple[Literal["break", "hold", "release", "cancel"], int]
)

STEPS = st.one_of(
    st.tuples(st.sampled_from(["add", "slow", "fail", "unknown", "detached"]), st.integers(0, 3)),
    st.tuples(st.just("advance"), st.sampled_from([0.05, 0.3, 1.0, 3.0])),
    st.tuples(st.sampled_from(["break", "hold", "release", "cancel"]), st.integers(0, 9)),
)

_ACCEPTABLE = {
    "internal_error",
    "action_not_found",
    "action_timed_out",
    "overloaded",
    "unavailable",
    "stopping",
    "aborted",
}


async def add(instance: Scripted, args: list[object]) -> object:
    (by,) = args
    assert isinstance(instance.state, int)
    assert isinstance(by, int)
    instance.state += 1 + by
    return instance.state


async def slow(instance: Scripted, args: list[object]) -> object:
    (delay,) = args
    assert isinstance(delay, int)
    await instance.context.clock.sleep(delay)
    return await add(instance, [0])


async def fail(instance: Scripted, args: list[object]) -> object:
    await add(instance, args)
    raise RuntimeError("on purpose")


class History:
    """One actor under random load; remembers every answer."""

    def __init__(self, durability: Durability) -> None:
        self.strict = durability == "strict"
        config = ActorConfig(
            durability=durability, action_timeout=2.0, dispatch_inbox_capacity=4, shutdown_grace_period=2.5
        )
        self.world = World(
            Script(actions={"add": add, "slow": slow, "fail": fail}, config=config, first_state=0)
        )
        self.callers: list[asyncio.Task[None]] = []
        self.cancelled: set[asyncio.Task[None]] = set()
        self.answers = 0

    async def run(self, steps: Sequence[Step]) -> None:
        task = await self.world.started()
        for kind, amount in steps:
            await self.step(task, kind, amount)
        self.world.store.release_writes()
        stopping = asyncio.create_task(self.stop(task))
        await self.world.clock.advance(30)
        assert stopping.done()
        await stopping
        outcomes = await asyncio.gather(*self.callers, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert self.answers >= len(self.callers) - len(self.cancelled)
        assert task.work.active == 0
        assert len(task.connections) == 0
        assert self.world.log.count("on_connect") == self.world.log.count("on_disconnect")

    async def step(self, task: ActorTask, kind: str, amount: float) -> None:
        world = self.world
        match kind:
            case "advance":
                await world.clock.advance(amount)
            case "break":
                world.store.fail_next(StorageError("storage", "unavailable"))
            case "hold":
                world.store.hold_writes()
            case "release":
                world.store.release_writes()
            case "cancel":
                if self.callers:
                    victim = self.callers[int(amount) % len(self.callers)]
                    if victim.cancel():
                        self.cancelled.add(victim)
            case _:
                self.callers.append(asyncio.create_task(self.caller(task, kind, int(amount))))
        if int(amount) % 2:
            await settle()

    async def caller(self, task: ActorTask, kind: str, amount: int) -> None:
        try:
            if kind == "detached":
                output: object = await self.detached(task, amount)
            else:
                output = await call(task, kind, amount)
        except RivetError as failure:
            assert failure.code in _ACCEPTABLE
            assert failure.actor == task.identity.specifier
        else:
            if self.strict:
                stored = await self.world.stored_state()
                assert isinstance(stored, int)
                assert isinstance(output, int)
                assert stored >= output
        self.answers += 1

    async def detached(self, task: ActorTask, amount: int) -> object:
        return cbor.decode(await task.call_detached("add", cbor.encode([amount]), None))

    async def stop(self, task: ActorTask) -> None:
        try:
            await task.stop(StopKind.SLEEP)
        except StorageError:
            return
        assert await self.world.stored_state() == self.world.instance.state


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), durability=st.sampled_from(["throttled", "strict"]))
def test_every_call_is_answered_once_and_a_strict_answer_is_in_storage(
    steps: list[Step], durability: Durability
) -> None:
    asyncio.run(History(durability).run(steps))
