"""Messages a second from a send that returned to a completion that did, next to the same writes by hand."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.comparison import Comparison, Contender, Row, Setup, calling, counted
from benchmarks.load import Call, Sample, summary
from benchmarks.sleepers import Clerk
from rivetkit import ActorHandle, Registry

_BODY = b"x" * 64


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    registry = Registry(Clerk, data_dir=setup.directory())
    by_hand = _by_hand(setup.directory())
    async with registry.lifespan():
        for count in (1, 16, 64):
            handle = registry.client.get_or_create(Clerk, f"{count}")
            sent = calling("sent, received, completed", [_through(handle)] * count)
            compared = await Comparison.of(setup, "queue", counted(count), sent, by_hand)
            if await handle.call(Clerk.left):
                raise RuntimeError("a completed message is still there")
            yield compared.row(sent.name, by_hand.name, "messages/s")


def _through(handle: ActorHandle[Clerk]) -> Call:
    numbers = itertools.count()

    async def send_and_wait() -> None:
        number = next(numbers)
        if await handle.send_and_wait(Clerk.orders, number) != number:
            raise RuntimeError("a message was completed with the reply to another one")

    return send_and_wait


def _by_hand(directory: str) -> Contender:
    """A table as a queue: one commit inserts a message with its counter, one deletes it, like the store's."""
    connection = sqlite3.connect(Path(directory) / "queue.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    connection.execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, size INTEGER NOT NULL)")
    numbers = itertools.count(1)

    def pass_on(number: int) -> None:
        for statement, values, size in (
            ("INSERT INTO messages VALUES (?, ?)", (number, _BODY), 1),
            ("DELETE FROM messages WHERE id = ?", (number,), 0),
        ):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement, values)
            connection.execute("INSERT OR REPLACE INTO counter VALUES (1, ?)", (size,))
            connection.execute("COMMIT")

    async def run(seconds: float) -> Sample:
        times: list[float] = []
        started, cpu = time.perf_counter(), time.process_time()
        while (before := time.perf_counter()) < started + seconds:
            pass_on(next(numbers))
            times.append(time.perf_counter() - before)
        elapsed = time.perf_counter() - started
        return summary(times, elapsed, (time.process_time() - cpu) / elapsed, 0.0)

    return Contender("two SQLite commits", run)
