"""Writes to every store of two actors until it is killed: ``main`` takes a data directory and a first number.

The first line it prints is what the one actor had stored, one of the next what the other found, every
further one an effect (``effects``). Effects in the actors' own code are printed there, when they happen.
With the number 0 it causes nothing new, and ends when nothing is left to do.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from rivetkit import Actor, ActorHandle, Queue, Registry, UserError, action, actor
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import (
    ACTOR_KEY,
    QUEUE_MESSAGE_PREFIX,
    ActorRecord,
    QueueMessage,
    decode_actor,
    decode_queue_message,
)
from tests.crash.effects import Found, Kept

_KV_PREFIX = b"\x04"
_IN_FLIGHT = 20
_POLL = 0.02

MANY = 100_000
FAR = datetime(2100, 1, 1, tzinfo=UTC)

room = asyncio.Semaphore(_IN_FLIGHT)
"""Keeps senders from running far ahead of the receivers."""


def tell(kind: str, number: int, *more: int) -> None:
    """Print an effect in one write, which a kill cannot split."""
    os.write(sys.stdout.fileno(), (" ".join([kind, *map(str, (number, *more))]) + "\n").encode())


@actor(durability="strict", max_queue_size=MANY, max_schedules=MANY)
class Keeper(Actor):
    """Counts in all of its stores at once."""

    state: int = 0
    numbers = Queue[int]()

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(["CREATE TABLE halves (number INTEGER, half INTEGER)"])

    @action
    async def found(self) -> Kept:
        keys = await self.ctx.kv.list()
        rows = await self.ctx.db.fetch_all("SELECT number, count(*) FROM halves GROUP BY number ORDER BY 1")
        return Kept(
            state=self.state,
            keys=[int(key) for key, _ in keys],
            rows=[(row[0], row[1]) for row in rows],
            messages=[job.body for job in await self.numbers.try_next_batch(MANY, completable=True)],
            planned=len(self.ctx.schedule.list()),
        )

    @action
    async def count(self) -> int:
        number = self.state + 1
        await self.numbers.send(number)
        async with self.ctx.db.transaction() as tx:
            for half in (0, 1):
                await tx.execute("INSERT INTO halves VALUES (?, ?)", [number, half])
        self.state = number
        await self.ctx.kv.put(f"{number:08}", "x" * 100)
        await self.ctx.schedule.at(FAR, Keeper.count)
        return number


class Doer(Actor):
    """Has queues of both kinds, one-shots, a recurring schedule and keys."""

    state: int = 0
    jobs = Queue[int, int]()
    notes = Queue[int]()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as receivers:
            receivers.create_task(self.do_jobs())
            receivers.create_task(self.take_notes())

    async def do_jobs(self) -> None:
        async for job in self.jobs:
            tell("got", job.body)
            await job.complete(-job.body)
            tell("done", job.body)
            room.release()

    async def take_notes(self) -> None:
        async for job in self.notes:
            tell("taken", job.body)
            room.release()

    @action
    async def begin(self) -> None:
        await self.ctx.schedule.cron.every("tick", 5.0, Doer.tick)

    @action
    async def plan(self, number: int, delay: float) -> None:
        planned = await self.ctx.schedule.after(delay, Doer.ring, number)
        pending = self.ctx.schedule.get(planned)
        tell("planned", number, 0 if pending is None else round(pending.at.timestamp() * 1000))

    @action
    async def ring(self, number: int) -> None:
        tell("rang", number)

    @action
    async def insist(self, number: int, delay: float) -> None:
        await self.ctx.schedule.with_options(retries=5).after(delay, Doer.ring_until_it_works, number)
        tell("insisted", number)

    @action(timeout=0.5)
    async def ring_until_it_works(self, number: int) -> None:
        fire = self.ctx.scheduled_fire
        if number % 4 == 0 and fire is not None and fire.attempt == 1:
            raise UserError("not at the first attempt")
        tell("insistent", number)

    @action
    async def tick(self) -> None:
        if (fire := self.ctx.scheduled_fire) is not None:
            tell("tick", round(fire.scheduled_at.timestamp() * 1000))

    @action
    async def put(self, number: int) -> None:
        await self.ctx.kv.put(f"{number:012}", "x")
        tell("put", number)

    @action
    async def left(self) -> int:
        return await self.ctx.queue.size() + len(self.ctx.schedule.list())


async def look(data_dir: Path) -> Found:
    """What the doer has stored, while it cannot change it."""
    store = SqliteStore(data_dir)
    await store.open()
    try:
        doer, puts, messages = await _records(store, "doer")
    finally:
        await store.close()
    rings = [event for event in doer.scheduled_events if event.action == "ring" and event.args]
    return Found(
        puts=puts,
        jobs=[_number(message.body) for message in messages if message.name == "jobs"],
        notes=[_number(message.body) for message in messages if message.name == "notes"],
        plans=[_number(event.args) for event in rings if event.args],
    )


async def _records(store: SqliteStore, name: str) -> tuple[ActorRecord, list[int], list[QueueMessage]]:
    row = await store.find_by_key("default", name, ("a",))
    if row is None:
        return ActorRecord(), [], []
    storage = store.storage(row.actor_id)
    record = (await storage.load([ACTOR_KEY]))[ACTOR_KEY]
    keys = [int(key[1:]) for key, _ in await storage.list(_KV_PREFIX)]
    messages = [decode_queue_message(value) for _, value in await storage.list(QUEUE_MESSAGE_PREFIX)]
    return decode_actor(record), keys, messages


def _number(data: bytes) -> int:
    """A message's body, or the only argument of an action."""
    value = cbor.decode(data)
    return cast("int", cast("list[object]", value)[0] if isinstance(value, list) else value)


async def cause(keeper: ActorHandle[Keeper], doer: ActorHandle[Doer], first: int) -> None:
    """Cause effects of every kind at once, until killed."""

    async def count() -> None:
        while True:
            number = await keeper.call(Keeper.count)
            tell("kept", number)

    async def send(numbers: itertools.count[int]) -> None:
        for number in numbers:
            await room.acquire()
            if number % 2:
                await doer.send(Doer.jobs, number)
                tell("sent", number)
            else:
                await doer.send(Doer.notes, number)
                tell("posted", number)

    async def plan(numbers: itertools.count[int]) -> None:
        for number in numbers:
            delay = number % 40 / 100
            if number % 5:
                await doer.call(Doer.plan, number, delay)
            else:
                await doer.call(Doer.insist, number, delay)

    async def put(numbers: itertools.count[int]) -> None:
        for number in numbers:
            await doer.call(Doer.put, number)

    work: list[Coroutine[object, object, None]] = [
        *(count(), send(itertools.count(first)), plan(itertools.count(first)), put(itertools.count(first)))
    ]
    async with asyncio.TaskGroup() as callers:
        for one in work:
            callers.create_task(one)


async def show(data_dir: Path) -> None:
    """Print what is stored."""
    found = await look(data_dir)
    os.write(sys.stdout.fileno(), found.model_dump_json().encode() + b"\n")


async def run(data_dir: Path, first: int) -> None:
    """Tell what there is, then cause effects or finish."""
    await show(data_dir)
    registry = Registry(Keeper, Doer, data_dir=data_dir)
    async with registry.lifespan():
        keeper = registry.client.get_or_create(Keeper, "a")
        doer = registry.client.get_or_create(Doer, "a")
        kept = await keeper.call(Keeper.found)
        os.write(sys.stdout.fileno(), b"found " + kept.model_dump_json().encode() + b"\n")
        if first:
            await doer.call(Doer.begin)
            await cause(keeper, doer, first)
        while await doer.call(Doer.left):  # noqa: ASYNC110 - nothing says when the last record is gone
            await asyncio.sleep(_POLL)
    await show(data_dir)


def main() -> None:
    """Read the arguments and run."""
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
