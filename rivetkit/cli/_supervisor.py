"""Keeps a number of workers running, and ends them together.

    keeper (one per worker)   start, wait for its end, wait a little, start again
    ending (one)              when told: leave, SIGTERM, a bound, SIGKILL

Invariants
    A worker's end touches no other, unless none has ever worked and it says that none can.
    Before SIGTERM every worker is told that all of them leave, so that none hands its actors to another.
    ``run`` returns when no worker is left.

Knows no signals of its own, no command line and no registry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol

from rivetkit.cli._backoff import Backoff
from rivetkit.cli._reports import CONFIGURATION_ERROR, Ready, Refusal, Report
from rivetkit_core.clock import Clock

log = logging.getLogger("rivetkit.workers")

DEFAULT_GRACE = 30.0
_LOOPING_AFTER = 5
_LAST_WORDS = 1.0


class WorkerProcess(Protocol):
    """A started worker."""

    @property
    def pid(self) -> int: ...

    async def report(self) -> Report | None:
        """What it says next; None when it says nothing more."""
        ...

    async def wait(self) -> int:
        """Wait for its end: the exit code, or minus the number of the signal."""
        ...

    def leave(self) -> None:
        """Tell it that every worker ends."""
        ...

    def terminate(self) -> None:
        """Ask it to end. Harmless when it has."""
        ...

    def kill(self) -> None:
        """End it. Harmless when it has ended."""
        ...

    def close(self) -> None:
        """Give back what listening to it takes."""
        ...


Spawn = Callable[[int], Awaitable[WorkerProcess]]


class Supervisor:
    """``run`` it once. ``stop`` and ``kill`` may be called at any time, from the event loop.

    Args:
        spawn: Starts the worker of a number, counted from 1.
        grace: Seconds the workers get to end; by default as many as they say they need.
        on_ready: Called once, when every worker works.

    Attributes:
        refusal: Why no worker can work as configured; then ``run`` has ended them all.
    """

    def __init__(
        self,
        spawn: Spawn,
        count: int,
        *,
        clock: Clock,
        grace: float | None = None,
        on_ready: Callable[[Ready], None] | None = None,
    ) -> None:
        self._spawn = spawn
        self._count = count
        self._clock = clock
        self._grace = grace
        self._on_ready = on_ready
        self._processes: dict[int, WorkerProcess] = {}
        self._working: set[int] = set()
        self._has_worked = False
        self._all_worked = False
        self._needed = 0.0
        self._stopping = asyncio.Event()
        self._killing = asyncio.Event()
        self._clean = True
        self.refusal: Refusal | None = None

    def stop(self) -> None:
        """End all workers in order."""
        self._stopping.set()

    def kill(self) -> None:
        """End all workers at once."""
        self._stopping.set()
        self._killing.set()

    async def run(self) -> bool:
        """Keep the workers running until told to stop; whether all of them ended in order.

        When cancelled it kills them.
        """
        keepers = [asyncio.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        ending = asyncio.create_task(self._end())
        try:
            await asyncio.gather(*keepers)
        finally:
            self.kill()
            self._kill_all()
            ending.cancel()
            await asyncio.wait([*keepers, ending])
        return self._clean and self.refusal is None

    # --- one worker -----------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            code = await self._live(number)
            if self._stopping.is_set():
                self._judge(number, code)
                return
            if code == CONFIGURATION_ERROR and not self._has_worked:
                self.refusal = self.refusal or Refusal("the workers cannot work as configured")
                self.stop()
                return
            await self._pause(number, code, self._clock.monotonic() - began, backoff)

    async def _live(self, number: int) -> int:
        """One life of a worker; its exit code."""
        try:
            process = await self._spawn(number)
        except OSError as failure:
            log.error("worker %d cannot be started: %s", number, failure)
            return 1
        self._processes[number] = process
        if self._stopping.is_set():
            self._ask_to_end(process)
        reading = asyncio.create_task(self._read(number, process))
        try:
            code = await process.wait()
            with contextlib.suppress(TimeoutError):  # a process the worker left behind may hold its pipe
                async with self._clock.timeout(_LAST_WORDS):
                    await asyncio.wait([reading])
            return code
        finally:
            process.kill()
            reading.cancel()
            await process.wait()
            await asyncio.wait([reading])
            process.close()
            del self._processes[number]
            self._working.discard(number)

    async def _read(self, number: int, process: WorkerProcess) -> None:
        while (report := await process.report()) is not None:
            match report:
                case Ready():
                    self._on_working(number, process.pid, report)
                case Refusal():
                    self._on_refused(number, report)

    def _on_working(self, number: int, pid: int, report: Ready) -> None:
        self._has_worked = True
        self._needed = max(self._needed, report.bound)
        self._working.add(number)
        log.info("worker %d (process %d) is connected", number, pid)
        if len(self._working) == self._count and not self._all_worked:
            self._all_worked = True
            if self._on_ready is not None:
                self._on_ready(report)

    def _on_refused(self, number: int, refusal: Refusal) -> None:
        if self._has_worked:
            log.error("worker %d: %s%s", number, refusal.traceback, refusal.message)
        elif self.refusal is None:  # the others will say the same
            self.refusal = refusal

    async def _pause(self, number: int, code: int, lived: float, backoff: Backoff) -> None:
        delay = backoff.after(lived)
        how = describe(code)
        if backoff.failures >= _LOOPING_AFTER:
            log.error(
                "worker %d keeps ending: %d times in a row, now %s after %.1f s; starting it again in %.1f s",
                number, backoff.failures, how, lived, delay,
            )  # fmt: skip
        else:
            level = logging.INFO if code == 0 else logging.WARNING
            log.log(
                level, "worker %d %s after %.1f s; starting it again in %.1f s", number, how, lived, delay
            )
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(delay):
                await self._stopping.wait()

    def _judge(self, number: int, code: int) -> None:
        if code not in (0, -signal.SIGTERM) and self.refusal is None:
            log.error("worker %d %s", number, describe(code))
            self._clean = False

    # --- the end of all -------------------------------------------------------------------------

    async def _end(self) -> None:
        await self._stopping.wait()
        for process in tuple(self._processes.values()):
            self._ask_to_end(process)
        grace = self._grace if self._grace is not None else self._needed or DEFAULT_GRACE
        try:
            async with self._clock.timeout(grace):
                await self._killing.wait()
        except TimeoutError:
            left = ", ".join(map(str, sorted(self._processes)))
            log.error("after %.0f s these workers have not ended and are killed: %s", grace, left)
        self._kill_all()

    def _ask_to_end(self, process: WorkerProcess) -> None:
        if self._killing.is_set():
            process.kill()
            return
        process.leave()
        process.terminate()

    def _kill_all(self) -> None:
        for process in tuple(self._processes.values()):
            process.kill()


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
