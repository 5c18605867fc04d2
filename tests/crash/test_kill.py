"""A server under load is killed again and again over one data directory, and keeps every promise."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from rivetkit_core.host.embedded.store import DATA_FILE
from tests.crash.api import Address, Api
from tests.crash.process import Child, Nursery
from tests.crash.server import SAVE_INTERVAL
from tests.crash.workload import STRICT, THROTTLED, Load, World, verify

_SERVER = "tests.crash.server"
_ROUNDS = 50
_ROUNDS_PER_LEDGER = 10  # so that no state grows until saving it is all the server does
_LONG_EVERY = 5
_LONG_EXTRA = 0.7  # longer than the interval and the slack, or the throttled actors could lose everything
_WRITE_SLACK = 0.3
_ALLOWANCE = SAVE_INTERVAL + _WRITE_SLACK
_END_LIMIT = 10.0


@pytest.mark.crash
@pytest.mark.timeout(240)
async def test_fifty_kills_break_no_promise(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("RIVETKIT_CRASH_SEED") or random.SystemRandom().getrandbits(32))
    print(f"RIVETKIT_CRASH_SEED={seed}")
    try:
        async with Nursery.of(_SERVER) as nursery:
            campaign = Campaign(nursery, tmp_path / "data", random.Random(seed))
            for number in range(_ROUNDS):
                await campaign.round(number)
            await campaign.finish()
    except BaseException as failure:
        failure.add_note(f"to repeat: RIVETKIT_CRASH_SEED={seed}")
        raise
    for name, value in {"seed": seed, **campaign.report()}.items():
        record_property(name, value)
    print(", ".join(f"{name} {value}" for name, value in campaign.report().items()))


class Campaign:
    """The rounds over one data directory."""

    def __init__(self, nursery: Nursery, data_dir: Path, chance: random.Random) -> None:
        self._nursery = nursery
        self._data_dir = data_dir
        self._chance = chance
        self._world = World()
        self._killed_at = time.monotonic()
        self._kills = 0
        self._starting = 0.0

    async def round(self, number: int) -> None:
        """Start, verify, load, kill."""
        async with self._server() as (server, api):
            await self._verify(api, self._chance)
            epoch = number // _ROUNDS_PER_LEDGER
            strict = [Address(STRICT, f"ledger-{epoch}-{index}") for index in range(3)]
            throttled = [Address(THROTTLED, f"ledger-{epoch}-{index}") for index in range(2)]
            duration = self._chance.uniform(0.02, 0.3)
            if number % _LONG_EVERY == _LONG_EVERY - 1:
                duration += _LONG_EXTRA
            load = Load(api, self._world, f"r{number}")
            running = asyncio.create_task(load.run(strict, throttled))
            await asyncio.wait([running], timeout=duration)
            load.ending = True
            self._killed_at = await server.kill()
            self._kills += 1
            async with asyncio.timeout(_END_LIMIT):
                await running

    async def finish(self) -> None:
        """Verify everything once more, and the file itself."""
        async with self._server() as (_, api):
            await self._verify(api, None)
        connection = sqlite3.connect(self._data_dir / DATA_FILE)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    def report(self) -> dict[str, object]:
        """What happened."""
        world = self._world
        return {
            "rounds": self._kills,
            "operations": world.acknowledged + world.others,
            "acknowledged": world.acknowledged,
            "events": world.seen,
            "actors": sum(len(census.attempted) for census in world.census.values()),
            "lost_throttled": len(world.losses),
            "oldest_loss_s": round(max(world.losses, default=0.0), 3),
            "mean_start_s": round(self._starting / (self._kills + 1), 3),
        }

    async def _verify(self, api: Api, sample: random.Random | None) -> None:
        await verify(api, self._world, killed_at=self._killed_at, allowance=_ALLOWANCE, sample=sample)

    @asynccontextmanager
    async def _server(self) -> AsyncGenerator[tuple[Child, Api]]:
        began = time.monotonic()
        async with self._nursery.child(_SERVER, "--data-dir", str(self._data_dir)) as server:
            url = (await server.line()).decode()
            self._starting += time.monotonic() - began
            async with httpx.AsyncClient(timeout=_END_LIMIT) as http:
                yield server, Api(url, http)
