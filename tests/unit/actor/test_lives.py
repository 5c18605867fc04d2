"""Random lives of one actor against a small model, on the fake clock.

Calls, sleeps, kills, slow hooks, background work and time are interleaved at random; what has to hold is
noted while the actor runs, and checked at the end of every life.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.lifecycle import Lifecycle
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call

KINDS = (
    *("call", "slow", "stuck", "detached", "keep"),
    *("connect", "leave", "leave", "wait", "nap"),
    *("advance", "advance", "settle", "settle", "settle"),
    *("stop", "destroy", "kill"),
)
Step = tuple[str, int]
STEPS = st.tuples(st.sampled_from(KINDS), st.integers(0, 9))

_GRACE = 4.0
_ACCEPTABLE = {"stopping", "destroying", "aborted", "dropped_reply", "not_ready", "action_timed_out"}


class Life:
    """What is known of one generation."""

    def __init__(self, task: ActorTask) -> None:
        self.task = task
        self.ending: asyncio.Task[None] | None = None
        self.kind: StopKind | None = None


class Model:
    """One actor, its generations and everybody who waits for an answer."""

    def __init__(self, hook_seconds: float, cancellable: bool) -> None:
        self.hook_seconds = hook_seconds
        self.cancellable = cancellable
        config = ActorConfig(
            sleep_timeout=3.0, sleep_grace_period=_GRACE, action_timeout=60.0, state_save_interval=0.5
        )
        self.world = World(
            Script(
                actions={"add": self.add, "slow": self.slow, "stuck": self.stuck, "keep": self.keep},
                hooks={
                    "on_wake": self.on_wake,
                    "on_sleep": self.on_sleep,
                    "on_destroy": self.on_destroy,
                    "run": self.run_loop,
                },
                conn_hooks={"on_connect": self.on_connect, "on_disconnect": self.on_disconnect},
                config=config,
            )
        )
        self.callers: list[asyncio.Task[None]] = []
        self.visitors: list[asyncio.Task[None]] = []
        self.answers: Counter[int] = Counter()
        self.hooks: Counter[tuple[str, int]] = Counter()
        self.lives: list[Life] = []

    # --- user code, which notes every rule that is broken while it runs

    def user_code(self, instance: Scripted) -> None:
        life = self.lives[instance.context.generation - 1]
        assert life.task.lifecycle is not Lifecycle.TERMINATED
        assert instance.context.generation == len(self.lives)

    async def on_wake(self, instance: Scripted) -> None:
        record = await self.world.stored()
        assert record is not None
        assert record.has_initialized
        self.hooks["on_wake", instance.context.generation] += 1

    async def on_sleep(self, instance: Scripted) -> None:
        self.user_code(instance)
        assert instance.context.aborted
        self.hooks["on_sleep", instance.context.generation] += 1
        await instance.context.clock.sleep(self.hook_seconds)

    async def on_destroy(self, instance: Scripted) -> None:
        self.user_code(instance)
        self.hooks["on_destroy", instance.context.generation] += 1
        await instance.context.clock.sleep(self.hook_seconds)

    async def on_connect(self, instance: Scripted, _conn: Connection) -> None:
        self.user_code(instance)

    async def on_disconnect(self, instance: Scripted, _conn: Connection) -> None:
        self.user_code(instance)

    async def run_loop(self, instance: Scripted) -> None:
        signal = instance.context.abort_signal
        with instance.context.queue_wait():
            while not await signal.wait(1.0):
                self.user_code(instance)
        if not self.cancellable:
            return
        await asyncio.Event().wait()

    async def add(self, instance: Scripted, _args: list[object]) -> object:
        self.user_code(instance)
        assert self.hooks["on_wake", instance.context.generation] == 1
        assert isinstance(instance.state, int)
        instance.state += 1
        return instance.state

    async def slow(self, instance: Scripted, args: list[object]) -> object:
        (seconds,) = args
        assert isinstance(seconds, int)
        await instance.context.clock.sleep(seconds / 2)
        return await self.add(instance, [])

    async def keep(self, instance: Scripted, args: list[object]) -> object:
        async with instance.context.keep_awake():
            return await self.slow(instance, args)

    async def stuck(self, instance: Scripted, _args: list[object]) -> object:
        self.user_code(instance)
        await asyncio.Event().wait()
        return None

    async def background(self, instance: Scripted, seconds: float) -> None:
        await instance.context.clock.sleep(seconds)
        self.user_code(instance)

    # --- steps

    async def run(self, steps: Sequence[Step]) -> None:
        await self.begin()
        for kind, amount in steps:
            await self.step(kind, amount)
            await self.obey()
        self.end(StopKind.SLEEP)
        await self.world.clock.advance(60)
        await self.over()
        for client in (*self.callers, *self.visitors):
            client.result()
        assert self.answers == Counter(range(len(self.callers)))
        assert self.world.clock.pending() == []

    async def begin(self) -> None:
        task = self.world.task()
        life = Life(task)
        self.lives.append(life)
        self.world.host.sleep_requests = 0
        await task.start(None)

    @property
    def life(self) -> Life:
        return self.lives[-1]

    async def step(self, kind: str, amount: int) -> None:
        task = self.life.task
        match kind:
            case "advance":
                await self.world.clock.advance(amount / 2)
            case "settle":
                await settle()
            case "stop":
                self.end(StopKind.SLEEP)
            case "destroy":
                self.end(StopKind.DESTROY)
            case "kill":
                await self.kill()
            case "nap":
                try:
                    task.context.sleep()
                except RivetError as refused:
                    assert refused.code == "stopping"
            case "wait":
                task.context.wait_until(self.background(self.world.instance, amount / 2))
            case "connect" | "leave":
                self.visitors.append(asyncio.create_task(self.visit(task, kind, amount)))
            case _:
                number = len(self.callers)
                self.callers.append(asyncio.create_task(self.caller(task, kind, amount, number)))

    async def obey(self) -> None:
        """Be the host: stop who asked for sleep, and begin the next life when one has ended."""
        life = self.life
        if self.world.host.sleep_requests and life.task.sleep.still_wanted():
            self.end(StopKind.SLEEP)
        if life.ending is not None and life.ending.done():
            await self.over()
            await self.begin()

    def end(self, kind: StopKind) -> None:
        life = self.life
        if life.ending is None:
            life.kind = kind
            life.ending = asyncio.create_task(life.task.stop(kind))

    async def kill(self) -> None:
        life = self.life
        if life.ending is None:
            life.ending = asyncio.create_task(life.task.kill())
            await self.world.clock.advance(30)
            assert life.ending.done()

    async def over(self) -> None:
        """The end of a life: everything it owed has been done, and nothing is left of it."""
        life = self.life
        if life.ending is not None:
            await life.ending
        await settle()
        generation = life.task.identity.generation
        assert life.task.lifecycle is Lifecycle.TERMINATED
        assert life.task.work.idle
        assert len(life.task.connections) == 0
        assert self.hooks["on_wake", generation] == 1
        assert self.hooks["on_sleep", generation] == (life.kind is StopKind.SLEEP)
        assert self.hooks["on_destroy", generation] == (life.kind is StopKind.DESTROY)
        assert all(caller.done() for caller in self.callers)
        if life.kind is StopKind.SLEEP:
            assert await self.world.stored_state() == self.world.instance.state

    async def caller(self, task: ActorTask, kind: str, amount: int, number: int) -> None:
        try:
            await self.request(task, kind, amount)
        except RivetError as failure:
            assert failure.code in _ACCEPTABLE, failure
            assert failure.actor == task.identity.specifier
        self.answers[number] += 1

    async def visit(self, task: ActorTask, kind: str, amount: int) -> None:
        try:
            conn = await task.open_connection(None, RecordingSink())
        except RivetError as failure:
            assert failure.code in _ACCEPTABLE, failure
            return
        if kind == "leave":
            await task.context.clock.sleep(amount / 2)
        task.close_connection(conn)

    async def request(self, task: ActorTask, kind: str, amount: int) -> None:
        match kind:
            case "call":
                await call(task, "add")
            case "slow":
                await call(task, "slow", amount)
            case "stuck":
                await call(task, "stuck")
            case "detached":
                await task.call_detached("add", b"\x80", None)
            case "keep":
                await call(task, "keep", amount)
            case other:
                raise AssertionError(other)


@settings(max_examples=250, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=12, max_size=40),
    hook_seconds=st.sampled_from([0.0, 0.5, 6.0]),
    cancellable=st.booleans(),
)
def test_every_life_keeps_its_promises(steps: list[Step], hook_seconds: float, cancellable: bool) -> None:
    asyncio.run(Model(hook_seconds, cancellable).run(steps))
