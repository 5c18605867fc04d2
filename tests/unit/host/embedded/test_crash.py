"""Random lives of a store, cut at any moment by copying its files as a killed process leaves them."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.store import DATA_FILE, SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow

ACTORS = 6
PAIR = (b"\x01", b"\x02")  # always written together with equal values


class History:
    """What the store acknowledged and what was still under way, per actor."""

    def __init__(self) -> None:
        self.begun = [0] * ACTORS
        self.acknowledged = [0] * ACTORS
        self.generations = [0] * ACTORS


def copied(source: Path, target: Path) -> Path:
    """The data file and its log, byte by byte; the log last, as it grows while the data file stands still."""
    target.mkdir()
    for name in (DATA_FILE, f"{DATA_FILE}-wal"):
        shutil.copyfile(source / name, target / name)
    return target


async def live(store: SqliteStore, number: int, history: History, dice: random.Random) -> None:
    """One actor: create, write pairs of growing numbers, start lives, now and then collide with a key."""
    actor_id = f"actor-{number}"
    row = ActorRow(actor_id=actor_id, name="room", key=(str(number),), namespace="n", create_ts=number)
    await store.create_actor(row, dict.fromkeys(PAIR, b"0"))
    storage = store.storage(actor_id)
    for count in range(1, 40):
        history.begun[number] = count
        await storage.apply(dict.fromkeys(PAIR, str(count).encode()))
        history.acknowledged[number] = count
        if dice.random() < 0.2:
            history.generations[number] = await store.start_generation(actor_id, count)
        if dice.random() < 0.2:
            with pytest.raises(RivetError, match="duplicate_key"):
                await store.create_actor(
                    ActorRow(actor_id="x", name="room", key=(str(number),), namespace="n", create_ts=0), {}
                )


async def require_everything_acknowledged(directory: Path, history: History, known: History) -> None:
    store = SqliteStore(directory)
    await store.open()
    for number in range(ACTORS):
        values = await store.storage(f"actor-{number}").load(PAIR)
        assert len(set(values.values())) <= 1, "a pair was torn"
        assert len(values) in (0, 2), "a pair was torn"
        stored = int(next(iter(values.values()), b"0"))
        assert known.acknowledged[number] <= stored <= history.begun[number]
        row = await store.find_by_id(f"actor-{number}")
        assert known.generations[number] <= (0 if row is None else row.generation)
        assert (row is None) == (values == {}), "an actor came without its records"
    await store.close()


@pytest.mark.parametrize("seed", range(12))
async def test_a_crash_at_any_moment_loses_nothing_acknowledged(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    store = SqliteStore(tmp_path / "data")
    await store.open()
    history = History()
    cut_after = dice.randrange(1, ACTORS * 30)
    async with asyncio.TaskGroup() as lives:
        for number in range(ACTORS):
            lives.create_task(live(store, number, history, random.Random(seed * 100 + number)))
        while sum(history.acknowledged) < cut_after:
            await store.find_by_id("nobody")
        known = History()
        known.acknowledged = list(history.acknowledged)
        known.generations = list(history.generations)
        crashed = copied(tmp_path / "data", tmp_path / "crashed")
    await store.close()
    await require_everything_acknowledged(crashed, history, known)


async def test_a_log_torn_in_its_last_commit_loses_only_that(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data")
    await store.open()
    storage = store.storage("a")
    await storage.apply(dict.fromkeys(PAIR, b"first"))
    size = (tmp_path / "data" / f"{DATA_FILE}-wal").stat().st_size
    await storage.apply({**dict.fromkeys(PAIR, b"second"), b"\x03": bytes(20_000)})
    crashed = copied(tmp_path / "data", tmp_path / "crashed")
    await store.close()
    log = crashed / f"{DATA_FILE}-wal"
    log.write_bytes(log.read_bytes()[: (size + log.stat().st_size) // 2])
    recovered = SqliteStore(crashed)
    await recovered.open()
    assert await recovered.storage("a").load([*PAIR, b"\x03"]) == dict.fromkeys(PAIR, b"first")
    await recovered.close()
