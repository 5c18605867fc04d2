from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.host.embedded.store import DATA_FILE, LOCK_FILE, SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow

Bytes = dict[str, bytes]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "data")
    await opened.open()
    yield opened
    await opened.close()


def contents(directory: Path) -> Bytes:
    """Every file but the lock, byte for byte."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != LOCK_FILE}


async def refusal(store: SqliteStore) -> RivetError:
    with pytest.raises(StorageError) as caught:
        await store.open()
    return caught.value


async def written(directory: Path, records: dict[bytes, bytes]) -> None:
    store = SqliteStore(directory)
    await store.open()
    await store.storage("a").apply(records)
    await store.close()


def edit(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / DATA_FILE)) as connection:
        connection.execute(statement)
        connection.commit()


async def test_concurrent_writes_share_a_commit(store: SqliteStore) -> None:
    before = store.statistics()
    await asyncio.gather(*(store.storage(f"a{number}").apply({b"k": b"v"}) for number in range(100)))
    after = store.statistics()
    assert after.operations - before.operations == 100
    assert after.commits - before.commits < 50
    assert after.largest_group > 1
    assert after.queue_depth == 0


async def test_a_failing_operation_fails_alone(store: SqliteStore) -> None:
    endless = 2**70  # more than a column holds
    good, bad, also_good = await asyncio.gather(
        store.storage("a").apply({b"k": b"1"}),
        store.start_generation("a", endless),
        store.storage("b").apply({b"k": b"2"}),
        return_exceptions=True,
    )
    assert (good, also_good) == (None, None)
    assert isinstance(bad, OverflowError)
    assert await store.storage("b").load([b"k"]) == {b"k": b"2"}


async def test_a_full_queue_holds_callers_back_without_failing_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", max_pending=2)
    await store.open()
    await asyncio.gather(*(store.storage("a").apply({bytes([n]): b"v"}) for n in range(50)))
    assert store.statistics().largest_group <= 2
    assert len(await store.storage("a").load([bytes([n]) for n in range(50)])) == 50
    await store.close()


async def test_closing_commits_what_was_asked_for_before(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", max_pending=2)
    await store.open()
    writes = [asyncio.ensure_future(store.storage("a").apply({bytes([n]): b"v"})) for n in range(20)]
    await checkpoint()
    await store.close()
    assert await asyncio.gather(*writes) == [None] * 20
    await store.open()
    assert len(await store.storage("a").load([bytes([n]) for n in range(20)])) == 20
    await store.close()


async def test_cancelled_writers_free_their_places_in_the_queue(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", max_pending=1)
    await store.open()
    writes = [asyncio.ensure_future(store.storage("a").apply({b"k": b"v"})) for _ in range(10)]
    await checkpoint()
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    await store.storage("a").apply({b"k": b"last"})
    assert await store.storage("a").load([b"k"]) == {b"k": b"last"}
    await store.close()


async def test_a_cancelled_close_still_closes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data")
    await store.open()
    closing_store = asyncio.ensure_future(store.close())
    await checkpoint()
    closing_store.cancel()
    with suppress(asyncio.CancelledError):
        await closing_store
    await store.close()
    await written(tmp_path / "data", {})


async def test_a_cancelled_open_gives_the_directory_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data")
    opening = asyncio.ensure_future(store.open())
    await checkpoint()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await written(tmp_path / "data", {})


def test_an_event_loop_that_ends_before_the_store_harms_nothing(tmp_path: Path) -> None:
    async def abandon() -> None:
        store = SqliteStore(tmp_path / "data")
        await store.open()
        await store.storage("a").apply({b"k": b"v"})
        unawaited = asyncio.ensure_future(store.storage("a").apply({b"k": b"w"}))
        await checkpoint()
        unawaited.cancel()

    asyncio.run(abandon())
    with closing(sqlite3.connect(tmp_path / "data" / DATA_FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


async def test_a_closed_store_leaves_one_data_file(tmp_path: Path) -> None:
    await written(tmp_path / "data", {b"k": b"v"})
    assert sorted(contents(tmp_path / "data")) == [DATA_FILE]


async def test_the_directory_is_private(tmp_path: Path) -> None:
    await written(tmp_path / "deep" / "data", {})
    assert stat.S_IMODE((tmp_path / "deep" / "data").stat().st_mode) == 0o700


async def test_a_second_store_is_told_who_holds_the_directory(store: SqliteStore, tmp_path: Path) -> None:
    refused = await refusal(SqliteStore(tmp_path / "data"))
    assert refused.code == "locked"
    assert str(os.getpid()) in refused.message
    assert str(tmp_path / "data") in refused.message


async def test_a_killed_process_leaves_no_lock_and_loses_nothing(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, signal
from pathlib import Path
from rivetkit_core.host.embedded.store import SqliteStore
async def main():
    store = SqliteStore(Path({str(tmp_path / "data")!r}))
    await store.open()
    await store.storage("a").apply({{b"k": b"v"}})
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], env=environment, check=False)
    assert f"{DATA_FILE}-wal" in contents(tmp_path / "data")
    store = SqliteStore(tmp_path / "data")
    await store.open()
    assert await store.storage("a").load([b"k"]) == {b"k": b"v"}
    await store.close()


def _garbage(directory: Path) -> None:
    (directory / DATA_FILE).write_bytes(b"not a database" * 1000)


def _damaged_page(directory: Path) -> None:
    path = directory / DATA_FILE
    data = bytearray(path.read_bytes())
    data[4096 + 8 : -4096] = b"\xa5" * (len(data) - 2 * 4096 - 8)
    path.write_bytes(data)


def _cut_short(directory: Path) -> None:
    path = directory / DATA_FILE
    path.write_bytes(path.read_bytes()[: 4096 * 2 + 100])


def _foreign(directory: Path) -> None:
    (directory / DATA_FILE).unlink()
    edit(directory, "CREATE TABLE theirs (a)")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_garbage, id="not-sqlite"),
        pytest.param(_damaged_page, id="damaged-pages"),
        pytest.param(_cut_short, id="cut-short"),
        pytest.param(_foreign, id="another-program"),
    ],
)
async def test_a_damaged_file_is_refused_untouched(damage: Callable[[Path], None], tmp_path: Path) -> None:
    await written(tmp_path, {bytes([n]): os.urandom(3000) for n in range(100)})
    damage(tmp_path)
    before = contents(tmp_path)
    refused = await refusal(SqliteStore(tmp_path))
    assert refused.code == "corrupt"
    assert "\n" not in refused.message
    assert contents(tmp_path) == before


async def test_a_refused_directory_is_not_left_locked(tmp_path: Path) -> None:
    _garbage(tmp_path)
    store = SqliteStore(tmp_path)
    assert (await refusal(store)).code == "corrupt"
    assert (await refusal(store)).code == "corrupt"


async def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    await written(tmp_path, {b"k": b"v"})
    edit(tmp_path, "PRAGMA user_version = 99")
    before = contents(tmp_path)
    refused = await refusal(SqliteStore(tmp_path))
    assert refused.code == "newer_schema"
    assert "99" in refused.message
    assert contents(tmp_path) == before


async def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).touch()
    await written(tmp_path, {b"k": b"v"})


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = await refusal(SqliteStore(tmp_path / "file" / "data"))
    assert refused.code == "unavailable"
    assert str(tmp_path / "file" / "data") in refused.message
    assert "\n" not in refused.message


async def test_something_else_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).mkdir()
    refused = await refusal(SqliteStore(tmp_path))
    assert refused.code in {"corrupt", "unavailable"}
    assert DATA_FILE in refused.message
    assert "\n" not in refused.message


async def test_a_full_disk_fails_the_write_as_a_whole_and_says_what_to_do(store: SqliteStore) -> None:
    await store.limit_size(200_000)
    fitting = {bytes([n]): b"small" for n in range(150)}
    with pytest.raises(StorageError, match="free some space") as caught:
        await store.storage("a").apply({**fitting, b"large": bytes(400_000)})
    assert caught.value.code == "unavailable"
    assert await store.storage("a").load([*fitting, b"large"]) == {}


async def test_writes_succeed_again_after_a_full_disk(store: SqliteStore) -> None:
    await store.limit_size(200_000)
    with pytest.raises(StorageError):
        await store.storage("a").apply({b"k": bytes(400_000)})
    await store.limit_size(None)
    await store.storage("a").apply({b"k": bytes(400_000)})
    assert await store.storage("a").load([b"k"]) == {b"k": bytes(400_000)}


async def test_small_writes_survive_a_neighbour_that_fills_the_disk(store: SqliteStore) -> None:
    await store.limit_size(200_000)
    outcomes = await asyncio.gather(
        store.storage("a").apply({b"k": b"small"}),
        store.storage("b").apply({b"k": bytes(400_000)}),
        store.storage("c").apply({b"k": b"small"}),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StorageError, type(None)]
    assert await store.storage("c").load([b"k"]) == {b"k": b"small"}


async def test_a_name_that_no_file_can_hold_fails_alone(store: SqliteStore) -> None:
    row = ActorRow(actor_id="a", name="\ud800", key=None, namespace="default", create_ts=1)
    with pytest.raises(UnicodeEncodeError):
        await store.create_actor(row, {})
    assert await store.find_by_id("a") is None
