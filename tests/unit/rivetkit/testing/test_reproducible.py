"""One seed, one history: also in another process, whose hashes and addresses are others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

PROGRAM = """
import asyncio, sys
from rivetkit import Actor, Queue, action
from rivetkit.testing import RivetTest

history = []

class Board(Actor):
    state: list[str]
    jobs = Queue[str]()

    async def run(self):
        await asyncio.gather(self.work("x"), self.work("y"))

    async def work(self, name):
        async for job in self.jobs:
            await asyncio.sleep(0.5)
            history.append(f"{self.ctx.key[0]}:{name}:{job.body}")

    @action
    async def write(self, author: str, times: int) -> None:
        for number in range(times):
            self.state.append(author)
            history.append(f"{self.ctx.key[0]}:{author}:{number}")
            await asyncio.sleep(1)

async def main(seed):
    async with RivetTest(Board, seed=seed) as rivet:
        boards = [rivet.client.get_or_create(Board, name) for name in "ab"]
        async with asyncio.TaskGroup() as group:
            for board in boards:
                for author in ("Ada", "Bob"):
                    group.create_task(board.call(Board.write, author, 4))
                for job in "123":
                    group.create_task(board.send(Board.jobs, job))
        await rivet.clock.advance(hours=1)
        await rivet.crash(boards[0])
        history.extend([await board.resolve() for board in boards])
        history.extend([str(await board.call_by_name("write", "Eve", 0)) for board in boards])
        history.append(str(rivet.clock.now()))

asyncio.run(main(eval(sys.argv[1])))
print(*history)
"""


def history(seed: int | None, hash_seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_seed_gives_the_same_history_in_every_process(seed: int | None) -> None:
    assert len({history(seed, hash_seed) for hash_seed in range(3)}) == 1


def test_seeds_interleave_two_actors_differently() -> None:
    assert len({history(seed, 0) for seed in range(4)}) == 4
