"""What it costs that a reply waits for the disk, next to raw SQLite commits."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from benchmarks.questions.http import check_count
from benchmarks.questions.live import increments, open_lives
from benchmarks.yardsticks import commits


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server = await setup.server("rivetkit")
    raw = commits(setup.directory())
    for count in (1, 16, 64):
        strict = await open_lives(setup, server.port, "strict", f"strict-{count}", count)
        throttled = await open_lives(setup, server.port, "throttled", f"throttled-{count}", count)
        compared = await Comparison.of(
            setup,
            "durability",
            counted(count),
            calling("strict", increments(strict), server),
            calling("throttled", increments(throttled), server),
            raw,
        )
        for lives in (strict, throttled):
            check_count([live.result() for live in lives], sum(live.calls for live in lives))
        yield compared.row("strict", "throttled")
        yield compared.row("strict", raw.name)
