"""The Clock port: the only door to time.

Nothing else in this project reads the operating system's clock or sets a timer of the event loop, so a
test that injects ``rivetkit_core.testing.FakeClock`` owns time completely.

    now()          wall clock, seconds since the Unix epoch (may jump)
    monotonic()    seconds on a clock that only moves forward; for deadlines
    call_later()   a timer
    sleep()        wait
    timeout()      bound a block: TimeoutError after the delay, like asyncio.timeout
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Forget the callback. Harmless after it ran."""
        ...


class Bound(Protocol):
    """A running ``timeout``; tells afterwards whether it was the one that expired."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

    def expired(self) -> bool: ...


class Clock(Protocol):
    """Port: time. All durations are seconds."""

    def now(self) -> float:
        """Wall-clock time in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` on the event loop ``delay`` seconds from now."""
        ...

    async def sleep(self, delay: float) -> None:
        """Wait ``delay`` seconds; zero and less still give other tasks a turn. Safe to cancel."""
        ...

    def timeout(self, delay: float | None) -> Bound:
        """An async context manager that cancels its block after ``delay`` seconds and raises TimeoutError."""
        ...


async def within(clock: Clock, delay: float | None, work: Awaitable[T], late: Callable[[], Exception]) -> T:
    """Await ``work``; after ``delay`` seconds (None: never) cancel it and raise what ``late`` makes.

    A TimeoutError of the work's own passes as it is.
    """
    bound = clock.timeout(delay)
    try:
        async with bound:
            return await work
    except TimeoutError:
        if bound.expired():
            raise late() from None
        raise


def time_ms(clock: Clock) -> int:
    """Wall-clock time as the wire and the store write it: whole milliseconds since the Unix epoch."""
    return int(clock.now() * 1000)


class SystemClock:
    """The operating system's time and the running event loop's timers."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)

    def timeout(self, delay: float | None) -> Bound:
        return asyncio.timeout(delay)
