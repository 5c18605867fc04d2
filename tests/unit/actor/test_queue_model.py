"""A queue against the simplest thing it could be, through random lives with crashes and failed writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.queue_message import ReceivedMessage
from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.wire.persisted import QUEUE_METADATA_KEY, QueueMetadata, encode_queue_metadata
from tests.unit.actor.queue_world import QueueWorld

NAMES = ("a", "b", "c")
LIMIT = 6
DOWN = StorageError("storage", "unavailable", "down")


@dataclass
class Model:
    """What must be stored: ids with their queues, in order. ``ever`` is every id that was given out."""

    stored: dict[int, str] = field(default_factory=dict[int, str])
    ever: list[int] = field(default_factory=list[int])
    deleted: set[int] = field(default_factory=set[int])
    completed: set[int] = field(default_factory=set[int])

    def matching(self, names: Sequence[str]) -> list[int]:
        return [number for number, name in self.stored.items() if not names or name in names]


class Life:
    """Runs steps on both and compares."""

    def __init__(self) -> None:
        self.world = QueueWorld(max_queue_size=LIMIT)
        self.queue: ActorQueue = self.world.generation()
        self.model = Model()
        self.held: list[ReceivedMessage] = []

    async def send(self, name: str) -> None:
        try:
            number = (await self.queue.send(name, name.encode())).id
        except RivetError as failure:
            assert failure.code == "full"
            assert len(self.model.stored) == LIMIT
            return
        assert all(number > earlier for earlier in self.model.ever)
        self.model.ever.append(number)
        self.model.stored[number] = name

    async def receive(self, names: Sequence[str], count: int, completable: bool) -> None:
        found = await self.queue.next_batch(names, count, timeout=0.0, completable=completable)
        assert [message.id for message in found] == self.model.matching(names)[:count]
        assert not {message.id for message in found} & (self.model.deleted | self.model.completed)
        if completable:
            self.held += found
            return
        for message in found:
            self.model.deleted.add(message.id)
            del self.model.stored[message.id]

    async def complete(self, choice: int) -> None:
        if not self.held:
            return
        message = self.held.pop(choice % len(self.held))
        await message.complete()
        self.model.completed.add(message.id)
        self.model.stored.pop(message.id, None)

    async def cancelled_receive(self, turns: int) -> None:
        receiving = asyncio.create_task(self.queue.next(timeout=0.0))
        for _ in range(turns):
            await asyncio.sleep(0)
        if receiving.cancel():
            await asyncio.wait([receiving])
        if receiving.cancelled():
            return
        if (message := receiving.result()) is not None:
            self.model.deleted.add(message.id)
            del self.model.stored[message.id]

    async def crash(self) -> None:
        self.queue = self.world.generation()
        self.held.clear()

    async def spoil_metadata(self, size: int) -> None:
        """As a crash between two writes of another runtime leaves it."""
        metadata = QueueMetadata(max(self.model.ever, default=0) + 1, size)
        self.world.storage.records[QUEUE_METADATA_KEY] = encode_queue_metadata(metadata)
        await self.crash()

    async def fail(self, name: str) -> None:
        """A write that fails changes nothing; its id is not used again."""
        self.world.storage.failure = DOWN
        with pytest.raises(RivetError):
            await self.queue.send(name, b"")
        self.world.storage.failure = None

    async def reset(self) -> None:
        await self.queue.reset()
        self.model.deleted.update(self.model.stored)
        self.model.stored.clear()

    async def check(self) -> None:
        assert await self.queue.size() == len(self.model.stored)
        assert list(self.world.messages) == list(self.model.stored)
        if self.model.ever:
            assert self.world.metadata.size == len(self.model.stored)

    async def step(self, kind: str, names: list[str], number: int) -> None:
        match kind:
            case "send":
                await self.send(names[0] if names else "a")
            case "receive" | "receive-completable":
                await self.receive(names, number, completable=kind != "receive")
            case "complete":
                await self.complete(number)
            case "fail":
                await self.fail("a")
            case "spoil":
                await self.spoil_metadata(number)
            case "cancel":
                await self.cancelled_receive(number)
            case "crash":
                await self.crash()
            case _:
                await self.reset()
        await self.check()


KINDS = ["send"] * 4 + ["receive", "receive-completable", "complete", "cancel"] * 2
STEPS = st.tuples(
    st.sampled_from([*KINDS, "fail", "spoil", "crash", "reset"]),
    st.lists(st.sampled_from(NAMES), max_size=2),
    st.integers(1, 9),
)


@given(steps=st.lists(STEPS, max_size=40))
def test_a_queue_does_what_the_model_does(steps: list[tuple[str, list[str], int]]) -> None:
    async def live() -> None:
        life = Life()
        for kind, names, number in steps:
            await life.step(kind, names, number)

    asyncio.run(live())
