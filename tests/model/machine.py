"""What happens to the actor: callers, time, sleep, kills, deaths of its process, failing writes.

The machine is also the host: it starts the actor when somebody needs it or its alarm rings, stops it when it
asks for sleep, and never starts two generations at once. Everything wrong is raised where the machine looks,
at the latest after the step that caused it.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field

from rivetkit_core.actor.context import ActorContext, ActorIdentity
from rivetkit_core.actor.factory import ActionSpec, ActorFactory
from rivetkit_core.actor.lifecycle import Lifecycle, StopKind
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import time_ms
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import QueueSendRequest
from rivetkit_core.wire.persisted import QUEUE_METADATA_KEY, QueueMetadata, encode_queue_metadata
from tests.model.program import QUEUES, Life, Program
from tests.model.promises import Broken, Promises
from tests.model.snapshot import Snapshot
from tests.model.statements import (
    AFTER_A_LIFE,
    ALWAYS,
    Ending,
    statement_7_the_size_counts_the_messages,
    statement_9_the_noted_alarm_is_one_the_host_agreed_to,
)
from tests.model.storage import Door
from tests.unit.actor.scripted import NoAccess, RecordingSink, Scripted

CALLS = ("add", "slow", "fail", "stuck", "keep", "save", "bundle", "put")
MESSAGES = ("send", "send", "take", "hold", "complete", "post", "ask")
PLANS = ("plan", "plan", "withdraw", "every", "never")
OTHERS = ("connect", "leave", "detached", "background", "nap")
EVENTS = (
    "turns",
    "settle",
    "advance",
    "advance",
    "advance",
    "stop",
    "destroy",
    "kill",
    "crash",
    "doom",
    "fault",
)
KINDS = (*CALLS, *MESSAGES, *PLANS, *OTHERS, *EVENTS, "spoil")
Step = tuple[str, int]

SAVE_INTERVAL = 0.5
_GRACE = 4.0
_END_LIMIT = 60.0
_CLEANING_ROUNDS = 20
_QUEUED_WRITES = 20
"""More operations than wait for storage at once."""
_ACCEPTABLE = {
    *(
        "stopping",
        "destroying",
        "aborted",
        "dropped_reply",
        "not_ready",
        "action_timed_out",
        "internal_error",
    ),
    *("unavailable", "completion_waiter_dropped", "max_schedules_exceeded"),
}


@dataclass
class Generation:
    """One life: its task, its way to storage, and how it is coming to an end."""

    task: ActorTask
    door: Door
    starting: asyncio.Task[None]
    started_at: float
    ending: asyncio.Task[None] | None = None
    kind: StopKind | None = None
    killed_at: float | None = None
    over: bool = False
    wants_sleep: bool = False


@dataclass(frozen=True, slots=True)
class Weather:
    """What one example has throughout: see ``Program``; ``write_seconds`` is how long a write takes."""

    seed: int = 0
    hook_seconds: float = 0.0
    write_seconds: float = 0.0
    consuming: bool = False


@dataclass
class Host:
    """What a generation asks of its host."""

    machine: Machine
    generation: int
    crashes: list[str] = field(default_factory=list[str])

    def request_sleep(self) -> None:
        if self.machine.number == self.generation and self.machine.current is not None:
            self.machine.current.wants_sleep = True

    def request_destroy(self) -> None:
        raise AssertionError("the program does not destroy itself")

    def report_crash(self, message: str) -> None:
        self.crashes.append(message)

    async def set_alarm(self, at_ms: int | None) -> None:
        await self.machine.door(self.generation).set_alarm(at_ms)


class Machine:
    """One actor id with its storage and everybody around it."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.clock = FakeClock()
        self.records: dict[bytes, bytes] = {}
        self.alarm: int | None = None
        self.number = 0
        self.current: Generation | None = None
        self.broken: list[BaseException] = []
        self.life = Life(self._may_run, lambda: Snapshot.of(self.records), self._is_reliable, self._fail)
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(weather.seed)
        self._doors: dict[int, Door] = {}
        self._requests: list[asyncio.Task[None]] = []
        self._seen = 0
        self._answers: Counter[int] = Counter()
        self._sinks: list[tuple[int, RecordingSink]] = []
        self._doom: tuple[int, bool] | None = None
        self._spoilt = False
        self._noted: int | None = None
        config = ActorConfig(
            sleep_timeout=3.0,
            sleep_grace_period=_GRACE,
            action_timeout=20.0,
            state_save_interval=SAVE_INTERVAL,
        )
        self._program = Program(
            self.life, hook_seconds=weather.hook_seconds, consuming=weather.consuming, config=config
        )

    async def run(self, steps: Sequence[Step]) -> None:
        """Do the steps, then let everything come to rest, and look whether anything is owed.

        Raises:
            Broken: A promise was not kept.
        """
        try:
            for kind, amount in steps:
                await self._step(kind, amount)
                await self._obey()
            await self._rest()
        finally:
            await self._clear_up()

    # --- rules that user code and storage ask for

    def _may_run(self, actor: Scripted) -> None:
        generation = self.current
        if generation is None or generation.over or actor.context.generation != self.number:
            raise Broken("code of a generation runs after its end")
        if generation.task.lifecycle is Lifecycle.TERMINATED and generation.ending is None:
            raise Broken("code of a terminated generation runs")

    def _fail(self, failure: BaseException) -> None:
        """Remember what is wrong, and stop storage, so that no loop goes on with it."""
        self.broken.append(failure)
        if self.current is not None:
            self.current.door.die()

    def _is_reliable(self) -> bool:
        return self.current is not None and not self.current.door.dead and not self.current.door.failed

    def door(self, generation: int) -> Door:
        return self._doors[generation]

    def _may_write(self, number: int) -> None:
        generation = self.current
        if generation is not None and number == self.number and generation.over:
            self._fail(Broken("a generation writes after its end"))
        if number != self.number:
            self._fail(Broken("an earlier generation writes"))

    def _written(self) -> None:
        """Something has changed in storage: what must always hold has to hold now."""
        try:
            self._check_storage()
        except Broken as failure:  # raised where the machine looks: storage itself has not failed
            self._fail(failure)

    def _check_storage(self) -> None:
        found = Snapshot.of(self.records)
        if found.metadata is not None and found.metadata.size == len(found.messages):
            self._spoilt = False
        for statement in ALWAYS:
            if not (self._spoilt and statement is statement_7_the_size_counts_the_messages):
                statement(self.life.promised, found)
        door = self._doors[self.number]
        self.alarm = door.alarm
        agreed = self.alarm if door.alarm_was_set else None  # a generation begins without one
        statement_9_the_noted_alarm_is_one_the_host_agreed_to(found, self._noted, agreed)
        self._noted = found.noted_alarm

    # --- the life of the actor

    def _awake(self) -> Generation:
        """The current generation, begun if there is none."""
        if self.current is None:
            self.number += 1
            number = self.number
            door = Door(
                self.records,
                self.clock,
                self._chance,
                seconds=self.weather.write_seconds,
                written=self._written,
                forbidden=lambda: self._may_write(number),
            )
            door.alarm = self.alarm
            self._strike(door)
            self._doors = {self.number: door}
            self.life.held = []
            self.life.ending_at = None
            self.life.ticking.clear()
            task = self._make(door)
            starting = asyncio.create_task(self._begin(task, door))
            self.current = Generation(task, door, starting, self.clock.monotonic())
            self.counts["generations"] += 1
        return self.current

    def _make(self, door: Door) -> ActorTask:
        def create(context: ActorContext) -> Scripted:
            return Scripted(self._program.script, context, [])

        script = self._program.script
        factory = ActorFactory(
            name="model",
            create=create,
            actions={name: script.specs.get(name, ActionSpec()) for name in script.actions},
            queues=script.queues,
            config=script.config,
        )
        return ActorTask(
            factory,
            ActorIdentity("actor1", "model", (), self.number),
            ActorPorts(
                storage=door,
                access=NoAccess(),
                clock=self.clock,
                entropy=SeededEntropy(self.number),
                host=Host(self, self.number),
            ),
        )

    async def _begin(self, task: ActorTask, door: Door) -> None:
        await task.start(None)
        if not door.alarm_was_set:  # as hosts do: an alarm that was not set again has rung
            door.alarm = self.alarm = None

    async def _obey(self) -> None:
        """Be the host: notice deaths and ends, stop who asked for sleep, wake who is due."""
        generation = self.current
        if self.broken:
            raise self.broken[0]
        if generation is not None:
            if generation.door.dead:
                await self._bury(generation)
            elif generation.starting.done() and generation.starting.exception() is not None:
                await self._over(generation, orderly=False)
            elif generation.ending is not None and generation.ending.done():
                await self._over(generation, orderly=generation.ending.exception() is None)
            elif generation.wants_sleep and generation.ending is None:
                generation.wants_sleep = False
                if generation.task.sleep.still_wanted():
                    self._end(StopKind.SLEEP)
        if self.current is None and self.alarm is not None and self.alarm <= time_ms(self.clock):
            self._awake()
        for request in self._requests[self._seen :]:
            if not request.done():
                break
            request.result()
            self._seen += 1
        if self.broken:
            raise self.broken[0]

    def _end(self, kind: StopKind) -> None:
        generation = self.current
        if generation is not None and generation.starting.done() and generation.ending is None:
            generation.kind = kind
            self.life.ending_at = time_ms(self.clock)
            generation.ending = asyncio.create_task(generation.task.stop(kind))

    async def _bury(self, generation: Generation) -> None:
        """The process has died: nothing it does from here on reaches anybody."""
        generation.door.die()
        promised = copy.deepcopy(self.life.promised)
        killing = asyncio.create_task(self._kill(generation))
        generation.door.buried.set()
        await self._until_done(killing)
        self.life.promised = promised
        await self._over(generation, orderly=False)
        self.counts["deaths"] += 1

    async def _kill(self, generation: Generation) -> None:
        generation.killed_at = self.clock.monotonic()
        generation.starting.cancel()
        await asyncio.wait([generation.starting])
        await generation.task.kill()
        if generation.ending is not None:
            await asyncio.wait([generation.ending])

    async def _over(self, generation: Generation, *, orderly: bool) -> None:
        """A life has ended: everything it owed has been done, and nothing is left of it."""
        moments = (generation.door.died_at, generation.killed_at, self.clock.monotonic())
        died = min(moment for moment in moments if moment is not None)
        await settle()
        generation.over = True
        task = generation.task
        if generation.ending is not None and not generation.ending.cancelled():
            generation.ending.exception()
        if task.lifecycle is not Lifecycle.TERMINATED or not task.work.idle or len(task.connections):
            raise Broken(f"something is left: {task.lifecycle}, {task.work.counts()}")
        self._check_hooks(generation, orderly)
        for request in self._requests:
            if not request.done():
                raise Broken("a request has no answer although the actor has ended")
            request.result()
        if any(sink.closed is None for number, sink in self._sinks if number == self.number):
            raise Broken("a connection was left open")
        self._sinks.clear()
        if generation.kind is StopKind.DESTROY:  # which hosts go on with, however far it came
            if orderly and self.alarm is not None:
                raise Broken("a destroyed actor has an alarm")
            self._forget_everything()
        else:
            self._compare(generation, died, orderly=orderly)
        self.current = None

    def _compare(self, generation: Generation, died: float, *, orderly: bool) -> None:
        found = Snapshot.of(self.records)
        lossless: float | None = None
        if orderly and not generation.door.failed:
            lossless = float("inf")
        elif not generation.door.failed and not generation.ending:
            lossless = died - SAVE_INTERVAL - _QUEUED_WRITES * self.weather.write_seconds - 0.001
        ending = Ending(died, time_ms(self.clock), lossless, self.alarm)
        for statement in AFTER_A_LIFE:
            statement(self.life.promised, found, ending)
        self.life.promised.settle(found)

    def _check_hooks(self, generation: Generation, orderly: bool) -> None:
        hooks, kind = self.life.hooks, generation.kind
        for hook, wanted in (("on_sleep", StopKind.SLEEP), ("on_destroy", StopKind.DESTROY)):
            count = hooks[hook, self.number]
            if (
                count > 1
                or (count and kind is not wanted)
                or (orderly and (count == 1) is not (kind is wanted))
            ):
                raise Broken(f"{hook} ran {count} times in a life that ended by {kind}")

    def _forget_everything(self) -> None:
        self.alarm = None
        self.records.clear()
        self._noted = None
        self._spoilt = False
        self.life.promised = Promises()

    # --- steps

    async def _step(self, kind: str, amount: int) -> None:
        self.counts[kind] += 1
        match kind:
            case "turns":
                for _ in range(amount):
                    await asyncio.sleep(0)
            case "settle":
                await settle()
            case "advance":
                await self._advance(amount / 2)
            case "stop":
                self._end(StopKind.SLEEP)
            case "destroy":
                if amount > 6:
                    self._end(StopKind.DESTROY)
            case "kill" | "crash" | "doom" | "fault" | "spoil":
                await self._harm(kind, amount)
            case "connect" | "leave":
                self._request(self._visit(self._awake(), stays=kind == "connect", amount=amount))
            case "nap" | "background":
                self._tell(self._awake(), kind, amount)
            case "post" | "ask":
                number = self._next()
                self._request(self._enqueue(self._awake(), number, amount, wait=kind == "ask"))
            case _:
                self._request(self._call(self._awake(), kind, self._next(), amount))

    async def _harm(self, kind: str, amount: int) -> None:
        generation = self.current
        if kind == "spoil" and generation is None and QUEUE_METADATA_KEY in self.records:
            # As a crash between two writes of another runtime leaves it.
            found = Snapshot.of(self.records)
            top = max(found.messages, default=0)
            if found.metadata is not None:
                metadata = QueueMetadata(max(top + 1, found.metadata.next_id), amount)
                self.records[QUEUE_METADATA_KEY] = encode_queue_metadata(metadata)
                self._spoilt = True
        if kind == "doom":  # a sleeping actor's next start is what it hits
            self._doom = (amount // 2, amount % 2 == 1)
        if generation is None:
            return
        if kind == "crash":
            await self._bury(generation)
        elif kind == "doom":
            self._strike(generation.door)
        elif kind == "fault":
            generation.door.faults.extend([amount % 2 == 1] * (1 + amount // 4))
        elif kind == "kill":
            generation.door.spare()
            await self._until_done(asyncio.create_task(self._kill(generation)))
            await self._over(generation, orderly=False)

    def _strike(self, door: Door) -> None:
        if self._doom is not None:
            write, happens = self._doom
            self._doom = None
            door.die_at(write, happens=happens)

    async def _advance(self, seconds: float) -> None:
        """Let time pass, waking the actor at its alarm."""
        target = self.clock.monotonic() + seconds
        while (left := target - self.clock.monotonic()) > 1e-9:
            if self.current is None and self.alarm is not None:
                left = min(left, max(0.001, self.alarm / 1000 - self.clock.now()))
            await self.clock.advance(min(left, SAVE_INTERVAL))
            await self._obey()
        await self.clock.advance(0)

    def _next(self) -> int:
        self.counts["numbers"] += 1
        return self.counts["numbers"]

    def _tell(self, generation: Generation, kind: str, amount: int) -> None:
        context = generation.task.context
        if kind == "background":
            if generation.task.lifecycle is Lifecycle.STARTED:
                instance = generation.task._parts.instance  # pyright: ignore[reportPrivateUsage]  # no call leads there
                assert isinstance(instance, Scripted)
                context.wait_until(self._program.background(instance, amount / 2))
            return
        try:
            context.sleep()
        except RivetError as refused:
            if refused.code not in {"stopping", "starting"}:
                raise Broken(f"sleep was refused: {refused}") from refused

    # --- requests

    def _request(self, request: Coroutine[object, object, None]) -> None:
        number = len(self._requests)

        async def answered() -> None:
            try:
                await request
            except RivetError as failure:
                if failure.code not in _ACCEPTABLE:
                    raise Broken(f"unexpected answer: {failure}") from failure
            self._answers[number] += 1

        self._requests.append(asyncio.create_task(answered()))

    async def _running(self, generation: Generation) -> ActorTask:
        """As a host: requests wait for the start, and share its failure."""
        await asyncio.wait([generation.starting])
        if generation.starting.cancelled():
            raise StorageError("storage", "unavailable", "the process has died")
        generation.starting.result()
        return generation.task

    async def _call(self, generation: Generation, action: str, number: int, amount: int) -> None:
        promised = self.life.promised
        task = await self._running(generation)
        args = cbor.encode([number, amount])
        if action == "detached":
            await task.call_detached("add", args, None)
            return
        await task.call(action, args, None)
        if action == "bundle" and promised is self.life.promised:
            promised.covered.add(number)
            promised.tried[b"p%d" % number] = promised.keys[b"p%d" % number] = number
            if number not in self.life.found().log:
                raise Broken(f"a strict answer came before {number} was stored")

    async def _enqueue(self, generation: Generation, number: int, amount: int, *, wait: bool) -> None:
        task, name = await self._running(generation), QUEUES[amount % 2]
        self.life.promised.attempted.add(number)
        request = QueueSendRequest(cbor.encode(number), wait=wait, timeout=500 * amount if wait else None)
        answer = await task.enqueue(name, request, None)
        if answer.response is not None:
            if cbor.decode(answer.response) != -number:
                raise Broken("a sender got the reply to another message")
            if number in self.life.found().messages.values():
                raise Broken("a sender got its reply before the message was deleted")
        elif answer.status == "completed" and wait:
            raise Broken("a sender that waits was answered without a reply")
        elif number not in self.life.found().messages.values():
            self._require_delivered(number)

    def _require_delivered(self, number: int) -> None:
        promised = self.life.promised
        gone = {promised.numbers.get(one) for one in promised.gone}
        if number not in gone and not promised.receiving:
            raise Broken(f"message {number} was acknowledged and is not stored")

    async def _visit(self, generation: Generation, *, stays: bool, amount: int) -> None:
        task, sink = await self._running(generation), RecordingSink()
        conn = await task.open_connection(None, sink)
        self._sinks.append((generation.task.identity.generation, sink))

        def leave() -> None:
            sink.closed = sink.closed or (1000, "")
            task.close_connection(conn)

        if not stays:
            self.clock.call_later(amount / 2, leave)
        try:
            await task.run_action("slow", cbor.encode([self._next(), amount]), conn)
        finally:
            if sink.closed is not None:
                task.close_connection(conn)

    # --- the end

    async def _rest(self) -> None:
        """Let everything planned happen with nothing going wrong, then sleep; nothing may be owed."""
        await self._finish_life()
        self._doom = None
        await self._calm("never")
        for _ in range(4):
            await self._advance(5.0)
        await self._finish_life()
        owed = self.life.promised.pending
        if owed:
            raise Broken(f"one-shots {sorted(owed)} never ran")
        again = {one: times for one, times in self.life.promised.rang.items() if times > 1}
        if any(not one.startswith("retry:") for one in again):
            raise Broken(f"one-shots ran more than once: {again}")
        if self._answers != Counter(range(len(self._requests))):
            raise Broken("a request was not answered exactly once")
        if self.current is None and self.clock.pending():
            raise Broken(f"timers are left: {self.clock.pending()}")

    async def _calm(self, action: str) -> None:
        generation = self._awake()
        self._request(self._call(generation, action, self._next(), 0))
        await self._advance(2.0)

    async def _finish_life(self) -> None:
        """Sleep, unless the process dies on the way."""
        ending = self.current
        for _ in range(200):
            if self.current is not ending or ending is None:
                return
            self._end(StopKind.SLEEP)
            await self._advance(SAVE_INTERVAL)
        raise Broken("a life does not end")

    async def _until_done(self, work: asyncio.Task[None]) -> None:
        await settle()
        if not work.done():
            await self.clock.advance(_END_LIMIT)
        if not work.done():
            raise Broken("a generation does not die")
        work.result()

    async def _clear_up(self) -> None:
        """End every task there is, whatever state it was left in."""
        if self.current is not None:
            self.current.door.die()
            self.current.door.buried.set()
        for _ in range(_CLEANING_ROUNDS):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                break
            for task in left:
                task.cancel()
            await self.clock.advance(_END_LIMIT)
        for request in self._requests:
            if request.done() and not request.cancelled():
                request.exception()
