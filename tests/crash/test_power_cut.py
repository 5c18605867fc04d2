"""What the files hold at any moment: copies of them stand for the disk after a cut.

A copy between commits must hold everything acknowledged. A copy whose log lost its tail, as after a power
failure, must hold whole commits only, with none missing in between.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from pydantic import BaseModel

from rivetkit import Actor, Event, action, actor
from rivetkit._compiler import compile_actor
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import DATA_FILE, SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow
from rivetkit_core.host.port import ByKey
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, SubscriptionRequest
from rivetkit_core.wire.messages import Event as EventMessage
from rivetkit_core.wire.persisted import ACTOR_KEY, decode_actor

_KEYS: tuple[bytes, ...] = (b"a", b"b", b"c")
_NAME, _NAMESPACE = "thing", "default"
_LOG = DATA_FILE + "-wal"

Contents = Mapping[str, tuple[bool, int, Mapping[bytes, bytes]]]
"""By actor id: whether it is destroyed, its generation, its records."""


def _row(number: int) -> ActorRow:
    return ActorRow(
        actor_id=f"id{number}", name=_NAME, key=(f"k{number}",), namespace=_NAMESPACE, create_ts=number
    )


@dataclass
class Model:
    """Random work on a store, and what the store must hold after each acknowledged step."""

    chance: random.Random
    actors: dict[str, tuple[bool, int, dict[bytes, bytes]]] = field(
        default_factory=dict[str, tuple[bool, int, dict[bytes, bytes]]]
    )

    async def step(self, store: SqliteStore, number: int) -> None:
        """Create, change, start or destroy one actor; every change touches several rows."""
        value = b"%d" % number
        records = dict.fromkeys(_KEYS, value)
        living = [actor_id for actor_id, (destroyed, *_) in self.actors.items() if not destroyed]
        actor_id = self.chance.choice(living) if living else ""
        match self.chance.choice(["create", "apply", "apply", "apply", "start", "destroy"]):
            case "apply" if actor_id:
                removed = self.chance.choice(_KEYS)
                kept = {key: value for key in _KEYS if key != removed}
                await store.storage(actor_id).apply(kept, [removed])
                self._replace(actor_id, records=kept)
            case "start" if actor_id:
                self._replace(actor_id, generation=await store.start_generation(actor_id, number))
            case "destroy" if actor_id:
                await store.mark_destroyed(actor_id, number)
                self._replace(actor_id, destroyed=True, records={})
            case _:
                row = _row(number)
                await store.create_actor(row, records)
                self.actors[row.actor_id] = (False, 0, records)

    def snapshot(self) -> Contents:
        return dict(self.actors)

    def _replace(
        self,
        actor_id: str,
        *,
        destroyed: bool | None = None,
        generation: int | None = None,
        records: dict[bytes, bytes] | None = None,
    ) -> None:
        was = self.actors[actor_id]
        self.actors[actor_id] = (
            was[0] if destroyed is None else destroyed,
            was[1] if generation is None else generation,
            was[2] if records is None else records,
        )


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(data_dir)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def copy_files(data_dir: Path, target: Path) -> Path:
    """The disk at this moment; the shared-memory file is part of it, as after a kill."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file in data_dir.glob(DATA_FILE + "*"):
        shutil.copyfile(file, target / file.name)
    return target


async def contents(data_dir: Path) -> Contents:
    async with opened(data_dir) as store:
        rows, cursor = await store.list_actors(_NAMESPACE, _NAME, limit=1000, include_destroyed=True)
        assert cursor is None
        return {
            row.actor_id: (
                row.destroy_ts is not None,
                row.generation,
                await store.storage(row.actor_id).load(_KEYS),
            )
            for row in rows
        }


@pytest.mark.parametrize("seed", range(5))
async def test_a_copy_between_commits_holds_everything_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    model = Model(chance)
    async with opened(tmp_path / "data") as store:
        for number in range(200):
            await model.step(store, number)
            if chance.random() < 0.1:
                copy = copy_files(tmp_path / "data", tmp_path / "copy")
                assert await contents(copy) == model.snapshot()


@pytest.mark.parametrize("garbage", [False, True], ids=["cut-off", "overwritten"])
@pytest.mark.parametrize("seed", range(5))
async def test_a_torn_log_loses_whole_commits_from_its_end_only(
    tmp_path: Path, seed: int, garbage: bool
) -> None:
    chance = random.Random(seed)
    model = Model(chance)
    history = [model.snapshot()]
    async with opened(tmp_path / "data") as store:
        for number in range(60):
            await model.step(store, number)
            history.append(model.snapshot())
        whole = copy_files(tmp_path / "data", tmp_path / "whole")
    size = (whole / _LOG).stat().st_size
    oldest = 0
    for length in sorted(chance.randrange(size) for _ in range(20)):
        torn = copy_files(whole, tmp_path / "torn")
        data = (torn / _LOG).read_bytes()
        (torn / _LOG).write_bytes(data[:length] + (chance.randbytes(size - length) if garbage else b""))
        (torn / (DATA_FILE + "-shm")).unlink()
        found = await contents(torn)
        assert found in history[oldest:], f"cut at {length} of {size}"
        oldest = history.index(found, oldest)
    assert oldest > 0, "no cut left anything"


async def test_concurrent_work_is_whole_in_a_copy_once_acknowledged(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        for number in range(16):
            row = _row(number)
            await store.create_actor(row, {})
        for burst in range(20):
            records = dict.fromkeys(_KEYS, b"%d" % burst)
            await asyncio.gather(*(store.storage(f"id{number}").apply(records) for number in range(16)))
            found = await contents(copy_files(tmp_path / "data", tmp_path / "copy"))
            assert [held for _, _, held in found.values()] == [records] * 16
        assert store.statistics().largest_group > 1


class Total(BaseModel):
    value: int = 0


@actor(durability="strict")
class Purse(Actor):
    state: Total
    changed = Event[int]()

    @action
    async def add(self, amount: int) -> int:
        self.state.value += amount
        self.changed.broadcast(self.state.value)
        return self.state.value


async def test_what_a_strict_actor_shows_is_on_the_disk_at_that_moment(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    host = EmbeddedHost(
        [compile_actor(Purse)], store=SqliteStore(data_dir), clock=SystemClock(), entropy=SeededEntropy(1)
    )
    await host.open()
    target = ByKey("purse", ("p",), create=True)
    link = await host.access.connect(target, params=None)
    await link.receive()
    link.send(SubscriptionRequest("changed", subscribe=True))
    actor_id = await host.access.resolve(target)
    for number in range(1, 31):
        link.send(ActionRequest(number, "add", cbor.encode([1])))
        for _ in range(2):
            shown = _shown(await link.receive())
            copy = copy_files(data_dir, tmp_path / "copy")
            assert shown == number
            assert await _stored_total(copy, actor_id) == number
    await link.close()
    assert await host.close() == 0


def _shown(message: object) -> object:
    match message:
        case ActionResponse(_, output):
            return cbor.decode(output)
        case EventMessage(_, args):
            values = cbor.decode(args)
            assert isinstance(values, list)
            return cast("list[object]", values)[0]
        case _:
            raise AssertionError(message)


async def _stored_total(data_dir: Path, actor_id: str) -> int:
    async with opened(data_dir) as store:
        records = await store.storage(actor_id).load([ACTOR_KEY])
    return Total.model_validate(cbor.decode(decode_actor(records[ACTOR_KEY]).state)).value
