"""Clients that append to ledgers without a pause, and write down what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
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
    """What the clients of a test learned; ``acknowledged`` has the entries of each ledger, and when."""

    acknowledged: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    sent: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])

    @property
    def answers(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def gap_after(self, moment: float, keys: Iterable[str]) -> float:
        """Seconds from a moment until the last of these ledgers answered again.

        An answer within 0.1 s may have been on its way at the moment.
        """
        return max(
            min((at for at in self.acknowledged[key].values() if at > moment + 0.1), default=math.inf)
            - moment
            for key in keys
        )


@dataclass
class Verdict:
    """What became of the entries: acknowledged ones that are missing, by when they were acknowledged."""

    lost_strict: list[float] = field(default_factory=list[float])
    lost_throttled: list[float] = field(default_factory=list[float])
    doubled: list[str] = field(default_factory=list[str])
    unacknowledged: int = 0


class Load:
    """Clients of some ledgers, one task each."""

    def __init__(self, client: Client, ledgers: dict[str, type[Ledger]]) -> None:
        self.tally = Tally(acknowledged={key: {} for key in ledgers})
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

    async def verify(self) -> Verdict:
        """Read every ledger and compare it with what was promised."""
        verdict = Verdict()
        for key, cls in self._ledgers.items():
            handle = self.handle(key)
            entries = await eventually(lambda handle=handle: handle.call(Ledger.entries))
            acknowledged = self.tally.acknowledged[key]
            lost = [at for entry, at in acknowledged.items() if entry not in entries]
            strict = cls.__rivet_options__.get("durability") == "strict"
            (verdict.lost_strict if strict else verdict.lost_throttled).extend(lost)
            verdict.doubled += [entry for entry, times in Counter(entries).items() if times > 1]
            verdict.unacknowledged += len(set(entries) - set(acknowledged))
        return verdict

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
                tally.acknowledged[key][entry] = time.monotonic()
