"""Clients that append to ledgers without a pause, and write down what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rivetkit.client import ActorHandle, Client
from rivetkit_core.clock import SystemClock
from rivetkit_core.errors import RivetError
from tests.engine.faults.program import Ledger

T = TypeVar("T")

_PAUSE = 0.1


async def eventually(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool] = lambda _: True, *, within: float = 60.0
) -> T:
    """Ask until there is an answer, and it is the wanted one.

    Raises:
        AssertionError: Not within the time; with the last answer or failure.
    """
    clock, last = SystemClock(), object()
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            answer = await ask()
            if holds(answer):
                return answer
            last = answer
        except RivetError as failure:
            last = failure
        await clock.sleep(_PAUSE)
    raise AssertionError(f"not within {within} s; last: {last!r}")


async def until(condition: Callable[[], object], *, within: float = 60.0) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: Not within the time.
    """

    async def ask() -> bool:
        return bool(condition())

    await eventually(ask, lambda holds: holds, within=within)


@dataclass
class Tally:
    """What the clients of a test learned."""

    acknowledged: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    sent: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    answered_at: list[float] = field(default_factory=list[float])

    @property
    def answers(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def gap_after(self, moment: float) -> float:
        """Seconds from a moment until the first answer that came 0.1 s later or more."""
        return min(at for at in self.answered_at if at > moment + 0.1) - moment


class Load:
    """Clients of some ledgers, one task each."""

    def __init__(self, client: Client, ledgers: dict[str, type[Ledger]]) -> None:
        self.tally = Tally(acknowledged={key: set() for key in ledgers})
        self._client = client
        self._ledgers = ledgers

    def handle(self, key: str) -> ActorHandle[Ledger]:
        return self._client.get_or_create(self._ledgers[key], key)

    @contextlib.asynccontextmanager
    async def running(self, timeout: float) -> AsyncGenerator[Tally]:
        """Append for the duration of a block; each call may take ``timeout`` seconds."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for key in self._ledgers:
                clients.create_task(self._append(key, ending, timeout))
            try:
                yield self.tally
            finally:
                ending.set()

    async def progress(self, answers: int = 3, *, within: float = 60.0) -> None:
        """Wait until every ledger has answered some more times."""
        before = {key: len(done) for key, done in self.tally.acknowledged.items()}

        async def missing() -> list[str]:
            return [key for key, done in self.tally.acknowledged.items() if len(done) < before[key] + answers]

        await eventually(missing, lambda keys: not keys, within=within)

    async def verify(self) -> dict[str, int]:
        """Read every ledger; counts of entries that were acknowledged and are missing, or are there twice."""
        found = {"lost_strict": 0, "lost_throttled": 0, "doubled": 0, "unacknowledged": 0}
        for key, cls in self._ledgers.items():
            handle = self.handle(key)
            entries = await eventually(lambda handle=handle: handle.call(Ledger.entries))
            lost = self.tally.acknowledged[key] - set(entries)
            strict = cls.__rivet_options__.get("durability") == "strict"
            found["lost_strict" if strict else "lost_throttled"] += len(lost)
            found["doubled"] += len(entries) - len(set(entries))
            found["unacknowledged"] += len(set(entries) - self.tally.acknowledged[key])
        return found

    async def _append(self, key: str, ending: asyncio.Event, timeout: float) -> None:
        append = self.handle(key).action(Ledger.append, timeout=timeout)
        tally, number = self.tally, 0
        while not ending.is_set():
            number += 1
            tally.sent += 1
            entry = f"{key}-{number}"
            try:
                await append(entry)
            except RivetError as failure:
                tally.failures[f"{failure.group}.{failure.code}"] += 1
            else:
                tally.acknowledged[key].add(entry)
                tally.answered_at.append(time.monotonic())
