"""How many actions a second over HTTP, next to a bare uvicorn handler."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator

from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from benchmarks.sockets import HttpCaller, action_request

_CALLERS = (1, 16, 64)


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server, bare = await setup.server("rivetkit"), await setup.server("uvicorn")
    for count in _CALLERS:
        request = action_request("throttled", f"http-{count}", "increment", 1)
        callers = await open_callers(setup, server.port, [itertools.repeat(request)] * count)
        others = await open_callers(setup, bare.port, [itertools.repeat(request)] * count)
        compared = await Comparison.of(
            setup,
            "http",
            counted(count),
            calling("action over HTTP", callers, server),
            calling("bare uvicorn", others, bare),
        )
        check_count([caller.result() for caller in callers], sum(caller.calls for caller in callers))
        yield compared.row("action over HTTP", "bare uvicorn")


async def open_callers(setup: Setup, port: int, requests: list[Iterator[bytes]]) -> list[HttpCaller]:
    """One caller for each iterator of requests."""
    callers = [await HttpCaller.open(port, each) for each in requests]
    for caller in callers:
        setup.stack.callback(caller.close)
    return callers


def check_count(results: list[object], calls: int) -> None:
    """The highest counter that callers of one actor saw must be the number of their calls.

    Raises:
        RuntimeError: A call was lost, or done twice.
    """
    highest = max(result for result in results if isinstance(result, int))
    if highest != calls:
        raise RuntimeError(f"{calls} calls were answered, but the actor counted {highest}")
