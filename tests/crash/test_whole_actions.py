"""A strict action is found whole or not at all, in every store, wherever the process dies.

Every commit to a file is a point at which it may die, before or after. A copy of the files stands for the
disk then; after a failure of the power, the logs have also lost what was not flushed.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rivetkit import Actor, Queue, action, actor
from rivetkit._compiler import compile_actor
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.database_file import DatabaseFile
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import DATA_FILE, DATABASES_DIRECTORY, SqliteStore
from rivetkit_core.host.embedded.writer import GroupWriter
from rivetkit_core.host.port import ByKey
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import (
    ACTOR_KEY,
    QUEUE_MESSAGE_PREFIX,
    QUEUE_METADATA_KEY,
    decode_actor,
    decode_queue_message,
    decode_queue_metadata,
)

_FAR = datetime(2100, 1, 1, tzinfo=UTC)
_TARGET = ByKey("ledger", ("l",), create=True)
_CALLS = 3


@actor(durability="strict")
class Ledger(Actor):
    """Writes the same number to every store it has."""

    state: int = 0
    entries = Queue[int]()

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.migrate(["CREATE TABLE entries (number INTEGER)", "CREATE TABLE halves (number)"])

    @action
    async def enter(self) -> int:
        number = self.state + 1
        await self.ctx.kv.put(f"{number}a", "first")
        await self.ctx.db.execute("INSERT INTO entries VALUES (?)", [number])
        await self.entries.send(number)
        self.state = number
        async with self.ctx.db.transaction() as tx:
            for _ in range(2):
                await tx.execute("INSERT INTO halves VALUES (?)", [number])
        await self.ctx.schedule.at(_FAR, Ledger.enter)
        await self.ctx.kv.put(f"{number}b", "last")
        await self.ctx.db.execute_batch(
            [("UPDATE entries SET number = number", ()), ("DELETE FROM entries WHERE number < 0", ())]
        )
        return number


class Death(sqlite3.OperationalError):
    """The process is gone."""


@dataclass
class Fate:
    """Counts the points at which the process may die, and copies the files at the chosen one."""

    data_dir: Path
    copy: Path
    chosen: int
    points: int = 0
    dead: bool = False
    flushed: dict[str, int] = field(default_factory=dict[str, int])

    def pass_point(self) -> None:
        if self.dead:
            raise Death
        self.points += 1
        if self.points == self.chosen:
            self.dead = True
            shutil.copytree(self.data_dir, self.copy)
            raise Death

    def flush(self, log: Path) -> None:
        """What the log holds now is on the disk."""
        self.flushed[log.name] = log.stat().st_size if log.exists() else 0

    def cut_power(self) -> None:
        """Take from the copy's logs what was never flushed."""
        for log in self.copy.rglob("*-wal"):
            with log.open("r+b") as file:
                file.truncate(min(self.flushed.get(log.name, 0), log.stat().st_size))
        for index in self.copy.rglob("*-shm"):
            index.unlink()


def interpose(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Make every commit of either file a point, before and after."""
    write = GroupWriter._within_one  # pyright: ignore[reportPrivateUsage]  # the commit itself
    commit, execute = DatabaseFile.commit_joint, DatabaseFile.execute

    def store_commit(writer: GroupWriter, group: Sequence[object]) -> list[object]:
        fate.pass_point()
        outcomes = write(writer, group)  # pyright: ignore[reportArgumentType]  # handed on as it came
        if flushes(writer):
            fate.flush(fate.data_dir / (DATA_FILE + "-wal"))
        fate.pass_point()
        return outcomes

    def joint_commit(file: DatabaseFile, number: int, changes: bytes) -> None:
        fate.pass_point()
        flushed = flushes(file)
        commit(file, number, changes)
        for log in (fate.data_dir / DATABASES_DIRECTORY).glob("*-wal") if flushed else ():
            fate.flush(log)
        fate.pass_point()

    def statement(file: DatabaseFile, *args: object) -> object:
        fate.pass_point()
        return execute(file, *args)  # pyright: ignore[reportArgumentType]  # handed on as it came

    monkeypatch.setattr(GroupWriter, "_within_one", store_commit)
    monkeypatch.setattr(DatabaseFile, "commit_joint", joint_commit)
    monkeypatch.setattr(DatabaseFile, "execute", statement)


def flushes(owner: GroupWriter | DatabaseFile) -> bool:
    """Whether SQLite waits for the disk at a commit of this connection."""
    connection = owner._connection  # pyright: ignore[reportPrivateUsage]  # nothing else knows
    if isinstance(owner, DatabaseFile):
        with owner._trusting():  # pyright: ignore[reportPrivateUsage]  # actors may not ask
            [(level,)] = connection.execute("PRAGMA synchronous").fetchall()
    else:
        [(level,)] = connection.execute("PRAGMA synchronous").fetchall()
    return level >= 2


async def live(data_dir: Path) -> tuple[str, int]:
    """Call until the process dies; the actor's id, and how many calls were answered."""
    store = SqliteStore(data_dir)
    host = EmbeddedHost([compile_actor(Ledger)], store=store, clock=SystemClock(), entropy=SeededEntropy(1))
    await host.open()
    answered, actor_id = 0, ""
    try:
        actor_id = await host.access.resolve(_TARGET)
        for _ in range(_CALLS):
            await host.access.call(_TARGET, "enter", cbor.encode([]), params=None)
            answered += 1
    except RivetError:
        pass
    await host.close()
    return actor_id, answered


@dataclass(frozen=True)
class Found:
    state: int
    keys: int
    entries: int
    halves: int
    messages: int
    counted: int
    planned: int

    @property
    def numbers(self) -> set[int]:
        return {self.state, self.keys // 2, self.entries, self.halves // 2, self.messages, self.planned}


async def found(data_dir: Path, actor_id: str) -> Found | None:
    """What the next start of the actor finds; None if it was never made, or made but not initialized."""
    store = SqliteStore(data_dir)
    await store.open()
    try:
        if await store.find_by_id(actor_id) is None:
            return None
        await store.start_generation(actor_id, 0)
        records = dict(await store.storage(actor_id).list_range(b"\x01", b"\x7f"))
    finally:
        await store.close()
    snapshot = decode_actor(records[ACTOR_KEY]) if ACTOR_KEY in records else None
    if snapshot is None or not snapshot.has_initialized:
        return None
    metadata = records.get(QUEUE_METADATA_KEY)
    messages = [decode_queue_message(value) for key, value in records.items() if _is_message(key)]
    return Found(
        state=_number(cbor.decode(snapshot.state)),
        keys=sum(key[:1] == b"\x04" for key in records),
        entries=_count(data_dir, actor_id, "SELECT count(*) FROM entries"),
        halves=_count(data_dir, actor_id, "SELECT count(*) FROM halves"),
        messages=len(messages),
        counted=0 if metadata is None else decode_queue_metadata(metadata).size,
        planned=len(snapshot.scheduled_events),
    )


def _is_message(key: bytes) -> bool:
    return key.startswith(QUEUE_MESSAGE_PREFIX)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _count(data_dir: Path, actor_id: str, query: str) -> int:
    connection = sqlite3.connect(data_dir / DATABASES_DIRECTORY / f"{actor_id}.db")
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


async def points_of_a_life(tmp_path: Path) -> int:
    with pytest.MonkeyPatch.context() as monkeypatch:
        fate = Fate(tmp_path / "count", tmp_path / "unused", chosen=-1)
        interpose(monkeypatch, fate)
        actor_id, answered = await live(tmp_path / "count")
        assert answered == _CALLS
    whole = await found(tmp_path / "count", actor_id)
    assert whole is not None
    assert (whole.numbers, whole.counted) == ({_CALLS}, _CALLS)
    return fate.points


async def every_death(tmp_path: Path, check: Callable[[Fate], None]) -> set[int]:
    """Die at every point; how many whole actions were found."""
    seen: set[int] = set()
    for chosen in range(1, await points_of_a_life(tmp_path) + 1):
        data_dir = tmp_path / f"life{chosen}"
        fate = Fate(data_dir, tmp_path / f"disk{chosen}", chosen)
        with pytest.MonkeyPatch.context() as monkeypatch:
            interpose(monkeypatch, fate)
            actor_id, answered = await live(data_dir)
        check(fate)
        left = await found(fate.copy, actor_id)
        where = f"died at point {chosen}, answered {answered}: {left}"
        if left is None:
            assert answered == 0, where
            continue
        assert len(left.numbers) == 1, where
        assert left.counted == left.messages, where
        assert left.state >= answered, where
        seen.add(left.state)
    return seen


@pytest.mark.timeout(240)
async def test_a_process_that_dies_anywhere_leaves_whole_actions(tmp_path: Path) -> None:
    assert await every_death(tmp_path, lambda fate: None) == set(range(_CALLS + 1))


@pytest.mark.timeout(240)
async def test_a_failure_of_the_power_leaves_whole_actions(tmp_path: Path) -> None:
    assert await every_death(tmp_path, Fate.cut_power) == set(range(1, _CALLS + 1))
