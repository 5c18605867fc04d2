"""Statements and records of one actor, committed together although they are in two files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rivetkit_core.errors import RivetError, StorageError
from rivetkit_core.host.embedded.database_file import DatabaseFile
from rivetkit_core.host.embedded.databases import Databases, FileMedium
from rivetkit_core.host.embedded.joint import FINISHED_KEY
from rivetkit_core.host.port import ActorDatabase, JointCommit, SqlStatement
from rivetkit_core.testing.store import MemoryStorage

ACTOR = "a"


class CountingMedium(FileMedium):
    """Counts how often a file was opened."""

    opened = 0

    def open(self, actor_id: str) -> DatabaseFile:
        self.opened += 1
        return super().open(actor_id)


class Recordings(MemoryStorage):
    """Records that can be read while they cannot be written."""

    refuses = False

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        if self.refuses:
            raise StorageError("storage", "unavailable")
        await super().apply(puts, deletes)


class Disk:
    """What is left when a process ends: files and records. ``open`` is the next process."""

    def __init__(self, path: Path) -> None:
        self.medium = CountingMedium(path)
        self.records = Recordings()
        self.databases = Databases(self.medium, threads=0)

    def open(self) -> tuple[ActorDatabase, JointCommit]:
        database = self.databases.database(ACTOR, self.records)
        assert database.joint is not None
        return database, database.joint

    async def end(self) -> None:
        """The process ends; what was open is rolled back."""
        await self.databases.close()
        self.databases = Databases(self.medium, threads=0)

    async def start(self) -> tuple[ActorDatabase, JointCommit]:
        """The next generation starts."""
        await self.databases.finish(ACTOR, self.records)
        return self.open()

    @contextmanager
    def refusing(self) -> Generator[None]:
        """Records cannot be written."""
        self.records.refuses = True
        yield
        self.records.refuses = False

    @property
    def stored(self) -> dict[bytes, bytes]:
        return {key: value for key, value in self.records.records.items() if key != FINISHED_KEY}


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncGenerator[Disk]:
    made = Disk(tmp_path / "databases")
    database, _ = made.open()
    await run(database, "CREATE TABLE t (a)")
    yield made
    await made.databases.close()


async def run(database: ActorDatabase, sql: str) -> list[tuple[object, ...]]:
    return list((await database.execute(SqlStatement(sql))).rows)


async def commit_half(disk: Disk, value: bytes) -> None:
    """Insert a row and write a record, and end between the two commits."""
    database, joint = disk.open()
    assert await joint.begin()
    await run(database, "INSERT INTO t VALUES (1)")
    with disk.refusing(), pytest.raises(StorageError):
        await joint.commit({b"key": value}, [b"gone"])


async def test_both_are_committed(disk: Disk) -> None:
    disk.records.records[b"gone"] = b""
    database, joint = disk.open()
    assert await joint.begin()
    await run(database, "INSERT INTO t VALUES (1)")
    await joint.commit({b"key": b"1"}, [b"gone"])
    await disk.end()
    database, _ = await disk.start()
    assert await run(database, "SELECT a FROM t") == [(1,)]
    assert disk.stored == {b"key": b"1"}


async def test_neither_is_there_without_a_commit(disk: Disk) -> None:
    database, joint = disk.open()
    assert await joint.begin()
    await run(database, "INSERT INTO t VALUES (1)")
    await disk.end()
    database, _ = await disk.start()
    assert await run(database, "SELECT a FROM t") == []
    assert disk.stored == {}


async def test_the_next_start_finishes_what_was_cut_in_two(disk: Disk) -> None:
    await warm_up(disk)
    disk.records.records[b"gone"] = b""
    await commit_half(disk, b"2")
    assert disk.stored == {b"key": b"1", b"gone": b""}
    await disk.end()
    database, _ = await disk.start()
    assert await run(database, "SELECT count(*) FROM t") == [(2,)]
    assert disk.stored == {b"key": b"2"}


async def warm_up(disk: Disk) -> None:
    database, joint = disk.open()
    assert await joint.begin()
    await run(database, "INSERT INTO t VALUES (0)")
    await joint.commit({b"key": b"1"})


async def test_what_was_finished_is_not_written_again(disk: Disk) -> None:
    await warm_up(disk)
    await disk.records.apply({b"key": b"newer"})
    await disk.end()
    await disk.start()
    assert disk.stored == {b"key": b"newer"}


async def test_the_same_generation_finishes_it_before_it_commits_again(disk: Disk) -> None:
    database, joint = disk.open()
    assert await joint.begin()
    await run(database, "INSERT INTO t VALUES (1)")
    with disk.refusing(), pytest.raises(StorageError):
        await joint.commit({b"first": b"1", b"key": b"1"})
    await joint.commit({b"key": b"2"})
    assert disk.stored == {b"first": b"1", b"key": b"2"}
    await disk.end()
    await disk.start()
    assert disk.stored == {b"first": b"1", b"key": b"2"}


async def test_numbers_go_on_when_the_file_was_lost(disk: Disk) -> None:
    await warm_up(disk)
    await disk.databases.delete(ACTOR)
    database, _ = disk.open()
    await run(database, "CREATE TABLE t (a)")
    await warm_up(disk)
    assert int.from_bytes(disk.records.records[FINISHED_KEY], "big") == 2


async def test_a_start_after_a_whole_commit_opens_no_file(disk: Disk) -> None:
    await warm_up(disk)
    await disk.databases.release(ACTOR)
    opened = disk.medium.opened
    await disk.start()
    assert disk.medium.opened == opened


async def test_a_file_that_cannot_be_read_fails_the_start(disk: Disk, tmp_path: Path) -> None:
    await disk.end()
    for file in (tmp_path / "databases").iterdir():
        file.write_bytes(b"no database" * 100)
    with pytest.raises(RivetError):
        await disk.start()


async def test_other_statements_do_not_pay_for_the_flush(disk: Disk) -> None:
    def level(file: DatabaseFile) -> object:
        with file._trusting() as connection:  # pyright: ignore[reportPrivateUsage]  # nothing else knows
            return connection.execute("PRAGMA synchronous").fetchone()[0]

    before = await disk.databases.run(ACTOR, level)
    _, joint = disk.open()
    assert await joint.begin()
    during = await disk.databases.run(ACTOR, level)
    await joint.commit({b"key": b"1"})
    assert (before, during, await disk.databases.run(ACTOR, level)) == (1, 2, 1)
