"""Writes to every store of one actor until it is killed: ``python -m tests.crash.store_program <data_dir>``.

The first line it prints is what it found, every further one the number of a call that was answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from rivetkit import Actor, Queue, Registry, action, actor


class Found(BaseModel):
    """What the stores hold. Rows are written in pairs."""

    state: int
    keys: list[int]
    rows: list[tuple[int, int]]
    messages: list[int]
    planned: int


MANY = 100_000
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@actor(durability="strict", max_queue_size=MANY, max_schedules=MANY)
class Keeper(Actor):
    """Counts in all of its stores at once."""

    state: int = 0
    numbers = Queue[int]()

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(["CREATE TABLE halves (number INTEGER, half INTEGER)"])

    @action
    async def found(self) -> Found:
        keys = await self.ctx.kv.list()
        rows = await self.ctx.db.fetch_all("SELECT number, count(*) FROM halves GROUP BY number ORDER BY 1")
        return Found(
            state=self.state,
            keys=[int(key) for key, _ in keys],
            rows=[(row[0], row[1]) for row in rows],
            messages=[job.body for job in await self.numbers.try_next_batch(MANY, completable=True)],
            planned=len(self.ctx.schedule.list()),
        )

    @action
    async def count(self) -> int:
        number = self.state + 1
        await self.numbers.send(number)
        async with self.ctx.db.transaction() as tx:
            for half in (0, 1):
                await tx.execute("INSERT INTO halves VALUES (?, ?)", [number, half])
        self.state = number
        await self.ctx.kv.put(f"{number:08}", "x" * 100)
        await self.ctx.schedule.at(FAR, Keeper.count)
        return number


async def main(data_dir: Path) -> None:
    registry = Registry(Keeper, data_dir=data_dir)
    async with registry.lifespan():
        keeper = registry.client.get_or_create(Keeper, "a")
        found = await keeper.call(Keeper.found)
        print(json.dumps(found.model_dump()), flush=True)
        while True:
            print(await keeper.call(Keeper.count), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
