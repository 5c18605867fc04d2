"""What the same work costs with nothing of ours: a commit, a coroutine, a hop over a queue."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.comparison import Contender
from benchmarks.load import Call, Sample, summary

_RECORD = b"x" * 64


def commits(directory: str) -> Contender:
    """Serial commits of one small row each, WAL and synchronous=NORMAL, in a file of its own."""
    connection = sqlite3.connect(Path(directory) / "yardstick.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, value BLOB NOT NULL)")

    async def run(seconds: float) -> Sample:
        times: list[float] = []
        started, cpu = time.perf_counter(), time.process_time()
        number = 0
        while (before := time.perf_counter()) < started + seconds:
            number += 1
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (number % 100, _RECORD))
            connection.execute("COMMIT")
            times.append(time.perf_counter() - before)
        elapsed = time.perf_counter() - started
        return summary(times, elapsed, (time.process_time() - cpu) / elapsed, 0.0)

    return Contender("SQLite commits", run)


async def coroutine() -> None:
    """The cheapest call there is."""


@contextlib.asynccontextmanager
async def queue_worker() -> AsyncGenerator[Call]:
    """A call answered by a task that reads an ``asyncio.Queue``: an actor written by hand."""
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()

    async def work() -> None:
        count = 0
        while True:
            by, answer = await queue.get()
            count += by
            answer.set_result(count)

    async def call() -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        queue.put_nowait((1, answer))
        return await answer

    worker = asyncio.create_task(work())
    try:
        yield call
    finally:
        worker.cancel()
        await asyncio.wait([worker])
