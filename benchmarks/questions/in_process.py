"""What a call costs without a socket, from outside and between actors; no process of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from benchmarks.actors import ACTORS, Relay, Throttled
from benchmarks.comparison import Comparison, Contender, Row, Setup, calling, counted
from benchmarks.load import Sample, measure
from benchmarks.yardsticks import coroutine, queue_worker
from rivetkit import Registry

_OUTSIDE, _BETWEEN = "registry.client", "ctx.client"
_QUEUE, _COROUTINE = "asyncio queue hop", "bare coroutine"


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    registry = Registry(*ACTORS, data_dir=setup.directory())
    async with registry.lifespan(), queue_worker() as hop:
        for count in (1, 64):
            compared = await Comparison.of(
                setup,
                "in_process",
                counted(count),
                _outside(registry, count),
                calling(_QUEUE, [hop] * count),
                _between(registry, count),
                calling(_COROUTINE, [coroutine]),
            )
            yield compared.row(_OUTSIDE, _QUEUE)
            yield compared.row(_BETWEEN, _QUEUE)
            if count == 1:
                yield compared.row(_OUTSIDE, _COROUTINE)


def _outside(registry: Registry, count: int) -> Contender:
    handle = registry.client.get_or_create(Throttled, f"outside-{count}")

    answers: list[int] = []

    async def call() -> None:
        answers.append(await handle.call(Throttled.increment, 1))

    async def run(seconds: float) -> Sample:
        seen = await measure([call] * count, seconds)
        if max(answers) != len(answers):
            raise RuntimeError(f"{len(answers)} calls were answered, but the actor counted {max(answers)}")
        return seen

    return Contender(_OUTSIDE, run)


def _between(registry: Registry, count: int) -> Contender:
    relay = registry.client.get_or_create(Relay, "relay")

    async def run(seconds: float) -> Sample:
        return Relay.sample(await relay.call(Relay.drive, f"between-{count}", count, seconds))

    return Contender(_BETWEEN, run)
