"""Ten thousand sleeping actors due within one minute: how late they run; and all due at once: how fast.

Real time, in this process. Lateness is from the planned moment to the first line of the action, in an actor
that slept until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from benchmarks.comparison import Comparison, Contender, Row, Setup
from benchmarks.load import Sample
from benchmarks.sleepers import SOON, Sleeper, late
from benchmarks.yardsticks import commits
from rivetkit import Registry

_ACTORS = 10_000
_QUICK = 1_000
_WINDOW = 60.0
_PLANNERS = 64
_LEAD = 1.0
_LIMIT = 120.0
_POLL = 0.01


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    quick = setup.runs <= 3
    count, window = (_QUICK, _WINDOW / 10) if quick else (_ACTORS, _WINDOW)
    registry = Registry(Sleeper, data_dir=setup.directory())
    async with registry.lifespan():
        handles = [registry.client.get_or_create(Sleeper, f"{number}") for number in range(count)]

        async def plan(at: Callable[[int], float]) -> None:
            numbers = iter(range(count))

            async def planner() -> None:
                for number in numbers:
                    await handles[number].call(Sleeper.plan, at(number))

            await asyncio.gather(*(planner() for _ in range(_PLANNERS)))

        began = time.time()
        await plan(lambda _: began + 3600.0)  # makes them, and tells how long planning takes
        lead = 1.5 * (time.time() - began) + _LEAD
        spread, burst = _spread(plan, count, window, lead), _burst(plan, count, lead)
        once = Setup(setup.seconds, 1 if not quick else 2, setup.stack)
        timers = Contender("asyncio timer", lambda _: _timers(count, window))
        compared = await Comparison.of(once, "alarms", f"{count} in {window:.0f} s", spread, timers)
        yield compared.row(spread.name, timers.name, "alarms/s")
        raw = commits(setup.directory())
        compared = await Comparison.of(
            Setup(setup.seconds, 3, setup.stack), "alarms", f"{count} at once", burst, raw
        )
        yield compared.row(burst.name, raw.name, "alarms/s")


def _spread(
    plan: Callable[[Callable[[int], float]], Awaitable[None]], count: int, window: float, lead: float
) -> Contender:
    async def run(_seconds: float) -> Sample:
        late.clear()
        start = time.time() + lead
        await plan(lambda number: start + window * number / count)
        assert time.time() < start - 10 * SOON, "planning took longer than thought"
        return await _rung(count, start)

    return Contender("alarm of a sleeping actor", run)


def _burst(plan: Callable[[Callable[[int], float]], Awaitable[None]], count: int, lead: float) -> Contender:
    async def run(_seconds: float) -> Sample:
        late.clear()
        start = time.time() + lead
        await plan(lambda _: start)
        assert time.time() < start - 10 * SOON, "planning took longer than thought"
        return await _rung(count, start)

    return Contender("alarm of a sleeping actor", run)


async def _rung(count: int, start: float) -> Sample:
    await asyncio.sleep(start - time.time())
    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.timeout(_LIMIT):
        while len(late) < count:  # noqa: ASYNC110 - an event would have to be counted as well
            await asyncio.sleep(_POLL)
    elapsed = time.perf_counter() - began
    return _sample(sorted(late), elapsed, (time.process_time() - cpu) / elapsed)


async def _timers(count: int, window: float) -> Sample:
    """As many timers of the event loop."""
    loop, found = asyncio.get_running_loop(), list[float]()
    start, cpu, began = loop.time() + _LEAD, time.process_time(), time.perf_counter()
    for number in range(count):
        due = start + window * number / count
        loop.call_at(due, lambda due=due: found.append((loop.time() - due) * 1000))
    while len(found) < count:  # noqa: ASYNC110 - as above
        await asyncio.sleep(_POLL)
    elapsed = time.perf_counter() - began - _LEAD
    return _sample(sorted(found), elapsed, (time.process_time() - cpu) / elapsed)


def _sample(milliseconds: list[float], elapsed: float, cpu: float) -> Sample:
    count = len(milliseconds)
    p50, p99 = milliseconds[count // 2] / 1000, milliseconds[int(count * 0.99)] / 1000
    return Sample(count / elapsed, p50, p99, count, cpu)
