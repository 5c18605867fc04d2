"""How much memory an idle actor takes, next to a task that waits on a queue of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from statistics import median

from benchmarks.comparison import Row, Setup
from benchmarks.questions.http import open_callers
from benchmarks.sockets import action_request

_ACTORS = 2000


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    actors = [await _actors(setup) for _ in range(setup.runs)]
    tasks = [await _tasks(setup) for _ in range(setup.runs)]
    ratios = [one / other for one, other in zip(actors, tasks, strict=True)]
    yield Row(
        question="memory",
        case=f"{_ACTORS} actors",
        unit="bytes each",
        subject="idle actor",
        yardstick="task with a queue",
        value=median(actors),
        yardstick_value=median(tasks),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
    )


async def _actors(setup: Setup) -> float:
    server = await setup.server("rivetkit")
    requests = (
        action_request("throttled", f"idle-{number}", "increment", 1) for number in range(_ACTORS + 10)
    )
    [caller] = await open_callers(setup, server.port, [requests])
    for _ in range(10):  # what is made once, at the first call, is not counted
        await caller()
    before = await server.ask("memory")
    for _ in range(_ACTORS):
        await caller()
    return (await server.ask("memory") - before) / _ACTORS


async def _tasks(setup: Setup) -> float:
    server = await setup.server("tasks")
    await server.ask("hold 10")
    before = await server.ask("memory")
    await server.ask(f"hold {_ACTORS}")
    return (await server.ask("memory") - before) / _ACTORS
