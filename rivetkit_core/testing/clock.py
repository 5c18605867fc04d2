"""A clock that only moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rivetkit_core.clock import Bound

_SETTLE_LIMIT = 10_000
_QUIET_TURNS = 3
_EPOCH = 1_700_000_000.0


class FakeTimer:
    """A pending callback of a ``FakeClock``."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class FakeClock:
    """Implements ``Clock`` on virtual time, starting at a fixed moment.

    ``advance`` fires what became due in order of deadline and lets the event loop settle after each, so a
    test sees the same interleaving every time.
    """

    def __init__(self, now: float = _EPOCH) -> None:
        self._start = now
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + max(0.0, delay), next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        if delay <= 0:
            await asyncio.sleep(0)
            return
        done = asyncio.Event()
        timer = self.call_later(delay, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    def timeout(self, delay: float | None) -> Bound:
        return _FakeBound(self, delay)

    def pending(self) -> list[float]:
        """Seconds from now until each live timer, soonest first."""
        live = [deadline - self._elapsed for deadline, _, timer in self._timers if not timer.cancelled]
        return sorted(live)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: run everything that becomes due on the way, then return.

        Work that waits for real input and output (sockets, threads) is not waited for.
        """
        target = self._elapsed + seconds
        await settle()
        while self._timers and self._timers[0][0] <= target:
            deadline, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._elapsed = max(self._elapsed, deadline)
            timer.fire()
            await settle()
        self._elapsed = target
        await settle()


class _FakeBound:
    """``asyncio.timeout`` on virtual time: the standard one does the cancelling, the clock says when."""

    def __init__(self, clock: FakeClock, delay: float | None) -> None:
        self._clock = clock
        self._delay = delay
        self._timeout = asyncio.timeout(None)
        self._timer: FakeTimer | None = None

    def expired(self) -> bool:
        return self._timeout.expired()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        if self._delay is not None:
            self._timer = self._clock.call_later(self._delay, self._expire)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(exc_type, exc, traceback)

    def _expire(self) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time())


async def settle() -> None:
    """Give other tasks turns until none is ready to run.

    asyncio does not tell whether anything is ready; its ready queue is looked at where it has one, and
    otherwise a fixed number of turns is given.
    """
    ready: object = getattr(asyncio.get_running_loop(), "_ready", None)
    quiet = 0
    for _ in range(_SETTLE_LIMIT):
        await asyncio.sleep(0)
        quiet = quiet + 1 if not ready else 0
        if quiet >= _QUIET_TURNS:
            return
    raise RuntimeError(f"the event loop did not settle within {_SETTLE_LIMIT} turns: something spins")
