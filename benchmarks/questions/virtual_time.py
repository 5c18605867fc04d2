"""A month of hourly runs on the fake clock: what a test pays that lets time pass."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from benchmarks.comparison import Comparison, Contender, Row, Setup
from benchmarks.load import Sample
from benchmarks.sleepers import Hourly
from rivetkit._compiler import compile_actor
from rivetkit._hosting import local_client
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.testing import FakeClock, MemoryStore

_DAYS = 30
_RUNS = 24 * _DAYS


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    month, timers = Contender("hourly cron, asleep between", _month), Contender("720 bare timers", _timers)
    compared = await Comparison.of(setup, "virtual_time", f"{_DAYS} days", month, timers)
    yield compared.row(month.name, timers.name, "runs/s")


async def _month(_seconds: float) -> Sample:
    clock = FakeClock()
    factory = compile_actor(Hourly)
    host = EmbeddedHost([factory], store=MemoryStore(), clock=clock, entropy=SeededEntropy(1))
    await host.open()
    try:
        hourly = local_client(host.access).get_or_create(Hourly, "a")
        await hourly.call(Hourly.begin)
        sample = await _timed(clock)
        rings, lives = await hourly.call(Hourly.lives)
    finally:
        await host.close()
    if (rings, lives) != (_RUNS, _RUNS + 1):
        raise RuntimeError(f"rang {rings} times in {lives} lives")
    return sample


async def _timers(_seconds: float) -> Sample:
    clock, rung = FakeClock(), list[float]()

    def again() -> None:
        rung.append(clock.now())
        clock.call_later(3600.0, again)

    clock.call_later(3600.0, again)
    return await _timed(clock)


async def _timed(clock: FakeClock) -> Sample:
    """The whole month as one latency; the rate is of runs."""
    started, cpu = time.perf_counter(), time.process_time()
    await clock.advance(days=_DAYS)
    elapsed = time.perf_counter() - started
    return Sample(_RUNS / elapsed, elapsed, elapsed, _RUNS, (time.process_time() - cpu) / elapsed)
