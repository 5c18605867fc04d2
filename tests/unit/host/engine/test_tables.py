"""Records in the tables of other runtimes: what of ours is where there, and what of theirs is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

import pytest

from rivetkit_core.errors import StorageError
from rivetkit_core.host.engine.tables.statements import MAX_BOUND, statement
from rivetkit_core.host.engine.tables.storage import PRIVATE_TABLE, TRANSACTION_PATIENCE, TableStorage
from rivetkit_core.host.port import SqlStatement, SqlValue
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import (
    ACTOR_KEY,
    LAST_ALARM_KEY,
    QUEUE_METADATA_KEY,
    ActorRecord,
    ConnRecord,
    QueueMessage,
    QueueMetadata,
    ScheduleEvent,
    conn_key,
    decode_actor,
    decode_conn,
    decode_last_alarm,
    decode_queue_message,
    decode_queue_metadata,
    encode_actor,
    encode_conn,
    encode_last_alarm,
    encode_queue_message,
    encode_queue_metadata,
    queue_message_key,
)
from rivetkit_core.wire.schedule_records import (
    SCHEDULE_INDEX_KEY,
    HistoryRow,
    Job,
    RunError,
    ScheduleIndex,
    decode_history,
    decode_index,
    decode_job,
    encode_history,
    encode_index,
    encode_job,
    history_key,
    job_key,
    retry_key,
)
from tests.engine_tables import EngineTables, setup

EVENT = ScheduleEvent("e1", 5, "tick", b"\x81\x01")
RECORD = ActorRecord(b"\x01", True, b"\xf6", (EVENT,))
CONN = ConnRecord("c", b"\x01", b"", ("news",), b"gate", b"requ", 1, 2, "/connect", {"a": "b"})
EVERY = Job(slot=0, name="pulse", kind="every", action="beat", args=b"\x81\x02", next_at=9, interval=5000)


@pytest.fixture
async def tables() -> AsyncGenerator[EngineTables]:
    made = EngineTables(setup())
    yield made
    made.sql.close()


def insert(tables: EngineTables, table: str, **columns: SqlValue) -> None:
    """Write a row as another runtime would."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    values = tuple(columns.values())
    tables.sql.execute(SqlStatement(f"INSERT INTO {table} ({names}) VALUES ({marks})", values))


async def later(tables: EngineTables, *keys: bytes) -> dict[bytes, bytes]:
    """What the next generation finds."""
    return await (await tables.storage()).load(keys)


def asked(tables: EngineTables) -> list[str]:
    """The statements of the last request."""
    batch = tables.asked[-1]
    assert isinstance(batch, tuple)
    return [one.sql for one in batch]


# --- snapshot ---------------------------------------------------------------------------------------


async def test_the_snapshot_is_in_three_tables(tables: EngineTables) -> None:
    await (await tables.storage()).apply({ACTOR_KEY: encode_actor(RECORD)})
    assert tables.sql.query("SELECT has_initialized, input FROM _rivet_actor") == [(1, b"\x01")]
    assert tables.sql.query("SELECT state FROM _rivet_actor_state") == [(b"\xf6",)]
    assert tables.sql.query(
        "SELECT event_id, trigger_at, action, args, kind FROM _rivet_schedule_events"
    ) == [("e1", 5, "tick", b"\x81\x01", 0)]
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]) == RECORD


async def test_an_actor_without_rows_was_never_started(tables: EngineTables) -> None:
    assert await later(tables, ACTOR_KEY) == {}


async def test_an_actor_without_state_has_an_empty_one(tables: EngineTables) -> None:
    insert(tables, "_rivet_actor", id=1, has_initialized=1)
    insert(tables, "_rivet_actor_state", id=1, state=b"")
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]) == ActorRecord(None, True, b"")


async def test_a_save_writes_only_what_changed(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({ACTOR_KEY: encode_actor(RECORD)})
    await storage.apply({ACTOR_KEY: encode_actor(ActorRecord(b"\x01", True, b"\xf5", (EVENT,)))})
    assert [sql.split(" (")[0] for sql in asked(tables)] == ["INSERT INTO _rivet_actor_state"]


async def test_one_shots_that_are_gone_are_deleted_and_others_left_alone(tables: EngineTables) -> None:
    insert(tables, "_rivet_actor", id=1, has_initialized=1)
    for name in ("e1", "e2"):
        insert(
            tables,
            "_rivet_schedule_events",
            **{
                "event_id": name,
                "trigger_at": 1,
                "action": "a",
                "kind": 0,
                "max_history": 0,
                "ray_id": "ray",
            },
        )
    storage = await tables.storage()
    record = decode_actor((await storage.load([ACTOR_KEY]))[ACTOR_KEY])
    await storage.apply({ACTOR_KEY: encode_actor(ActorRecord(None, True, b"", record.scheduled_events[1:]))})
    assert tables.sql.query("SELECT event_id, ray_id FROM _rivet_schedule_events") == [("e2", "ray")]


async def test_after_a_failed_save_the_next_one_writes_everything(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({ACTOR_KEY: encode_actor(RECORD)})
    tables.lose = 4
    with pytest.raises(StorageError):
        await storage.apply({ACTOR_KEY: encode_actor(ActorRecord(b"\x01", True, b"\xf5"))})
    await storage.apply({ACTOR_KEY: encode_actor(RECORD)})
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]) == RECORD


async def test_a_batch_whose_answer_was_lost_is_run_again(tables: EngineTables) -> None:
    tables.lose = 0
    storage = await tables.storage()
    tables.lose = 2
    await storage.apply({ACTOR_KEY: encode_actor(RECORD)})
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]) == RECORD


async def test_a_write_that_comes_while_the_engine_closes_the_database_is_tried_again(
    tables: EngineTables,
) -> None:
    clock = FakeClock()
    storage = await TableStorage.open(tables, tables.database(clock))
    tables.closing = 3
    writing = asyncio.create_task(storage.apply({ACTOR_KEY: encode_actor(RECORD)}))
    await clock.advance(2.0)
    await writing
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]) == RECORD


@pytest.mark.parametrize("size", [MAX_BOUND, MAX_BOUND + 1, 2_000_000])
async def test_a_state_of_any_size_is_stored(tables: EngineTables, size: int) -> None:
    state = (bytes(range(256)) * (size // 256 + 1))[:size]
    await (await tables.storage()).apply({ACTOR_KEY: encode_actor(ActorRecord(None, True, state))})
    assert decode_actor((await later(tables, ACTOR_KEY))[ACTOR_KEY]).state == state


def test_what_is_too_large_to_be_bound_is_written_out() -> None:
    made = statement("INSERT INTO t VALUES (?, ?, ?)", "a", "ä" * MAX_BOUND, b"\x00" * MAX_BOUND)
    assert made.params == ("a",)
    assert made.sql.startswith("INSERT INTO t VALUES (?, CAST(X'c3a4")


async def test_a_write_that_is_not_allowed_any_more_is_an_error_of_storage(tables: EngineTables) -> None:
    storage = await tables.storage()
    tables.close()
    with pytest.raises(StorageError) as refused:
        await storage.apply({ACTOR_KEY: encode_actor(RECORD)})
    assert refused.value.code == "lost"


# --- one of each ------------------------------------------------------------------------------------


async def test_alarm_token_and_next_message_are_one_row(tables: EngineTables) -> None:
    await (await tables.storage()).apply(
        {
            LAST_ALARM_KEY: encode_last_alarm(7),
            b"\x03": b"token",
            QUEUE_METADATA_KEY: encode_queue_metadata(QueueMetadata(4, 9)),
        }
    )
    assert tables.sql.query("SELECT * FROM _rivet_runtime") == [(1, 7, "token", 4)]
    found = await later(tables, LAST_ALARM_KEY, b"\x03", QUEUE_METADATA_KEY)
    assert decode_last_alarm(found[LAST_ALARM_KEY]) == 7
    assert found[b"\x03"] == b"token"
    assert decode_queue_metadata(found[QUEUE_METADATA_KEY]) == QueueMetadata(4, 0)


async def test_a_new_token_is_where_tools_look_for_it_too(tables: EngineTables) -> None:
    await (await tables.storage()).apply({b"\x03": b"token"})
    assert tables.stored == {b"\x03": b"token"}


async def test_an_alarm_that_was_cleared_is_none(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({LAST_ALARM_KEY: encode_last_alarm(7)})
    await storage.apply({LAST_ALARM_KEY: encode_last_alarm(None)})
    assert tables.sql.query("SELECT last_pushed_alarm FROM _rivet_runtime") == [(None,)]


async def test_the_number_of_the_next_message_is_above_every_stored_one(tables: EngineTables) -> None:
    insert(tables, "_rivet_queue", id=7, name="a", body=b"", created_at=1)
    found = await later(tables, QUEUE_METADATA_KEY)
    assert decode_queue_metadata(found[QUEUE_METADATA_KEY]) == QueueMetadata(8, 1)


# --- messages, connections, keys and values ---------------------------------------------------------


async def test_a_message_is_a_row(tables: EngineTables) -> None:
    key, message = queue_message_key(3), QueueMessage("letters", b"", 42)
    await (await tables.storage()).apply({key: encode_queue_message(message)})
    assert tables.sql.query("SELECT id, name, body, created_at FROM _rivet_queue") == [
        (3, "letters", b"", 42)
    ]
    assert tables.sql.query(f"SELECT * FROM {PRIVATE_TABLE}") == []
    assert decode_queue_message((await later(tables, key))[key]) == message


async def test_what_the_table_has_no_column_for_stands_beside_the_message(tables: EngineTables) -> None:
    key, message = queue_message_key(3), QueueMessage("letters", b"x", 42, 2, 43, True, 44)
    storage = await tables.storage()
    await storage.apply({key: encode_queue_message(message)})
    assert decode_queue_message((await later(tables, key))[key]) == message
    assert [decode_queue_message(value) for _, value in await storage.list(b"\x05\x01\x02")] == [message]
    await storage.apply({key: encode_queue_message(QueueMessage("letters", b"x", 42))})
    assert tables.sql.query(f"SELECT * FROM {PRIVATE_TABLE}") == []


async def test_a_queue_is_emptied_with_what_stands_beside_it(tables: EngineTables) -> None:
    storage = await tables.storage()
    message = encode_queue_message(QueueMessage("letters", b"x", 42, 2))
    await storage.apply({queue_message_key(number): message for number in (1, 2)})
    await storage.delete_range(b"\x05\x01\x02", b"\x05\x01\x03")
    assert tables.sql.query("SELECT * FROM _rivet_queue") == []
    assert tables.sql.query(f"SELECT * FROM {PRIVATE_TABLE}") == []


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (queue_message_key(1), queue_message_key(3), [1, 2]),
        (queue_message_key(1) + b"\x00", queue_message_key(3) + b"\x00", [2, 3]),
        (b"\x05", b"\x05\x02", [1, 2, 3]),
        (b"\x05\x01\x02", queue_message_key(2)[:-1], []),
    ],
)
async def test_messages_are_listed_by_their_keys(
    tables: EngineTables, start: bytes, end: bytes, found: list[int]
) -> None:
    for number in (1, 2, 3):
        insert(tables, "_rivet_queue", id=number, name="a", body=b"", created_at=1)
    listed = await (await tables.storage()).list_range(start, end)
    assert [key for key, _ in listed if key != QUEUE_METADATA_KEY] == [*map(queue_message_key, found)]


async def test_a_connection_is_in_two_tables(tables: EngineTables) -> None:
    key = conn_key("c")
    storage = await tables.storage()
    await storage.apply({key: encode_conn(CONN)})
    assert tables.sql.query("SELECT gateway_id, request_headers FROM _rivet_conns") == [
        (b"gate", cbor.encode({"a": "b"}))
    ]
    assert tables.sql.query("SELECT client_message_index, subscriptions FROM _rivet_conn_state") == [
        (2, cbor.encode(["news"]))
    ]
    assert decode_conn((await later(tables, key))[key]) == CONN
    assert [found for found, _ in await storage.list(b"\x02")] == [key]
    await storage.apply({}, [key])
    assert await storage.list(b"\x02") == []


async def test_a_listing_asks_only_the_tables_that_may_have_something(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.list(b"\x02")
    assert len(asked(tables)) == 2
    await storage.delete_range(b"\x04", b"\x05")
    assert len(asked(tables)) == 2


async def test_keys_of_users_keep_their_prefix(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({b"\x04a": b"", b"\x04b": b"2"})
    assert tables.sql.query("SELECT key, value FROM _rivet_user_kv") == [(b"\x04a", b""), (b"\x04b", b"2")]
    assert await storage.list(b"\x04") == [(b"\x04a", b""), (b"\x04b", b"2")]


async def test_records_without_a_table_are_in_one_of_our_own(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({retry_key("e"): b"1", b"\x06\x01w": b"2"})
    assert tables.sql.query(f"SELECT key FROM {PRIVATE_TABLE}") == [(retry_key("e"),)]
    assert tables.sql.query("SELECT key, value FROM _rivet_wf_kv") == [(b"\x06\x01w", b"2")]


# --- recurring --------------------------------------------------------------------------------------


async def add(storage: TableStorage, job: Job, *rows: HistoryRow) -> None:
    """Write a schedule as the core does."""
    index = encode_index(ScheduleIndex(job.slot + 1, tuple(range(job.slot + 1))))
    history = {history_key(job.slot, number): encode_history(row) for number, row in enumerate(rows)}
    await storage.apply({**history, SCHEDULE_INDEX_KEY: index, job_key(job.slot): encode_job(job)})


async def jobs(tables: EngineTables) -> Mapping[str, Job]:
    """The schedules that the next generation finds, by name."""
    storage = await tables.storage()
    index = decode_index((await storage.load([SCHEDULE_INDEX_KEY]))[SCHEDULE_INDEX_KEY])
    found = await storage.load([job_key(slot) for slot in index.slots])
    return {job.name: job for job in map(decode_job, found.values())}


async def history(tables: EngineTables, job: Job) -> list[HistoryRow]:
    keys = [history_key(job.slot, number) for number in range(job.first_row, job.next_row)]
    found = await later(tables, *keys)
    return [decode_history(found[key]) for key in keys]


async def test_a_recurring_schedule_is_a_row_and_comes_back(tables: EngineTables) -> None:
    await add(await tables.storage(), EVERY)
    assert tables.sql.query("SELECT event_id, trigger_at, kind, interval_ms FROM _rivet_schedule_events") == [
        ("cron:pulse", 9, 2, 5000)
    ]
    assert await jobs(tables) == {"pulse": EVERY}


async def test_schedules_and_runs_of_another_runtime_are_found(tables: EngineTables) -> None:
    at: dict[str, SqlValue] = {"trigger_at": 9, "action": "a", "max_history": 3}
    cron: dict[str, SqlValue] = {"kind": 1, "cron_expression": "* * * * *", "timezone": "UTC"}
    insert(tables, "_rivet_schedule_events", event_id="cron:x", **cron, **at)
    insert(tables, "_rivet_schedule_events", event_id="cron:?", kind=9, **at)
    run: dict[str, SqlValue] = {"schedule_id": "cron:x", "action": "a", "scheduled_at": 1}
    insert(tables, "_rivet_schedule_history", id=40, fired_at=2, finished_at=3, result=1, **run)
    insert(tables, "_rivet_schedule_history", id=41, fired_at=4, result=0, **run)
    found = await jobs(tables)
    assert list(found) == ["x"]
    assert (found["x"].next_row, found["x"].running) == (2, 1)
    assert await history(tables, found["x"]) == [
        HistoryRow(action="a", scheduled_at=1, fired_at=2, finished_at=3, result="ok"),
        HistoryRow(action="a", scheduled_at=1, fired_at=4),
    ]


async def test_a_run_that_ended_is_the_same_row(tables: EngineTables) -> None:
    started = HistoryRow(action="beat", scheduled_at=1, fired_at=2)
    storage = await tables.storage()
    await add(storage, replace(EVERY, next_row=1, running=0), started)
    failed = HistoryRow(
        action="beat",
        scheduled_at=1,
        fired_at=2,
        finished_at=3,
        result="error",
        error=RunError("user", "bad", "no", cbor.encode({"a": 1})),
    )
    await add(storage, replace(EVERY, next_row=1), failed)
    assert tables.sql.query("SELECT result, error_code FROM _rivet_schedule_history") == [(2, "bad")]
    assert await history(tables, (await jobs(tables))["pulse"]) == [failed]


async def test_a_schedule_that_ended_leaves_its_history(tables: EngineTables) -> None:
    row = HistoryRow(action="beat", scheduled_at=1, fired_at=2, finished_at=2, result="skipped")
    await add(await tables.storage(), replace(EVERY, next_at=None, next_row=1), row)
    assert tables.sql.query("SELECT * FROM _rivet_schedule_events") == []
    found = (await jobs(tables))["pulse"]
    assert found.next_at is None
    assert await history(tables, found) == [row]


async def test_a_schedule_that_is_deleted_takes_its_history_along(tables: EngineTables) -> None:
    storage = await tables.storage()
    await add(storage, EVERY, HistoryRow(action="beat", scheduled_at=1, fired_at=2))
    await storage.apply({SCHEDULE_INDEX_KEY: encode_index(ScheduleIndex(1))}, [job_key(0)])
    assert tables.sql.query("SELECT * FROM _rivet_schedule_events") == []
    assert tables.sql.query("SELECT * FROM _rivet_schedule_history") == []
    assert await later(tables, SCHEDULE_INDEX_KEY) == {}


async def test_rows_of_all_schedules_have_ids_of_their_own(tables: EngineTables) -> None:
    row = HistoryRow(action="beat", scheduled_at=1, fired_at=2, finished_at=3, result="ok")
    await add(await tables.storage(), EVERY, row, row)
    storage = await tables.storage()
    await add(storage, replace(EVERY, slot=1, name="other"), row)
    await storage.apply({}, [history_key(0, 0)])
    assert tables.sql.query("SELECT id, schedule_id FROM _rivet_schedule_history") == [
        (2, "cron:pulse"),
        (3, "cron:other"),
    ]


# --- beside the actor's own transactions ------------------------------------------------------------


async def test_a_write_waits_for_the_end_of_a_transaction(tables: EngineTables) -> None:
    database = tables.database()
    storage = await TableStorage.open(tables, database)
    await database.execute(SqlStatement("CREATE TABLE notes (text)"))
    await database.execute(SqlStatement("BEGIN"))
    writing = asyncio.create_task(storage.apply({b"\x04a": b"1"}))
    await settle()
    await database.execute(SqlStatement("INSERT INTO notes VALUES ('x')"))
    await settle()
    assert not writing.done()
    await database.execute(SqlStatement("ROLLBACK"))
    await writing
    assert tables.sql.query("SELECT key FROM _rivet_user_kv") == [(b"\x04a",)]
    assert tables.sql.query("SELECT * FROM notes") == []


async def test_a_write_notices_that_a_lost_connection_ended_a_transaction(tables: EngineTables) -> None:
    clock = FakeClock()
    database = tables.database(clock)
    storage = await TableStorage.open(tables, database)
    await database.execute(SqlStatement("BEGIN"))
    writing = asyncio.create_task(storage.apply({b"\x04a": b"1"}))
    await settle()
    tables.sql.query("ROLLBACK")
    await clock.advance(1.0)
    await writing


async def test_a_write_does_not_wait_for_ever(tables: EngineTables) -> None:
    clock = FakeClock()
    database = tables.database(clock)
    storage = await TableStorage.open(tables, database)
    await database.execute(SqlStatement("BEGIN"))
    writing = asyncio.create_task(storage.apply({b"\x04a": b"1"}))
    await clock.advance(TRANSACTION_PATIENCE + 1)
    with pytest.raises(StorageError, match="transaction"):
        await writing


async def test_reading_does_not_wait_for_a_transaction(tables: EngineTables) -> None:
    storage = await tables.storage()
    await storage.apply({b"\x04a": b"1", b"\x70\x79\x02": b"2"})
    tables.sql.query("BEGIN")
    assert await storage.load([b"\x04a", b"\x70\x79\x02"]) == {b"\x04a": b"1", b"\x70\x79\x02": b"2"}
