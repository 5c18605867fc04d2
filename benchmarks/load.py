"""Callers that each wait for their answer before the next call, and what they saw."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Call = Callable[[], Awaitable[object]]


class HasCpu(Protocol):
    """A process whose processor time can be read."""

    def cpu_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Durations in seconds; processor shares are of one core, 1.0 being all of it."""

    rate: float
    p50: float
    p99: float
    calls: int
    load_cpu: float = 0.0
    server_cpu: float = 0.0


async def measure(callers: Sequence[Call], seconds: float, server: HasCpu | None = None) -> Sample:
    """Let every caller call for ``seconds``; a tenth of that before it warms up and is not counted."""
    await _drive(callers, seconds / 10)
    gc.collect()
    cpu, server_cpu = time.process_time(), server.cpu_seconds() if server else 0.0
    started = time.perf_counter()
    times = await _drive(callers, seconds)
    elapsed = time.perf_counter() - started
    server_used = server.cpu_seconds() - server_cpu if server else 0.0
    return summary(times, elapsed, (time.process_time() - cpu) / elapsed, server_used / elapsed)


def summary(
    times: list[float], elapsed: float, load_cpu: float, server_cpu: float, *, weight: int = 1
) -> Sample:
    """A sample of single durations, each of which stands for ``weight`` calls."""
    times.sort()
    return Sample(
        rate=len(times) * weight / elapsed,
        p50=times[len(times) // 2],
        p99=times[int(len(times) * 0.99)],
        calls=len(times),
        load_cpu=load_cpu,
        server_cpu=server_cpu,
    )


async def _drive(callers: Sequence[Call], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(call: Call) -> None:
        while (before := time.perf_counter()) < end:
            await call()
            times.append(time.perf_counter() - before)

    await asyncio.gather(*(one(call) for call in callers))
    return times
