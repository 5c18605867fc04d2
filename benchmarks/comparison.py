"""Contenders measured in turns, and rows that compare them.

A number alone says more about the machine and its neighbours than about the code, so every row is a ratio to
a yardstick that was measured in the same minute: A B A B. The ratio is the median of the ratios of
neighbouring runs.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.load import Call, HasCpu, Sample, measure
from benchmarks.processes import ServerProcess

_OURS = frozenset({"rivetkit", "engine-host"})


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that can be run for some seconds, as often as wanted."""

    name: str
    run: Callable[[float], Awaitable[Sample]]


@dataclass(frozen=True, slots=True)
class Row:
    """One answer. ``low`` and ``high`` are the smallest and the largest ratio of the runs."""

    question: str
    case: str
    unit: str
    subject: str
    yardstick: str
    value: float
    yardstick_value: float
    ratio: float
    low: float
    high: float
    details: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class Setup:
    """How long to measure, and what was opened for it."""

    seconds: float
    runs: int
    stack: contextlib.AsyncExitStack
    profiles: Path | None = None
    started: int = 0

    def directory(self) -> str:
        """A new directory that lasts as long as the question."""
        return self.stack.enter_context(tempfile.TemporaryDirectory(prefix="rivetkit-bench-"))

    async def server(
        self, kind: str, *args: str, environment: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """Start a server process that lasts as long as the question; ours are the ones that are sampled."""
        profile = None
        if self.profiles is not None and kind in _OURS:
            self.started += 1
            profile = self.profiles / f"{self.started}.txt"
        if kind == "rivetkit":
            args = (self.directory(),)
        server = await ServerProcess.start(kind, *args, profile=profile, environment=environment)
        self.stack.push_async_callback(server.stop)
        return server


def calling(name: str, callers: Sequence[Call], server: HasCpu | None = None) -> Contender:
    """A contender whose callers call until time is up."""

    async def run(seconds: float) -> Sample:
        return await measure(callers, seconds, server)

    return Contender(name, run)


def counted(callers: int) -> str:
    """A case's name by its number of callers."""
    return "1 caller" if callers == 1 else f"{callers} callers"


class Comparison:
    """The runs of some contenders."""

    def __init__(self, question: str, case: str, samples: dict[str, list[Sample]]) -> None:
        self._question = question
        self._case = case
        self._samples = samples

    @classmethod
    async def of(cls, setup: Setup, question: str, case: str, *contenders: Contender) -> Comparison:
        """Run every contender ``setup.runs`` times, in turns."""
        samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
        for _ in range(setup.runs):
            for contender in contenders:
                samples[contender.name].append(await contender.run(setup.seconds))
        return cls(question, case, samples)

    def row(self, subject: str, yardstick: str, unit: str = "calls/s") -> Row:
        ours, theirs = self._samples[subject], self._samples[yardstick]
        ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]
        return Row(
            question=self._question,
            case=self._case,
            unit=unit,
            subject=subject,
            yardstick=yardstick,
            value=median(sample.rate for sample in ours),
            yardstick_value=median(sample.rate for sample in theirs),
            ratio=median(ratios),
            low=min(ratios),
            high=max(ratios),
            details={**_details("", ours), **_details("yardstick_", theirs)},
        )


def _details(prefix: str, samples: list[Sample]) -> dict[str, float]:
    return {
        f"{prefix}p50_ms": 1000 * median(sample.p50 for sample in samples),
        f"{prefix}p99_ms": 1000 * median(sample.p99 for sample in samples),
        f"{prefix}load_cpu": median(sample.load_cpu for sample in samples),
        f"{prefix}server_cpu": median(sample.server_cpu for sample in samples),
    }
