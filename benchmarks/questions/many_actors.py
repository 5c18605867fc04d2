"""Whether calls spread over a thousand actors cost more than calls to one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator

from benchmarks.comparison import Comparison, Row, Setup, calling
from benchmarks.questions.http import open_callers
from benchmarks.sockets import action_request

_ACTORS = 1000
_CALLERS = 64


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server = await setup.server("rivetkit")
    spread = [action_request("throttled", f"spread-{number}", "increment", 1) for number in range(_ACTORS)]
    one = action_request("throttled", "one", "increment", 1)
    across = [itertools.cycle(spread[first::_CALLERS]) for first in range(_CALLERS)]
    many = await open_callers(setup, server.port, [*across])
    single = await open_callers(setup, server.port, [itertools.repeat(one)] * _CALLERS)
    for caller, share in zip(many, (len(spread[first::_CALLERS]) for first in range(_CALLERS)), strict=True):
        for _ in range(share):  # every actor exists before anything is measured
            await caller()
    compared = await Comparison.of(
        setup,
        "many_actors",
        f"{_CALLERS} callers",
        calling(f"{_ACTORS} actors", many, server),
        calling("one actor", single, server),
    )
    await _check(setup, server.port, sum(caller.calls for caller in many))
    yield compared.row(f"{_ACTORS} actors", "one actor")


async def _check(setup: Setup, port: int, calls: int) -> None:
    reads = (action_request("throttled", f"spread-{number}", "increment", 0) for number in range(_ACTORS))
    [reader] = await open_callers(setup, port, [reads])
    counted = 0
    for _ in range(_ACTORS):
        await reader()
        result = reader.result()
        assert isinstance(result, int)
        counted += result
    if counted != calls:
        raise RuntimeError(f"{calls} calls were answered, but the actors counted {counted}")
