"""Remote SQL: statements, transactions and fencing (envoy-protocol 7.2 and 7.3)."""

from __future__ import annotations

import pytest

from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    SqlError,
    SqlResult,
    SqlScriptResult,
    SqlValue,
)
from tests.contract.engine.conftest import Connect
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.side import Side

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, value)"


def message_of(result: object) -> str:
    assert isinstance(result, SqlError)
    assert (result.group, result.code) == ("core", "internal_error")
    return result.message


@pytest.mark.parametrize("value", [None, -5, 2**63 - 1, 1.5, "é", b"\0\xff", "", b""])
async def test_values_come_back_as_they_were_bound(envoy: Puppet, place: Checkpoint, value: SqlValue) -> None:
    assert await envoy.rows(place, "SELECT ?", value) == ((value,),)


async def test_missing_parameters_are_null(envoy: Puppet, place: Checkpoint) -> None:
    assert await envoy.rows(place, "SELECT ?, ?", 1) == ((1, None),)


async def test_too_many_parameters_are_refused(envoy: Puppet, place: Checkpoint) -> None:
    assert "bind" in message_of(await envoy.execute(place, "SELECT 1", 1))


async def test_bound_bytes_are_limited(envoy: Puppet, place: Checkpoint) -> None:
    message = message_of(await envoy.execute(place, "SELECT ?", "x" * 131_073))
    assert message == "remote sqlite bind params had 131073 bytes, exceeding limit 131072"


async def test_counters_repeat_those_of_the_last_change(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.execute(place, TABLE)
    await envoy.execute(place, "INSERT INTO t VALUES (7, 1), (8, 2)")
    result = await envoy.execute(place, "SELECT 1")
    assert isinstance(result, SqlResult)
    assert (result.changes, result.last_insert_row_id) == (2, 8)


async def test_a_comment_gives_nothing(envoy: Puppet, place: Checkpoint) -> None:
    result = await envoy.execute(place, "-- nothing")
    assert isinstance(result, SqlResult)
    assert (result.columns, result.rows, result.last_insert_row_id) == ((), (), None)


async def test_execute_takes_one_statement(envoy: Puppet, place: Checkpoint) -> None:
    message = message_of(await envoy.execute(place, "SELECT 1; SELECT 2"))
    assert "sqlite execute only supports a single statement" in message


async def test_a_broken_constraint_is_named(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.script(place, f"{TABLE}; INSERT INTO t VALUES (1, 1)")
    message = message_of(await envoy.execute(place, "INSERT INTO t VALUES (1, 2)"))
    assert message == "failed to step sqlite execute statement: UNIQUE constraint failed: t.id"


async def test_a_syntax_error_is_named(envoy: Puppet, place: Checkpoint) -> None:
    message = message_of(await envoy.execute(place, "SELEC 1"))
    assert message.startswith("failed to prepare")
    assert message.endswith('near "SELEC": syntax error')


async def test_foreign_keys_are_on(envoy: Puppet, place: Checkpoint) -> None:
    assert await envoy.rows(place, "PRAGMA foreign_keys") == ((1,),)


async def test_a_script_returns_the_last_rows(envoy: Puppet, place: Checkpoint) -> None:
    result = await envoy.script(
        place, f"{TABLE}; SELECT 1 AS one; SELECT 2 AS two; INSERT INTO t VALUES (1, 1)"
    )
    assert result == SqlScriptResult(("two",), ((2,),))


async def test_a_script_keeps_what_came_before_its_error(envoy: Puppet, place: Checkpoint) -> None:
    message_of(
        await envoy.script(place, f"{TABLE}; INSERT INTO t VALUES (1, 1); SELEC; INSERT INTO t VALUES (2, 2)")
    )
    assert await envoy.rows(place, "SELECT id FROM t") == ((1,),)


async def test_a_trigger_in_a_script_is_one_statement(envoy: Puppet, place: Checkpoint) -> None:
    trigger = "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET value = 9; SELECT 1; END"
    await envoy.script(place, f"{TABLE}; {trigger}; INSERT INTO t VALUES (1, 1)")
    assert await envoy.rows(place, "SELECT value FROM t") == ((9,),)


async def test_a_batch_commits_all(envoy: Puppet, place: Checkpoint) -> None:
    results = await envoy.batch(place, TABLE, "INSERT INTO t VALUES (1, 1)", "SELECT id FROM t")
    assert not isinstance(results, SqlError)
    assert [result.rows for result in results] == [(), (), ((1,),)]


async def test_a_failed_batch_leaves_nothing(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.execute(place, TABLE)
    message = message_of(
        await envoy.batch(place, "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 2)")
    )
    assert message.startswith("execute remote sqlite batch statement: ")
    assert await envoy.rows(place, "SELECT * FROM t") == ()


async def test_an_empty_batch_succeeds(envoy: Puppet, place: Checkpoint) -> None:
    assert await envoy.batch(place) == ()


async def test_a_batch_needs_that_no_transaction_is_open(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.execute(place, "BEGIN")
    message_of(await envoy.batch(place, "SELECT 1"))


async def test_a_transaction_spans_messages(envoy: Puppet, place: Checkpoint) -> None:
    await envoy.execute(place, TABLE)
    await envoy.execute(place, "BEGIN")
    await envoy.execute(place, "INSERT INTO t VALUES (1, 1)")
    await envoy.execute(place, "ROLLBACK")
    assert await envoy.rows(place, "SELECT * FROM t") == ()


async def test_a_transaction_ends_with_its_connection(
    connect: Connect, envoy: Puppet, place: Checkpoint
) -> None:
    await envoy.execute(place, TABLE)
    await envoy.execute(place, "BEGIN")
    await envoy.execute(place, "INSERT INTO t VALUES (1, 1)")
    again = await connect()
    message = message_of(await again.execute(place, "COMMIT"))
    assert "cannot commit - no transaction is active" in message
    assert await again.rows(place, "SELECT * FROM t") == ()


async def test_a_transaction_ends_with_the_stop_command(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await envoy.execute(place, TABLE)
    await envoy.execute(place, "BEGIN")
    await envoy.execute(place, "INSERT INTO t VALUES (1, 1)")
    await side.sleep(place.actor_id)
    await envoy.stopping()
    assert await envoy.rows(place, "SELECT * FROM t") == ()


async def test_a_newer_generation_fences_the_older(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await side.reschedule(place.actor_id)
    await envoy.stop(place)
    newer = await envoy.command()
    assert newer.checkpoint.generation == 2
    assert message_of(await envoy.execute(place, "SELECT 1")) == "actor does not exist"
    assert await envoy.rows(newer.checkpoint, "SELECT 1") == ((1,),)


async def test_after_a_sleep_the_old_generation_is_still_answered(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    assert await envoy.rows(place, "SELECT 1") == ((1,),)
