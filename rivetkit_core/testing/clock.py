"""Virtual time: stands still until a test moves it, and fires every timer on the way in order.

Work that leaves the event loop (threads, sockets, processes) runs in real time and is not waited for.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
from collections.abc import Awaitable, Callable
from types import TracebackType

from rivetkit_core.clock import Bound, Timer

_NANOSECONDS = 1_000_000_000
EPOCH = 1_767_225_600  # 2026-01-01T00:00:00Z
_MAX_ROUNDS = 100_000
_BLIND_ROUNDS = 100
MAX_TIMERS = 1_000_000
"""Deadlines there may be during one advance."""


async def settle() -> None:
    """Let every other task of the event loop run until all of them wait for something.

    Only callbacks that are ready, or made ready by those, are run. On loops that do not show their queue
    (uvloop), a hundred rounds must do.

    Raises:
        RuntimeError: Some task never waits.
    """
    ready: object = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:
        for _ in range(_BLIND_ROUNDS):
            await asyncio.sleep(0)
        return
    for _ in range(_MAX_ROUNDS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise RuntimeError(f"the event loop is still busy after {_MAX_ROUNDS} rounds; some task never waits")


class _FakeTimer:
    """One pending callback, in the context it was asked for in."""

    def __init__(self, deadline: int, callback: Callable[[], None]) -> None:
        self.deadline = deadline
        self.cancelled = False
        self._callback = callback
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        self._loop.call_soon(self._run, context=self._context)

    def _run(self) -> None:
        if not self.cancelled:
            self._callback()


class _FakeTimeout:
    """``asyncio.Timeout`` whose deadline is in virtual time."""

    def __init__(self, clock: FakeClock, delay: float | None) -> None:
        self._clock = clock
        self._delay = delay
        self._inner = asyncio.timeout(None)
        self._timer: Timer | None = None

    def expired(self) -> bool:
        return self._inner.expired()

    async def __aenter__(self) -> _FakeTimeout:
        await self._inner.__aenter__()
        if self._delay is not None and self._delay <= 0:
            self._expire()
        elif self._delay is not None:
            self._timer = self._clock.call_later(self._delay, self._expire)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._inner.__aexit__(exc_type, exc_val, exc_tb)

    def _expire(self) -> None:
        self._inner.reschedule(asyncio.get_running_loop().time())


class FakeClock:
    """A ``Clock`` for tests. It counts whole nanoseconds, so that deadlines never miss by a rounding.

    Args:
        start: The wall-clock time it begins with, in seconds since the Unix epoch.
        settle: Waits until nothing moves before time does.
        together: Fire all timers of one deadline at once, as a loop does, and not each on its own.
    """

    def __init__(
        self,
        start: float = EPOCH,
        *,
        settle: Callable[[], Awaitable[None]] = settle,
        together: bool = False,
    ) -> None:
        self._start = round(start * _NANOSECONDS)
        self._settle = settle
        self._together = together
        self._elapsed = 0
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _FakeTimer]] = []
        self._advancing = asyncio.Lock()

    def now(self) -> float:
        nanoseconds = self._start + self._elapsed
        seconds = nanoseconds / _NANOSECONDS
        if int(seconds * 1000) < nanoseconds // 1_000_000:
            # Doubles are 0.2 microseconds apart here: rounding down must not lose a whole millisecond.
            return math.nextafter(seconds, math.inf)
        return seconds

    def monotonic(self) -> float:
        return self._elapsed / _NANOSECONDS

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` once time has advanced by ``delay``; zero and less mean the loop's next turn."""
        return self._set(self._elapsed + max(0, round(delay * _NANOSECONDS)), callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """``call_later`` for a time of ``monotonic``."""
        return self._set(round(when * _NANOSECONDS), callback)

    def _set(self, deadline: int, callback: Callable[[], None]) -> Timer:
        timer = _FakeTimer(deadline, callback)
        if deadline <= self._elapsed:
            timer.fire()
        else:
            heapq.heappush(self._timers, (timer.deadline, next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        if delay <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(delay, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def timeout(self, delay: float | None) -> Bound:
        return _FakeTimeout(self, delay)

    async def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Move time forward, stopping at each deadline on the way until all tasks wait again.

        Timers with one deadline fire in the order they were set. Advances from several tasks queue up.

        Raises:
            ValueError: The amount is negative.
            RuntimeError: Some task never waits, or there are a million deadlines on the way.
        """
        amount = round((seconds + 60 * minutes + 3600 * hours + 86400 * days) * _NANOSECONDS)
        if amount < 0:
            raise ValueError(f"time only moves forward, not by {amount / _NANOSECONDS} s")
        async with self._advancing:
            await self._settle()
            start, target = self._elapsed, self._elapsed + amount
            for _ in range(MAX_TIMERS):
                if not self.fire_next(until=target):
                    break
                await self._settle()
            else:
                raise RuntimeError(_too_busy(self._elapsed - start, amount))
            self._elapsed = target
            await self._settle()

    def fire_next(self, *, until: int | None = None) -> bool:
        """Move to the next deadline and fire its timer; False if there is none (up to ``until``)."""
        timer = self._next_timer()
        if timer is None or (until is not None and timer.deadline > until):
            return False
        self._elapsed = timer.deadline
        while timer is not None and timer.deadline == self._elapsed:
            heapq.heappop(self._timers)
            timer.fire()
            timer = self._next_timer() if self._together else None
        return True

    def pending(self) -> list[float]:
        """Seconds from now until each timer that is set, soonest first."""
        live = (deadline - self._elapsed for deadline, _, timer in self._timers if not timer.cancelled)
        return sorted(remaining / _NANOSECONDS for remaining in live)

    def _next_timer(self) -> _FakeTimer | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][2] if self._timers else None


def _too_busy(passed: int, amount: int) -> str:
    seconds, wanted = passed / _NANOSECONDS, amount / _NANOSECONDS
    return (
        f"timers fired {MAX_TIMERS} times and only {seconds:g} of {wanted:g} s have passed: "
        "something sets very short timers again and again"
    )
