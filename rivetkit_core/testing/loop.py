"""Virtual time and order for a whole event loop: everything on it, also user code that knows no ``Clock``.

``asyncio.sleep(60)`` in an actor is a timer like any other here. While a test waits and nothing else can run,
time goes on by itself to the next timer, as it would in the world; so a wait for an actor ends, in
microseconds. What leaves the loop happens in real time: threads are waited for, sockets get a moment.

The loop is one of asyncio's own, made by whatever runs the tests. It is changed for the duration of a block,
through the names that all of asyncio's loops have: ``_ready``, ``_selector`` and four public methods.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, cast

from anyio.to_thread import current_default_thread_limiter

from rivetkit_core.clock import Timer
from rivetkit_core.testing.clock import EPOCH, FakeClock
from rivetkit_core.testing.order import ShuffledQueue, task_of

_MAX_ROUNDS = 100_000
_LAST_ROUNDS = 1_000
_MAX_JUMPS = 100_000
_MOMENT = 0.02
"""Seconds that sockets and foreign threads are given before time goes on."""
_PATIENCE = 1.0
"""Seconds that threads are given before it is certain that nothing will happen."""
_THREAD_POLL = 0.001
_POOLS = ("asyncio_", "AnyIO worker")
_PATCHED = ("_ready", "_selector", "time", "call_later", "call_at", "run_in_executor")


class _Selector(Protocol):
    def select(self, timeout: float | None = None) -> list[object]: ...


class Stuck(RuntimeError):
    """Nothing moves any more, or never stops moving; the message says what."""


class _LoopTimer(asyncio.TimerHandle):
    """What ``loop.call_later`` returns: asyncio's handle over a timer of the clock."""

    timer: Timer | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.timer is not None:
            self.timer.cancel()


class LoopControl:
    """Owns time and order of the running loop inside a ``with`` block.

    Args:
        seed: Shuffles tasks that are ready at the same time; None leaves them in asyncio's order.
        start: Wall-clock time to begin with, in seconds since the Unix epoch.

    Attributes:
        clock: The time of the loop.
    """

    def __init__(self, *, seed: int | None = None, start: float | None = None) -> None:
        self.clock = FakeClock(EPOCH if start is None else start, settle=self.settle, together=True)
        self._seed = seed
        self._jumps = 0
        self._rounds = 0
        self._settling = False
        self._ending = False
        self._in_executor = 0
        self._real: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._loop: Any = asyncio.get_running_loop()
        missing = [name for name in _PATCHED if not hasattr(self._loop, name)]
        if missing or not hasattr(self._loop, "__dict__"):
            raise Stuck(
                f"virtual time needs a loop of asyncio's own, and this is a {type(self._loop).__name__}; "
                'with anyio, let the fixture anyio_backend return "asyncio"'
            )
        if isinstance(getattr(self._loop, "_selector"), _IdleSelector):  # noqa: B009 - a private name
            raise Stuck("this event loop is on virtual time already: there can be one RivetTest at a time")
        self._owner = self._caller = asyncio.current_task()
        self._pool = current_default_thread_limiter()
        self._own = self._baseline()
        self._real = {name: getattr(self._loop, name) for name in _PATCHED}
        if self._seed is not None:
            self._loop._ready = ShuffledQueue(self._loop._ready, self._seed)
        self._loop._selector = _IdleSelector(self, self._real["_selector"])
        self._loop.time = self.clock.monotonic
        self._loop.call_later = self._call_later
        self._loop.call_at = self._call_at
        self._loop.run_in_executor = self._run_in_executor
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in ("time", "call_later", "call_at", "run_in_executor"):
            delattr(self._loop, name)
        self._loop._selector = self._real["_selector"]
        if self._seed is not None:
            self._loop._ready = deque(self._loop._ready)

    def note_progress(self) -> None:
        """The test did something: it may wait anew.

        Raises:
            Stuck: It runs in another event loop, whose time this is not.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise Stuck("the test runs in another event loop than the fixture that made its RivetTest")
        self._jumps = self._rounds = 0
        self._caller = asyncio.current_task()

    async def settle(self) -> None:
        """Run what is ready, and what that makes ready, until all tasks wait and no thread works for them.

        Raises:
            Stuck: Some task never waits.
        """
        self.note_progress()
        self._settling = True
        try:
            while self._loop._ready or self._threads_work():
                await asyncio.sleep(0)
                if self._rounds > _MAX_ROUNDS:
                    raise Stuck(self._never_waits())
        finally:
            self._settling = False

    def begin_end(self) -> None:
        """From now on nobody judges: time passes also while something is ready, so that all things end."""
        self._ending = True

    def busy(self, select: Callable[[float | None], list[object]]) -> list[object]:
        """Something is ready: look at the outside without waiting for it.

        Raises:
            Stuck: That has been so for too long.
        """
        if self._settling and len(self._loop._ready) == 1 and self._threads_work():
            return select(_THREAD_POLL)
        self._rounds += 1
        if self._ending and self._rounds > _LAST_ROUNDS:
            self._rounds = 0
            self.clock.fire_next()
        elif self._rounds > 2 * _MAX_ROUNDS:
            self._fail(self._never_waits())
        return select(0)

    def idle(self, select: Callable[[float | None], list[object]], timeout: float | None) -> list[object]:
        """Nothing is ready: wait for the outside, or let time go on.

        Raises:
            Stuck: Nothing could ever happen, or only time passes.
        """
        self._rounds = 0
        if events := select(0):
            return events
        if self._threads_work():
            return select(timeout)
        if self._loop._ready:
            return []
        sockets, threads = self._baseline()
        foreign = (sockets, threads) != self._own
        if foreign and (events := select(_MOMENT)):
            return events
        if self._jumps >= _MAX_JUMPS:
            self._fail(
                f"the test waits, and what it waits for did not happen while {_MAX_JUMPS} timers fired: "
                f"it is {self.clock.monotonic():g} s later than in the beginning"
            )
        elif self.clock.fire_next():
            self._jumps += 1
        elif foreign or timeout is not None:  # somebody may still wake us
            return select(timeout)
        elif threads > 1 and (events := select(_PATIENCE)):  # a thread that was there before the test
            return events
        else:
            self._fail("the test waits for what cannot happen: nothing is ready, and no timer is set")
        return []

    def _fail(self, reason: str) -> None:
        """Raise where the test waits; if that cannot be found, out of the loop."""
        self._jumps = self._rounds = 0
        for task in (self._owner, self._caller):
            waits_for = _deepest(task)
            if waits_for is not None:
                waits_for.set_exception(Stuck(reason))
                return
        raise Stuck(reason)

    def _baseline(self) -> tuple[int, int]:
        """How many sockets and threads may wake us; pools whose work is counted do not count."""
        real: _Selector = self._real.get("_selector") or self._loop._selector
        threads = [thread for thread in threading.enumerate() if not thread.name.startswith(_POOLS)]
        sockets: Callable[[], Mapping[object, object] | None] = getattr(real, "get_map", lambda: None)
        known = sockets()
        return 0 if known is None else len(known), len(threads)

    def _threads_work(self) -> bool:
        return self._in_executor > 0 or self._pool.borrowed_tokens > 0

    def _never_waits(self) -> str:
        tasks = [task for handle in self._loop._ready if (task := task_of(handle)) is not None]
        names = [f"{task.get_name()} in {task.get_coro()!r}" for task in tasks]
        return "something is always ready and never waits: " + (
            ", ".join(names[:5]) or "callbacks of the loop"
        )

    def _call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self._call_at(self.clock.monotonic() + delay, callback, *args, context=context)

    def _call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _LoopTimer(when, callback, args, self._loop, context)
        run = cast("Callable[[], None]", getattr(handle, "_run"))  # noqa: B009 - what a loop calls
        handle.timer = self.clock.call_at(when, run)
        return handle

    def _run_in_executor(self, *args: Any) -> asyncio.Future[Any]:
        running: asyncio.Future[Any] = self._real["run_in_executor"](*args)
        self._in_executor += 1
        running.add_done_callback(self._executor_done)
        return running

    def _executor_done(self, _running: asyncio.Future[Any]) -> None:
        self._in_executor -= 1


class _IdleSelector:
    """The selector of a loop that is asked only when nothing is ready."""

    def __init__(self, control: LoopControl, real: _Selector) -> None:
        self._control = control
        self._real = real

    def select(self, timeout: float | None = None) -> list[object]:
        if timeout is not None and timeout <= 0:
            return self._control.busy(self._real.select)
        return self._control.idle(self._real.select, timeout)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def _deepest(task: asyncio.Task[Any] | None) -> asyncio.Future[Any] | None:
    """The future that a task waits for in the end, through the tasks that it awaits."""
    waiter: object = getattr(task, "_fut_waiter", None)
    while isinstance(waiter, asyncio.Task):
        waiter = getattr(waiter, "_fut_waiter", None)  # pyright: ignore[reportUnknownArgumentType]  # of a task of anything
    if isinstance(waiter, asyncio.Future) and not waiter.done():
        return waiter  # pyright: ignore[reportUnknownVariableType]  # of anything
    return None
