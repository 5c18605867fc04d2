"""The work of one actor: which tasks run for it, and how they end.

Invariants
    Every task an actor causes is in ``_tasks`` until it has finished, and its failure is logged.
    Work is refused once teardown began; nothing is started that nobody would wait for.
    ``wait_idle`` returns only when nothing drained is left, however work starts and ends meanwhile.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from typing import TypeVar

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.errors import RivetError, error
from rivetkit_core.metrics.recorder import Recorder

T = TypeVar("T")


class WorkKind(enum.Enum):
    """Why something runs (4.8): whether the actor must stay awake for it, whether the deadline ends it.

    Everything here delays the end of the generation until it is done or the grace period is over.
    """

    ACTION = ("action", True, True)
    HTTP = ("http", True, True)
    WEBSOCKET = ("websocket_callback", True, True)
    STATE_CHANGE = ("on_state_change", True, True)
    CONNECT = ("connect", True, True)
    DISCONNECT = ("disconnect_callback", True, True)
    KEEP_AWAKE = ("keep_awake", True, True)
    INTERNAL = ("internal_keep_awake", True, False)
    SCHEDULED = ("scheduled_action", True, True)
    HOOK = ("shutdown hook", True, True)
    WAIT_UNTIL = ("wait_until", False, True)
    REGISTERED = ("registered_task", False, True)
    SAVE = ("save", False, False)

    def __init__(self, label: str, blocks_sleep: bool, ends_at_deadline: bool) -> None:
        self.label = label
        self.blocks_sleep = blocks_sleep
        self.ends_at_deadline = ends_at_deadline


TIMED = frozenset({WorkKind.DISCONNECT, WorkKind.WEBSOCKET, WorkKind.WAIT_UNTIL, WorkKind.REGISTERED})
"""Whose time is measured when they are tasks; that of actions is where they are dispatched."""

AWAKE = (WorkKind.KEEP_AWAKE, WorkKind.INTERNAL)
BACKGROUND = (WorkKind.WAIT_UNTIL, WorkKind.REGISTERED)


class WorkRegistry:
    """Owns the tasks of one generation. All methods run on the event loop's thread.

    Attributes:
        on_quiet: Called when the last work that keeps the actor awake has ended, and when a queue is waited
            for: the moments at which an actor may have become idle.
    """

    def __init__(self, metrics: Recorder | None = None, log: ActorLog = NO_ACTOR) -> None:
        self.log = log
        self._metrics = metrics
        self.on_quiet: Callable[[], None] = _nobody
        self._tasks: dict[asyncio.Task[None], WorkKind] = {}
        self._regions: dict[asyncio.Task[object], list[WorkKind]] = {}
        self._cancelled: set[asyncio.Task[object]] = set()
        self._closing = False
        self._changed = asyncio.Event()
        self._saves = 0
        self._blocking = 0
        self._queue_waits = 0

    @property
    def active(self) -> int:
        """How many regions and tasks are running, saves not counted."""
        return len(self._regions) + len(self._tasks) - self._saves

    @property
    def idle(self) -> bool:
        """Whether nothing is left, saves included."""
        return not self._tasks and not self._regions

    @property
    def keeps_awake(self) -> bool:
        """Whether anything runs for which the actor must stay awake."""
        return self._blocking > 0

    @property
    def queue_waits(self) -> int:
        """How many are waiting for a message, which is no reason to stay awake."""
        return self._queue_waits

    def counts(self) -> dict[WorkKind, int]:
        """How much of each kind is running, for logs and for the reason why an actor stays awake."""
        kinds = [*self._tasks.values(), *(kind for region in self._regions.values() for kind in region)]
        return {kind: kinds.count(kind) for kind in WorkKind if kind in kinds}

    def spawn(
        self, kind: WorkKind, work: Coroutine[object, object, None], *, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Run ``work`` as a task of this actor; an exception it raises is logged.

        Raises:
            RivetError: ``actor.stopping`` when teardown began; ``work`` is closed, not run.
        """
        if self._closing:
            work.close()
            raise error("actor.stopping")
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks[task] = kind
        self._saves += kind is WorkKind.SAVE
        self._blocking += kind.blocks_sleep
        task.add_done_callback(self._finished)
        if kind in TIMED and self._metrics is not None:
            task.add_done_callback(self._metrics.stopwatch(kind.label))
        return task

    async def detached(
        self, kind: WorkKind, work: Callable[[], Awaitable[T]], dropped: Callable[[], RivetError]
    ) -> T:
        """Run ``work`` as a task of this actor and return its result; cancelling the caller does not stop it.

        Raises:
            RivetError: ``actor.stopping`` when teardown began; what the work raises; what ``dropped`` makes
                if it ended without an answer.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def fail(failure: RivetError) -> None:
            if not answer.done():
                answer.set_exception(failure)
                answer.exception()  # the caller may be gone

        async def run() -> None:
            try:
                output = await work()
            except RivetError as failure:
                fail(failure)
            else:
                if not answer.done():
                    answer.set_result(output)

        task = self.spawn(kind, run())
        task.add_done_callback(lambda _: fail(dropped()))
        return await answer

    def region(self, kind: WorkKind = WorkKind.ACTION) -> Region:
        """Count the current task as work of this actor, so that shutdown waits for it or cancels it."""
        return Region(self, kind)

    def enter(
        self, kind: WorkKind = WorkKind.ACTION, task: asyncio.Task[object] | None = None
    ) -> asyncio.Task[object]:
        """Begin a region of a task, the current one unless given; ``leave`` must follow, innermost first.

        Raises:
            RivetError: ``actor.stopping`` when teardown began.
        """
        task = asyncio.current_task() if task is None else task
        if task is None:
            raise RuntimeError("work must run inside a task")
        if self._closing:
            raise error("actor.stopping")
        kinds = self._regions.get(task)
        if kinds is None:
            self._regions[task] = [kind]
        else:
            kinds.append(kind)
        self._blocking += kind.blocks_sleep
        return task

    def leave(self, task: asyncio.Task[object], kind: WorkKind | None = None) -> None:
        """End the region that ``enter`` began last, or one of a kind."""
        kinds = self._regions[task]
        if kind is None:
            kind = kinds.pop()
        else:
            kinds.remove(kind)
        if not kinds:
            del self._regions[task]
        self._left(kind)

    @contextmanager
    def queue_wait(self) -> Generator[None]:
        """Wait for a message inside: a ``run`` that only waits lets the actor sleep.

        Whoever waits must also end when the actor is aborted.
        """
        self._queue_waits += 1
        self.on_quiet()
        waited = None if self._metrics is None else self._metrics.stopwatch("queue_wait")
        try:
            yield
        finally:
            self._queue_waits -= 1
            self.on_quiet()
            if waited is not None:
                waited()

    def was_cancelled(self, task: asyncio.Task[object]) -> bool:
        """Whether ``cancel_all`` cancelled this task, rather than its own caller."""
        return task in self._cancelled

    async def wait_idle(self) -> None:
        """Wait until no work is left, saves included. Safe to cancel; bound it with a timeout."""
        while not self.idle:
            await self.changed()

    async def changed(self) -> None:
        """Wait until work ends or ``nudge`` is called. Safe to cancel."""
        self._changed.clear()
        await self._changed.wait()

    def nudge(self) -> None:
        """Something else that an end waits for may have changed."""
        self._changed.set()

    def cancel_all(self, *, at_deadline: bool = False, sparing: Collection[asyncio.Task[None]] = ()) -> int:
        """Cancel everything but saves and return how many that were; wait with ``wait_idle``.

        ``at_deadline``: only what the end of the grace period ends.
        """
        kinds = [*self._tasks.items(), *((task, kind) for task, all in self._regions.items() for kind in all)]
        running = dict.fromkeys(  # in the order they began, which a seed reproduces and a set does not
            task
            for task, kind in kinds
            if kind is not WorkKind.SAVE
            and (kind.ends_at_deadline or not at_deadline)
            and task not in sparing
        )
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
        self._left(kind)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.log.error("%s failed", kind.label, exc_info=failure, extra={"kind": kind.label})

    def _left(self, kind: WorkKind) -> None:
        self._changed.set()
        if kind.blocks_sleep:
            self._blocking -= 1
            if not self._blocking:
                self.on_quiet()


class Region:
    """One stretch of work; a class of its own because every action passes through here."""

    __slots__ = ("_kind", "_task", "_work")

    def __init__(self, work: WorkRegistry, kind: WorkKind) -> None:
        self._work = work
        self._kind = kind
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = self._work.enter(self._kind)

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._work.leave(self._task)


def _nobody() -> None:
    return None
