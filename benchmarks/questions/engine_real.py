"""What actors cost on a real engine, next to the stock TypeScript runtime, and to an envoy without actors.

Everything goes through the engine's gateway over HTTP, as clients do it. ``engine_cpu`` among the details is
the engine's share of a core, so that it shows who waits for whom. An engine starts fewer actors while the
processors are busy, also with others' work: creation and waking need a quiet machine.

    action      one that changes state, by callers of one actor
    creation    the first call to an actor that does not exist
    wake        the first call to an actor that sleeps
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator
from statistics import median

from benchmarks.comparison import Comparison, Contender, Row, Setup, counted
from benchmarks.engines import MeasuredEngine, MeasuredHost, is_installed
from benchmarks.load import Call, Sample, measure, summary
from benchmarks.questions.creation import Checked
from benchmarks.questions.http import check_count, open_callers
from benchmarks.sockets import HttpCaller, action_request

_ACTOR = "throttled"
_CALLERS = (1, 16)
_SLEEPERS = 12
_ASLEEP_WITHIN = 15.0
_LOOK_EVERY = 0.005


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    if not is_installed():
        print("engine_real: not asked, as the packages of the tests are not installed")
        return
    engine = await MeasuredEngine.start(setup)
    ours, stock, bare = await engine.ours(setup), await engine.stock(setup), await engine.bare(setup)
    measured = _Measured(setup, engine)
    for count in _CALLERS:
        callers = {host.name: await measured.callers(host, count) for host in (ours, stock, bare)}
        contenders = [measured.calling(host, callers[host.name]) for host in (ours, stock, bare)]
        for row in await measured.rows(f"action, {counted(count)}", *contenders):
            yield row
        for host in (ours, stock):
            each = callers[host.name]
            check_count([caller.result() for caller in each], sum(caller.calls for caller in each))
    for count in _CALLERS:
        contenders = [await measured.creating(host, count) for host in (ours, stock)]
        for row in await measured.rows(f"creation, {counted(count)}", *contenders):
            yield row
    for row in await measured.rows("wake", await measured.waking(ours), await measured.waking(stock)):
        yield row


class _Measured:
    """Contenders on one engine; keeps what the engine used in each run."""

    def __init__(self, setup: Setup, engine: MeasuredEngine) -> None:
        self._setup = setup
        self._engine = engine
        self._engine_cpu: dict[str, list[float]] = {}
        self._numbers = itertools.count()

    async def callers(self, host: MeasuredHost, count: int) -> list[HttpCaller]:
        """Callers of one actor, which exists: an engine may refuse those who create it at the same time."""
        request = action_request(_ACTOR, f"{host.pool}-{count}", "increment", 1, pool=host.pool)
        callers = await open_callers(self._setup, self._engine.port, [itertools.repeat(request)] * count)
        await callers[0]()
        return callers

    def calling(self, host: MeasuredHost, callers: list[HttpCaller]) -> Contender:
        return self._watched(host, list(callers))

    async def creating(self, host: MeasuredHost, count: int) -> Contender:
        callers = await open_callers(self._setup, self._engine.port, [self._fresh(host)] * count)
        return self._watched(host, [Checked(caller) for caller in callers])

    async def waking(self, host: MeasuredHost) -> Contender:
        """Each run puts actors to sleep one by one, and calls each of them once."""
        keys = [f"{host.pool}-sleeper-{number}" for number in range(_SLEEPERS)]
        requests = [action_request(_ACTOR, key, "increment", 1, pool=host.pool) for key in keys]
        (caller,) = await open_callers(self._setup, self._engine.port, [itertools.cycle(requests)])
        for _ in requests:
            await caller()
        actors = await self._engine.api.list_actors(name=_ACTOR)
        ids = {actor.key: actor.actor_id for actor in actors if actor.pool == host.pool}

        async def run(_seconds: float) -> Sample:
            used = self._engine.cpu_seconds(), host.process.cpu_seconds(), time.process_time()
            started = time.perf_counter()
            times: list[float] = []
            for key in keys:
                await self._sleep(ids[key])
                before = time.perf_counter()
                await caller()
                times.append(time.perf_counter() - before)
            elapsed = time.perf_counter() - started
            self._note(host, (self._engine.cpu_seconds() - used[0]) / elapsed)
            server_cpu = (host.process.cpu_seconds() - used[1]) / elapsed
            return summary(times, sum(times), (time.process_time() - used[2]) / elapsed, server_cpu)

        return Contender(host.name, run)

    async def rows(self, case: str, ours: Contender, *yardsticks: Contender) -> list[Row]:
        """Run everybody in turns, and compare the first one with each of the others."""
        self._engine_cpu.clear()
        compared = await Comparison.of(self._setup, "engine_real", case, ours, *yardsticks)
        rows = [compared.row(ours.name, yardstick.name) for yardstick in yardsticks]
        for row in rows:
            row.details["engine_cpu"] = median(self._engine_cpu[row.subject])
            row.details["yardstick_engine_cpu"] = median(self._engine_cpu[row.yardstick])
        return rows

    def _watched(self, host: MeasuredHost, callers: list[Call]) -> Contender:
        async def run(seconds: float) -> Sample:
            used, started = self._engine.cpu_seconds(), time.perf_counter()
            sample = await measure(callers, seconds, host.process)
            self._note(host, (self._engine.cpu_seconds() - used) / (time.perf_counter() - started))
            return sample

        return Contender(host.name, run)

    def _note(self, host: MeasuredHost, share: float) -> None:
        self._engine_cpu.setdefault(host.name, []).append(share)

    def _fresh(self, host: MeasuredHost) -> Iterator[bytes]:
        return (
            action_request(_ACTOR, f"new-{number}", "increment", 1, pool=host.pool)
            for number in self._numbers
        )

    async def _sleep(self, actor_id: str) -> None:
        await self._engine.api.sleep_actor(actor_id)
        async with asyncio.timeout(_ASLEEP_WITHIN):
            while (await self._engine.api.get_actor(actor_id)).sleep_ts is None:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_EVERY)
