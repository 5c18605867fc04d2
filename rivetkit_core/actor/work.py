"""The work of one actor: which tasks run for it, and how they end.

Invariants
    Every task an actor causes is in ``_tasks`` until it has finished, and its failure is logged.
    Work is refused once teardown began; nothing is started that nobody would wait for.
    ``wait_idle`` returns only when nothing drained is left, however work starts and ends meanwhile.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Coroutine

from rivetkit_core.errors import error

log = logging.getLogger("rivetkit.actor")


class WorkKind(enum.Enum):
    """Why something runs; the value is its label in logs."""

    ACTION = "action"
    SAVE = "save"
    STATE_CHANGE = "on_state_change"
    CONNECT = "connect"
    DISCONNECT = "disconnect_callback"
    INTERNAL = "internal_keep_awake"


class WorkRegistry:
    """Owns the tasks of one generation. All methods run on the event loop's thread."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], WorkKind] = {}
        self._regions: dict[asyncio.Task[object], int] = {}
        self._cancelled: set[asyncio.Task[object]] = set()
        self._closing = False
        self._changed = asyncio.Event()
        self._saves = 0

    @property
    def active(self) -> int:
        """How many regions and tasks are running, saves not counted."""
        return len(self._regions) + len(self._tasks) - self._saves

    def spawn(self, kind: WorkKind, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run ``work`` as a task of this actor; an exception it raises is logged.

        Raises:
            RivetError: ``actor.stopping`` when teardown began; ``work`` is closed, not run.
        """
        if self._closing:
            work.close()
            raise error("actor.stopping")
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = kind
        self._saves += kind is WorkKind.SAVE
        task.add_done_callback(self._finished)
        return task

    def region(self) -> Region:
        """Count the current task as work of this actor, so that shutdown waits for it or cancels it."""
        return Region(self)

    def enter(self) -> asyncio.Task[object]:
        """Begin a region of the current task; ``leave`` must follow.

        Raises:
            RivetError: ``actor.stopping`` when teardown began.
        """
        task: asyncio.Task[object] | None = asyncio.current_task()
        if task is None:
            raise RuntimeError("work must run inside a task")
        if self._closing:
            raise error("actor.stopping")
        self._regions[task] = self._regions.get(task, 0) + 1
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """End a region that ``enter`` began."""
        depth = self._regions.pop(task) - 1
        if depth:
            self._regions[task] = depth
        self._changed.set()

    def was_cancelled(self, task: asyncio.Task[object]) -> bool:
        """Whether ``cancel_all`` cancelled this task, rather than its own caller."""
        return task in self._cancelled

    async def wait_idle(self) -> None:
        """Wait until no work is left, saves included. Safe to cancel; bound it with a timeout."""
        while self._tasks or self._regions:
            self._changed.clear()
            await self._changed.wait()

    def cancel_all(self) -> int:
        """Cancel everything but saves and return how many that were; wait with ``wait_idle``."""
        running: set[asyncio.Task[object]] = set(self._regions)
        running.update(task for task, kind in self._tasks.items() if kind is not WorkKind.SAVE)
        for task in running:
            self._cancelled.add(task)
            task.cancel()
        return len(running)

    def close(self) -> None:
        """Refuse new work from now on."""
        self._closing = True

    def _finished(self, task: asyncio.Task[None]) -> None:
        kind = self._tasks.pop(task)
        self._saves -= kind is WorkKind.SAVE
        self._cancelled.discard(task)
        self._changed.set()
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("%s failed", kind.value, exc_info=failure)


class Region:
    """One stretch of work; a class of its own because every action passes through here."""

    __slots__ = ("_task", "_work")

    def __init__(self, work: WorkRegistry) -> None:
        self._work = work
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = self._work.enter()

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._work.leave(self._task)
