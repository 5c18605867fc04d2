"""How many new actors a second, each by its first call, next to raw SQLite commits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator

from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from benchmarks.questions.http import open_callers
from benchmarks.sockets import HttpCaller, action_request
from benchmarks.yardsticks import commits


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server = await setup.server("rivetkit")
    raw = commits(setup.directory())
    numbers = itertools.count()
    for count in (1, 64):
        callers = await open_callers(setup, server.port, [_fresh(numbers)] * count)
        creating = calling("first call to a new actor", [Checked(caller) for caller in callers], server)
        compared = await Comparison.of(setup, "creation", counted(count), creating, raw)
        yield compared.row(creating.name, raw.name, "actors/s")


def _fresh(numbers: Iterator[int]) -> Iterator[bytes]:
    return (action_request("throttled", f"new-{number}", "increment", 1) for number in numbers)


class Checked:
    """A caller whose every answer must be the first of its actor."""

    def __init__(self, caller: HttpCaller) -> None:
        self._caller = caller

    async def __call__(self) -> None:
        await self._caller()
        if self._caller.result() != 1:
            raise RuntimeError(f"a new actor answered {self._caller.result()}")
