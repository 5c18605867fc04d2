"""One actor's storage and clock, across any number of generations of its queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from rivetkit_core.actor.alarm import Alarm
from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.factory import ActorFactory, ActorInstance, QueueSpec
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.testing import FakeClock, MemoryStorage, settle
from rivetkit_core.wire.persisted import (
    QUEUE_MESSAGE_PREFIX,
    QUEUE_METADATA_KEY,
    QueueMessage,
    QueueMetadata,
    decode_queue_message,
    decode_queue_metadata,
)
from tests.unit.actor.scripted import RecordingAlarm

T = TypeVar("T")

IDENTITY = ActorIdentity("id", "queues", (), 1)


class QueueWorld:
    """``generation`` starts a queue over what is stored, as after a crash."""

    def __init__(self, specs: Mapping[str, QueueSpec] | None = None, **options: int) -> None:
        self.storage = MemoryStorage()
        self.clock = FakeClock()
        self.touches = 0
        self.uses = 0
        self.work = WorkRegistry()
        self.alarm = RecordingAlarm()
        self._specs = specs or {}
        self._config = ActorConfig.from_input(options)

    def generation(self) -> ActorQueue:
        factory = ActorFactory(
            name="queues",
            create=lambda _context: cast("ActorInstance", None),
            queues=self._specs,
            config=self._config,
        )
        return ActorQueue(
            self.storage,
            self.clock,
            factory,
            queue_wait=self.work.queue_wait,
            touched=self._touched,
            used=self._used,
            alarm=Alarm(storage=self.storage, set_alarm=self.alarm.set, log=IDENTITY.log),
            metrics=Recorder(self.clock, "a", "queues"),
        )

    @property
    def metadata(self) -> QueueMetadata:
        """As stored."""
        return decode_queue_metadata(self.storage.records[QUEUE_METADATA_KEY])

    @property
    def messages(self) -> dict[int, QueueMessage]:
        """As stored."""
        return {
            int.from_bytes(key[3:], "big"): decode_queue_message(value)
            for key, value in sorted(self.storage.records.items())
            if key.startswith(QUEUE_MESSAGE_PREFIX)
        }

    def _used(self) -> None:
        self.uses += 1

    def _touched(self) -> None:
        self.touches += 1


@asynccontextmanager
async def running(work: Coroutine[Any, Any, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """A task that has run until it waits; cancelled at the end."""
    task = asyncio.create_task(work)
    await settle()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def running_for(turns: int, work: Coroutine[Any, Any, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """A task that has had some turns of the event loop."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def code_of(work: Coroutine[Any, Any, object]) -> str:
    """``group.code`` of the failure."""
    try:
        await work
    except RivetError as failure:
        return f"{failure.group}.{failure.code}"
    raise AssertionError("nothing was raised")
