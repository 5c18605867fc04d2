"""What the actor does, and the notes it takes: every promise at the moment it is given.

All of it runs against ``Life``, which knows what is stored and whether this generation may still run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Generator
from typing import cast

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.factory import ActionSpec, QueueSpec
from rivetkit_core.actor.firing import ScheduledFire
from rivetkit_core.actor.oneshots import Retries
from rivetkit_core.actor.queue_message import ReceivedMessage
from rivetkit_core.clock import time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.wire import cbor
from tests.model.promises import Broken, Promises, is_retried
from tests.model.snapshot import Snapshot
from tests.model.statements import statement_8_an_actor_is_initialized_before_it_serves
from tests.unit.actor.scripted import Handler, Script, Scripted

QUEUES = ("jobs", "mail")
WORK, MAIL = QUEUES
ACTIONS = (
    *("add", "slow", "fail", "stuck", "keep", "save", "bundle", "put"),
    *("send", "take", "hold", "complete", "plan", "withdraw", "every", "never", "ring", "tick"),
)


class Life:
    """What user code of the current generation may know. The machine moves it from one to the next.

    Attributes:
        may_run: Raises when code of this generation must not run (any more).
        found: What is stored at this moment.
        reliable: Whether storage has done everything it was asked for so far.
        held: What was received in this generation and not completed.
        ending_at: When the end of this generation began, in milliseconds since the Unix epoch.
        fail: Takes what is wrong while user code runs, where raising would reach the wrong one.
    """

    def __init__(
        self,
        may_run: Callable[[Scripted], None],
        found: Callable[[], Snapshot],
        reliable: Callable[[], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.may_run = may_run
        self.found = found
        self.reliable = reliable
        self.fail = fail
        self.promised = Promises()
        self.held: list[ReceivedMessage] = []
        self.ending_at: int | None = None
        self.hooks: Counter[tuple[str, int]] = Counter()
        self.ticking: Counter[str] = Counter()

    @contextlib.contextmanager
    def noting(self) -> Generator[None]:
        """Keep what is broken inside for the machine, since the actor would mask it."""
        try:
            yield
        except (Broken, AssertionError) as failure:
            self.fail(failure)
            raise


class Program:
    """The actor's code.

    Args:
        hook_seconds: How long ``on_sleep``, ``on_wake`` and connect hooks take.
        consuming: Whether ``run`` receives and completes the messages of one queue.
    """

    def __init__(self, life: Life, *, hook_seconds: float, consuming: bool, config: ActorConfig) -> None:
        self.life = life
        self._hook_seconds = hook_seconds
        handlers: dict[str, Handler] = {name: getattr(self, name) for name in ACTIONS}
        self.script = Script(
            actions={name: self._noted(handler) for name, handler in handlers.items()},
            specs={"bundle": ActionSpec(durability="strict")},
            hooks={
                "create_state": self.create_state,
                "on_wake": self.on_wake,
                "on_sleep": self.on_sleep,
                "on_destroy": self.on_destroy,
                "run": self.consume if consuming else self.idle,
            },
            conn_hooks={"on_connect": self.on_connect, "on_disconnect": self.on_disconnect},
            queues={name: QueueSpec() for name in QUEUES},
            config=config,
        )

    def _noted(self, handler: Handler) -> Handler:
        async def run(actor: Scripted, args: list[object]) -> object:
            with self.life.noting():
                self._serves(actor)
                result = await handler(actor, args)
                self.life.may_run(actor)
                return result

        return run

    def _serves(self, actor: Scripted) -> None:
        self.life.may_run(actor)
        if self.life.hooks["on_wake", actor.context.generation] != 1:
            raise Broken("client code runs before on_wake")
        statement_8_an_actor_is_initialized_before_it_serves(self.life.found())

    # --- hooks

    async def create_state(self, actor: Scripted) -> None:
        actor.state = {"log": [], "count": 0, "pairs": []}

    async def on_wake(self, actor: Scripted) -> None:
        with self.life.noting():
            self.life.may_run(actor)
            statement_8_an_actor_is_initialized_before_it_serves(self.life.found())
            await actor.context.clock.sleep(self._hook_seconds / 2)
            self.life.hooks["on_wake", actor.context.generation] += 1

    async def on_sleep(self, actor: Scripted) -> None:
        await self._ending(actor, "on_sleep")

    async def on_destroy(self, actor: Scripted) -> None:
        await self._ending(actor, "on_destroy")

    async def _ending(self, actor: Scripted, hook: str) -> None:
        with self.life.noting():
            self.life.may_run(actor)
            if not actor.context.aborted:
                raise Broken(f"{hook} runs before the abort signal")
            self.life.hooks[hook, actor.context.generation] += 1
            await actor.context.clock.sleep(self._hook_seconds)
            self.life.may_run(actor)

    async def on_connect(self, actor: Scripted, _conn: Connection) -> None:
        with self.life.noting():
            self._serves(actor)

    async def on_disconnect(self, actor: Scripted, _conn: Connection) -> None:
        with self.life.noting():
            self.life.may_run(actor)

    async def idle(self, actor: Scripted) -> None:
        with actor.context.queue_wait():
            while not await actor.context.abort_signal.wait(1.0):
                self.life.may_run(actor)

    async def consume(self, actor: Scripted) -> None:
        with self.life.noting():
            async for message in actor.context.queue.iterate([WORK], completable=True):
                self.life.may_run(actor)
                self._got(message)
                await self._complete(message)

    # --- state and keys

    def change(self, actor: Scripted, number: int, *, pair: bool = False) -> None:
        """Add a number to the state, in one turn of the event loop."""
        self.life.may_run(actor)
        state = cast("dict[str, object]", actor.state)
        cast("list[int]", state["log"]).append(number)
        state["count"] = cast("int", state["count"]) + 1
        if pair:
            cast("list[int]", state["pairs"]).append(number)
        self.life.promised.history.append(number)
        self.life.promised.changed_at[number] = actor.context.clock.monotonic()

    async def add(self, actor: Scripted, args: list[object]) -> object:
        self.change(actor, _number(args))
        return _number(args)

    async def slow(self, actor: Scripted, args: list[object]) -> object:
        self.change(actor, _number(args))
        await actor.context.clock.sleep(_choice(args) / 2)
        self.change(actor, -_number(args))
        return _number(args)

    async def fail(self, actor: Scripted, args: list[object]) -> object:
        self.change(actor, _number(args))
        raise ValueError("as wanted")

    async def stuck(self, actor: Scripted, args: list[object]) -> object:
        self.change(actor, _number(args))
        await asyncio.Event().wait()
        return None

    async def keep(self, actor: Scripted, args: list[object]) -> object:
        async with actor.context.keep_awake():
            return await self.slow(actor, args)

    async def save(self, actor: Scripted, args: list[object]) -> object:
        number = _number(args)
        self.change(actor, number)
        await actor.context.save_state()
        if number not in self.life.found().log:
            raise Broken(f"a save returned that does not hold {number}")
        self.life.promised.covered.add(number)
        return number

    async def bundle(self, actor: Scripted, args: list[object]) -> object:
        number = _number(args)
        self.change(actor, number, pair=True)
        await actor.context.kv.put({b"p%d" % number: cbor.encode(number)})
        return number

    async def put(self, actor: Scripted, args: list[object]) -> object:
        number, key = _number(args), b"k%d" % (_choice(args) % 3)
        promised = self.life.promised
        promised.tried[key] = number
        await actor.context.kv.put({key: cbor.encode(number)})
        promised.keys[key] = max(promised.keys.get(key, 0), number)
        return number

    # --- queues

    async def send(self, actor: Scripted, args: list[object]) -> object:
        number, promised = _number(args), self.life.promised
        promised.attempted.add(number)
        sent = await actor.context.queue.send(QUEUES[_choice(args) % 2], cbor.encode(number))
        promised.stood_for(sent.id, number)
        promised.sent[sent.id] = number
        found = self.life.found()
        if sent.id not in found.messages and sent.id not in promised.gone and not promised.receiving:
            raise Broken(f"message {sent.id} was sent and is not stored")
        return sent.id

    async def take(self, actor: Scripted, args: list[object]) -> object:
        """Receive messages for good."""
        promised, count = self.life.promised, 1 + _choice(args) % 3
        promised.receiving += count
        timeout = _choice(args) / 4
        names = [MAIL] if _choice(args) % 2 else None
        try:
            found = await actor.context.queue.next_batch(names, count, timeout=timeout)
        finally:
            if self.life.reliable():  # otherwise some may be deleted, and could not be put back
                promised.receiving -= count
        for message in found:
            self._got(message)
            promised.taken.add(message.id)
            if message.id in self.life.found().messages:
                raise Broken(f"message {message.id} was handed over before it was deleted")
        return [message.id for message in found]

    async def hold(self, actor: Scripted, args: list[object]) -> object:
        """Receive messages that stay until they are completed."""
        found = await actor.context.queue.next_batch(
            None, 1 + _choice(args) % 3, timeout=_choice(args) / 4, completable=True
        )
        for message in found:
            self._got(message)
        self.life.held += found
        return len(found)

    async def complete(self, actor: Scripted, args: list[object]) -> object:
        if self.life.held:
            await self._complete(self.life.held.pop(_choice(args) % len(self.life.held)))
        return None

    def _got(self, message: ReceivedMessage) -> None:
        self.life.promised.received(message.id, cast("int", cbor.decode(message.body)))

    async def _complete(self, message: ReceivedMessage) -> None:
        promised = self.life.promised
        promised.completing.add(message.id)
        await message.complete(cbor.encode(-promised.numbers[message.id]))
        promised.completed.add(message.id)
        if message.id in self.life.found().messages:
            raise Broken(f"message {message.id} was completed and is still stored")

    # --- schedules

    async def plan(self, actor: Scripted, args: list[object]) -> object:
        number, promised = _number(args), self.life.promised
        delay, retries = 700 * _choice(args), Retries(3) if number % 3 == 0 else None
        due = time_ms(actor.context.clock) + delay
        planned = await actor.context.schedule.after(
            delay, "ring", cbor.encode([number, delay]), retries=retries
        )
        promised.planned[planned] = due
        return planned

    async def withdraw(self, actor: Scripted, args: list[object]) -> object:
        pending = sorted(self.life.promised.pending)
        if not pending:
            return None
        one = pending[_choice(args) % len(pending)]
        self.life.promised.withdrawn.add(one)
        if await actor.context.schedule.cancel(one):
            self.life.promised.cancelled.add(one)
        return None

    async def ring(self, actor: Scripted, args: list[object]) -> object:
        fire, promised, found = self._fire(actor), self.life.promised, self.life.found()
        promised.rang[fire.id] += 1
        stored = found.events.get(fire.id)
        if fire.id in promised.cancelled:
            raise Broken("a cancelled one-shot runs")
        if is_retried(fire.id):
            if stored is not None and stored.timestamp <= fire.fired_at:
                raise Broken("a one-shot with retries is due again before its try has ended")
            if fire.attempt < _number(args) % 4:
                raise ValueError("as wanted")
        elif stored is not None or promised.rang[fire.id] > 1:
            raise Broken("a one-shot runs that is still stored, or ran before")
        self.change(actor, _number(args))
        await actor.context.clock.sleep(_number(args) % 4)
        return None

    def _fire(self, actor: Scripted) -> ScheduledFire:
        fire = actor.context.schedule.fire
        if fire is None:
            raise Broken("a scheduled action does not know why it runs")
        if self.life.ending_at is not None and fire.fired_at > self.life.ending_at:
            raise Broken("a scheduled action was claimed after the end had begun")
        return fire

    async def every(self, actor: Scripted, args: list[object]) -> object:
        interval = 5000 + 500 * _choice(args)
        await actor.context.schedule.cron.every(f"job{_choice(args) % 2}", interval, "tick")
        return None

    async def never(self, actor: Scripted, args: list[object]) -> object:
        for job in actor.context.schedule.cron.list():
            await actor.context.schedule.cron.delete(job.name)
        return None

    async def tick(self, actor: Scripted, args: list[object]) -> object:
        fire = self._fire(actor)
        if fire.name is None:
            raise Broken("a tick does not know whose it is")
        self.life.promised.rang[f"{fire.id} {fire.scheduled_at}"] += 1
        if self.life.promised.rang[f"{fire.id} {fire.scheduled_at}"] > 1:
            raise Broken(f"the tick of {fire.name} at {fire.scheduled_at} ran twice")
        self.life.ticking[fire.name] += 1
        try:
            if self.life.ticking[fire.name] > 1:
                raise Broken(f"two ticks of {fire.name} run at once")
            await actor.context.clock.sleep(3.0)
        finally:
            self.life.ticking[fire.name] -= 1
        return None

    async def background(self, actor: Scripted, seconds: float) -> None:
        """Work that only the end of the actor waits for."""
        with self.life.noting():
            await actor.context.clock.sleep(seconds)
            self.life.may_run(actor)


def _number(args: list[object]) -> int:
    return cast("int", args[0])


def _choice(args: list[object]) -> int:
    return cast("int", args[1])
