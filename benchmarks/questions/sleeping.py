"""What is left in memory of an actor that sleeps, next to one that is awake; and how long waking takes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator
from statistics import median

from benchmarks.comparison import Comparison, Contender, Row, Setup, calling, counted
from benchmarks.processes import ServerProcess
from benchmarks.questions.http import open_callers
from benchmarks.sockets import HttpCaller, action_request

_ACTORS = 10_000
_AWAKE = 2_000
_WARM = 1_000
_CALLERS = 16
_ROUND = 400
"""Actors that are called in turns; each has gone to sleep again long before its next turn."""


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    asleep: list[float] = []
    awake: list[float] = []
    for _ in range(setup.runs):
        asleep.append(await _bytes_each(setup, "sleeper", _ACTORS))
        awake.append(await _bytes_each(setup, "throttled", _AWAKE))
    ratios = [one / other for one, other in zip(asleep, awake, strict=True)]
    yield Row(
        question="sleeping",
        case=f"{_ACTORS} actors",
        unit="bytes each",
        subject="sleeping actor",
        yardstick="idle actor",
        value=median(asleep),
        yardstick_value=median(awake),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
    )
    server = await setup.server("rivetkit")
    for count in (1, _CALLERS):
        waking = await _waking(setup, server, count)
        requests = [_of_one(f"awake-{number}") for number in range(count)]
        calls = calling("call to an awake actor", await open_callers(setup, server.port, requests), server)
        compared = await Comparison.of(setup, "wake", counted(count), waking, calls)
        yield compared.row(waking.name, calls.name)


async def _bytes_each(setup: Setup, name: str, count: int) -> float:
    server = await setup.server("rivetkit")
    action, value = ("remember", "x" * 100) if name == "sleeper" else ("increment", 1)
    numbers = iter(range(_WARM + count))
    requests = (action_request(name, f"{name}-{number}", action, value) for number in numbers)
    [caller] = await open_callers(setup, server.port, [requests])
    for _ in range(_WARM):  # what is made once, and what the allocator keeps, is not counted
        await caller()
    await _quiet(server, name)
    before = await server.ask("memory")
    for _ in range(count):
        await caller()
    await _quiet(server, name)
    return (await server.ask("memory") - before) / count


async def _quiet(server: ServerProcess, name: str) -> None:
    """Until nobody is awake, for actors that sleep."""
    while name == "sleeper" and await server.ask("awake"):
        pass


async def _waking(setup: Setup, server: ServerProcess, count: int) -> Contender:
    """Calls that each find their actor asleep, which is checked: every answer is of a new generation."""
    keys = [[f"wake-{count}-{caller}-{number}" for number in range(_ROUND)] for caller in range(count)]
    callers = await open_callers(setup, server.port, [_in_turns(own) for own in keys])
    return calling("call to a sleeping actor", [_NewLives(caller) for caller in callers], server)


def _in_turns(keys: list[str]) -> Iterator[bytes]:
    return itertools.cycle([action_request("sleeper", key, "remember", "x") for key in keys])


def _of_one(key: str) -> Iterator[bytes]:
    return itertools.repeat(action_request("throttled", key, "increment", 1))


class _NewLives:
    """A caller whose every answer must come from a life of its own."""

    def __init__(self, caller: HttpCaller) -> None:
        self._caller = caller
        self._calls = 0

    async def __call__(self) -> None:
        await self._caller()
        generation = self._caller.result()
        expected = self._calls // _ROUND + 1
        self._calls += 1
        if generation != expected:
            raise RuntimeError(f"life {generation} answered, not {expected}: the actor was not asleep")
