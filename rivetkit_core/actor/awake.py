"""Work that an author asks the runtime to look after (actor-runtime 5.9).

KeepAwake    the actor stays awake for what the current task does inside
background   a task of its own, which the end of the generation waits for
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.errors import RivetError

T = TypeVar("T")


class KeepAwake:
    """``async with`` a region for which the actor stays awake; the grace deadline cancels it.

    Raises:
        RivetError: On entering, ``actor.stopping`` when the actor's end is past waiting for work.
    """

    def __init__(self, work: WorkRegistry) -> None:
        self._work = work
        self._task: asyncio.Task[object] | None = None

    async def __aenter__(self) -> None:
        self._task = self._work.enter(WorkKind.KEEP_AWAKE)

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._work.leave(self._task)

    async def over(self, awaitable: Awaitable[T]) -> T:
        """Await something inside and return its result."""
        try:
            self._task = self._work.enter(WorkKind.KEEP_AWAKE)
        except RivetError:
            close(awaitable)
            raise
        try:
            return await awaitable
        finally:
            self._work.leave(self._task)


def background(work: WorkRegistry, kind: WorkKind, awaitable: Awaitable[object]) -> None:
    """Await it in a task of the actor. A failure is logged, and so is that it came too late to be begun."""
    try:
        task = work.spawn(kind, _await(awaitable))
    except RivetError:
        close(awaitable)
        work.log.warning("%s was refused: the actor has ended", kind.label, extra={"kind": kind.label})
    else:
        task.add_done_callback(lambda _: close(awaitable))  # it may be cancelled before its first step


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable


def close(awaitable: Awaitable[object]) -> None:
    """Let go of something that will not be awaited."""
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()
