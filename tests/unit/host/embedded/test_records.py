from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from rivetkit_core.host.embedded import records, schema
from rivetkit_core.host.embedded.records import Change


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        schema.create(opened)
        yield opened


def test_changes_of_many_actors_are_one_statement() -> None:
    changes = [Change(f"actor-{number}", {b"k": b"v"}, ()) for number in range(100)]
    assert len(records.statements(changes)) == 1


def test_the_last_change_of_a_key_wins() -> None:
    changes = [Change("a", {b"k": b"1"}, ()), Change("a", {}, [b"k"]), Change("a", {b"k": b"2"}, ())]
    assert [parameters for _, parameters in records.statements(changes)] == [["a", b"k", b"2"]]


def test_no_change_needs_no_statement() -> None:
    assert records.statements([Change("a", {}, ())]) == []


@pytest.mark.parametrize("count", [1, 2, 100])
def test_deleting_never_scans_the_table(connection: sqlite3.Connection, count: int) -> None:
    change = Change("a", {}, [bytes([number]) for number in range(count)])
    ((statement, parameters),) = records.statements([change])
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    assert not any("SCAN" in str(step) for step in plan)
