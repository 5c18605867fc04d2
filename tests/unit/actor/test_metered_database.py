"""What is counted of an actor's SQL."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.metered_database import MeteredDatabase, first_word
from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import SqlStatement
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.metrics.series import Counter
from rivetkit_core.testing import FakeClock, settle
from tests.unit.actor.test_database import FakeDatabase

DURATION = "sqlite_worker_command_duration_seconds"


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Recorder(self.clock, "a", "a")
        self.port = FakeDatabase()
        self.database = MeteredDatabase(self.port, self.metrics)

    async def execute(self, sql: str) -> None:
        await self.database.execute(SqlStatement(sql))

    def counted(self, operation: str, inside: str, kind: str) -> int:
        return self.metrics.histogram(DURATION, operation, inside, kind).count


async def test_statements_are_counted_by_their_kind() -> None:
    bench = Bench()
    await bench.execute("create table t (a)")
    await bench.execute("  INSERT INTO t VALUES (1)")
    await bench.execute("SELECT a FROM t")
    await bench.execute("EXPLAIN SELECT a FROM t")
    await bench.database.execute_batch([SqlStatement("SELECT 1"), SqlStatement("SELECT 2")])
    await bench.database.script("SELECT 1; SELECT 2")
    for kind in ("create", "insert", "select", "other"):
        assert bench.counted("execute", "false", kind) == 1
    assert bench.counted("execute_batch", "false", "other") == 1
    assert bench.counted("script", "false", "other") == 1


async def test_what_runs_inside_of_a_transaction_says_so() -> None:
    bench = Bench()
    for sql in ("CREATE TABLE t (a)", "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT", "DELETE FROM t"):
        await bench.execute(sql)
    assert bench.counted("execute", "true", "insert") == 1
    assert bench.counted("execute", "false", "delete") == 1


async def test_a_statement_that_waits_takes_its_time() -> None:
    bench = Bench()
    bench.port.gate.clear()
    running = asyncio.create_task(bench.execute("SELECT 1"))
    await settle()
    await bench.clock.advance(2.0)
    bench.port.gate.set()
    await running
    assert bench.metrics.histogram(DURATION, "execute", "false", "select").total == pytest.approx(2.0)


async def test_failures_are_counted_by_their_code() -> None:
    bench = Bench()
    with pytest.raises(RivetError):
        await bench.execute("SELECT a FROM nowhere")
    key = ("sqlite_worker_command_error_total", "execute", "sqlite.failed")
    counter = bench.metrics.series()[key]
    assert isinstance(counter, Counter)
    assert counter.value == 1


async def test_a_database_is_in_use_from_its_first_statement_to_its_end() -> None:
    bench = Bench()
    assert not bench.database.in_use
    await bench.execute("SELECT 1")
    assert bench.database.in_use
    await bench.database.close()
    assert not bench.database.in_use
    assert bench.metrics.histogram("sqlite_worker_close_duration_seconds").count == 1


async def test_closing_what_was_never_used_is_not_counted() -> None:
    bench = Bench()
    await bench.database.close()
    assert bench.metrics.series() == {}


@pytest.mark.parametrize(("sql", "word"), [("", ""), (" begin;", "BEGIN"), ("\n select 1", "SELECT")])
def test_the_first_word_is_what_counts(sql: str, word: str) -> None:
    assert first_word(sql) == word
