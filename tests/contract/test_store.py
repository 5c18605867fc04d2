"""What every host store promises, over each implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from rivetkit_core.errors import ActorNotFound, RivetError, StorageError
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow, HostStore
from rivetkit_core.testing import MemoryStore

Factory = Callable[[Path], HostStore]


def in_a_file(path: Path) -> HostStore:
    return SqliteStore(path / "data")


def in_sqlite_memory(path: Path) -> HostStore:
    return SqliteStore(None)


def in_memory(path: Path) -> HostStore:
    return MemoryStore()


DURABLE = [pytest.param(in_a_file, id="sqlite-file"), pytest.param(in_memory, id="memory")]
ALL = [*DURABLE, pytest.param(in_sqlite_memory, id="sqlite-memory")]


@pytest.fixture(params=ALL)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostStore]:
    factory: Factory = request.param
    opened = factory(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


def actor(number: int = 1, *, name: str = "room", key: tuple[str, ...] | None = None) -> ActorRow:
    return ActorRow(
        actor_id=f"actor-{number}", name=name, key=key, namespace="default", create_ts=1000 + number
    )


async def test_a_created_actor_is_found_by_its_id(store: HostStore) -> None:
    row = ActorRow(
        actor_id="a",
        name="room",
        key=("org", 'q"/\\', ""),
        namespace="default",
        create_ts=1,
        region="eu",
        crash_policy="destroy",
        runner_name="pool",
    )
    await store.create_actor(row, {})
    assert await store.find_by_id("a") == row


@pytest.mark.parametrize("key", [(), ("",), ("a", "b"), ("a/b",), ("\ud800",), ("ünïcode", "\0")])
async def test_a_created_actor_is_found_by_its_key(store: HostStore, key: tuple[str, ...]) -> None:
    row = actor(key=key)
    await store.create_actor(row, {})
    assert await store.find_by_key("default", "room", key) == row


async def test_keys_belong_to_a_name_and_a_namespace(store: HostStore) -> None:
    await store.create_actor(actor(key=("k",)), {})
    assert await store.find_by_key("default", "other", ("k",)) is None
    assert await store.find_by_key("other", "room", ("k",)) is None


async def test_an_actor_without_a_key_is_not_the_one_with_the_empty_key(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    await store.create_actor(actor(2), {})
    assert await store.find_by_key("default", "room", ()) is None


async def test_an_unknown_id_finds_nothing(store: HostStore) -> None:
    assert await store.find_by_id("nobody") is None


async def test_a_key_in_use_names_the_actor_that_has_it(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("a", "b/c")), {})
    with pytest.raises(RivetError) as caught:
        await store.create_actor(actor(2, key=("a", "b/c")), {b"\x01": b"second"})
    assert (caught.value.group, caught.value.code) == ("actor", "duplicate_key")
    assert caught.value.metadata == {"existing_actor_id": "actor-1", "key": "a/b\\/c"}


async def test_a_refused_creation_leaves_no_records(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("k",)), {b"\x01": b"first"})
    with pytest.raises(RivetError):
        await store.create_actor(actor(2, key=("k",)), {b"\x01": b"second"})
    assert await store.storage("actor-2").load([b"\x01"]) == {}


async def test_an_id_is_never_used_twice(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    with pytest.raises(ValueError, match="actor-1"):
        await store.create_actor(actor(1), {})


async def test_of_many_creations_with_one_key_exactly_one_wins(store: HostStore) -> None:
    outcomes = await asyncio.gather(
        *(store.create_actor(actor(number, key=("k",)), {}) for number in range(20)), return_exceptions=True
    )
    winner = await store.find_by_key("default", "room", ("k",))
    assert outcomes.count(None) == 1
    assert winner is not None
    assert outcomes[int(winner.actor_id.removeprefix("actor-"))] is None


async def test_first_records_come_with_the_actor(store: HostStore) -> None:
    await store.create_actor(actor(1), {b"\x01": b"snapshot", b"\x03": b"token"})
    found = await store.storage("actor-1").load([b"\x01", b"\x02", b"\x03"])
    assert found == {b"\x01": b"snapshot", b"\x03": b"token"}


async def test_records_of_two_actors_are_apart(store: HostStore) -> None:
    await store.storage("a").apply({b"k": b"1"})
    await store.storage("b").apply({b"k": b"2"})
    assert await store.storage("a").load([b"k"]) == {b"k": b"1"}


async def test_a_write_replaces_and_deletes(store: HostStore) -> None:
    storage = store.storage("a")
    await storage.apply({b"k": b"1", b"gone": b"2"})
    await storage.apply({b"k": b"3", b"new": b""}, [b"gone", b"never"])
    assert await storage.load([b"k", b"gone", b"new"]) == {b"k": b"3", b"new": b""}


async def test_a_key_both_put_and_deleted_is_deleted(store: HostStore) -> None:
    storage = store.storage("a")
    await storage.apply({b"k": b"1"}, [b"k"])
    assert await storage.load([b"k"]) == {}


async def test_a_key_deleted_and_put_again_at_once_is_there(store: HostStore) -> None:
    storage = store.storage("a")
    await storage.apply({b"k": b"1"})
    await asyncio.gather(storage.apply({}, [b"k"]), storage.apply({b"k": b"2"}))
    assert await storage.load([b"k"]) == {b"k": b"2"}


async def test_one_write_takes_thousands_of_records(store: HostStore) -> None:
    records = {number.to_bytes(4, "big"): bytes(number % 7) for number in range(3000)}
    storage = store.storage("a")
    await storage.apply(records)
    assert await storage.load([*records, b"missing"]) == records
    await storage.apply({}, list(records))
    assert await storage.load(list(records)) == {}


async def test_changing_the_arguments_later_changes_nothing(store: HostStore) -> None:
    puts, deletes = {b"k": b"1"}, [b"old"]
    writing = asyncio.ensure_future(store.storage("a").apply(puts, deletes))
    await checkpoint()  # the write has begun
    puts[b"k"] = b"2"
    deletes.append(b"k")
    await writing
    assert await store.storage("a").load([b"k"]) == {b"k": b"1"}


async def test_a_cancelled_write_may_be_repeated(store: HostStore) -> None:
    storage = store.storage("a")
    writing = asyncio.ensure_future(storage.apply({b"k": b"1"}))
    await checkpoint()  # the write has begun
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    await storage.apply({b"k": b"1"})
    assert await storage.load([b"k"]) == {b"k": b"1"}


async def test_generations_count_from_one(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    assert await store.start_generation("actor-1", 5) == 1
    assert await store.start_generation("actor-1", 6) == 2
    row = await store.find_by_id("actor-1")
    assert row is not None
    assert (row.generation, row.start_ts) == (2, 6)


async def test_an_unknown_actor_does_not_start(store: HostStore) -> None:
    with pytest.raises(ActorNotFound):
        await store.start_generation("nobody", 5)


async def test_a_destroyed_actor_does_not_start(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    await store.mark_destroyed("actor-1", 5)
    with pytest.raises(ActorNotFound):
        await store.start_generation("actor-1", 6)


async def test_a_start_leaves_its_times(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    await store.start_generation("actor-1", 5)
    await store.start_generation("actor-1", 8)
    row = await store.find_by_id("actor-1")
    assert row is not None
    assert (row.start_ts, row.connectable_ts, row.sleep_ts) == (8, 8, None)


async def test_destroying_frees_the_key_and_deletes_the_records(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("k",)), {b"\x01": b"snapshot"})
    await store.mark_destroyed("actor-1", 5)
    assert await store.find_by_key("default", "room", ("k",)) is None
    assert await store.storage("actor-1").load([b"\x01"]) == {}
    await store.create_actor(actor(2, key=("k",)), {})


async def test_a_destroyed_actor_is_still_found_by_id(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    await store.mark_destroyed("actor-1", 5)
    await store.mark_destroyed("actor-1", 6)
    row = await store.find_by_id("actor-1")
    assert row is not None
    assert row.destroy_ts == 5


async def test_actors_are_listed_newest_first_in_pages(store: HostStore) -> None:
    for number in range(5):
        await store.create_actor(actor(number), {})
    first, cursor = await store.list_actors("default", "room", limit=2)
    second, cursor = await store.list_actors("default", "room", limit=2, cursor=cursor)
    third, end = await store.list_actors("default", "room", limit=2, cursor=cursor)
    ids = [[row.actor_id for row in page] for page in (first, second, third)]
    assert ids == [["actor-4", "actor-3"], ["actor-2", "actor-1"], ["actor-0"]]
    assert end is None


async def test_a_cursor_survives_actors_coming_and_going(store: HostStore) -> None:
    for number in range(4):
        await store.create_actor(actor(number), {})
    _, cursor = await store.list_actors("default", "room", limit=2)
    await store.mark_destroyed("actor-2", 5)
    await store.create_actor(actor(9), {})
    rest, _ = await store.list_actors("default", "room", limit=10, cursor=cursor)
    assert [row.actor_id for row in rest] == ["actor-1", "actor-0"]


async def test_a_full_last_page_has_no_cursor(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    _, cursor = await store.list_actors("default", "room", limit=1)
    assert cursor is None


async def test_destroyed_actors_are_listed_on_demand(store: HostStore) -> None:
    await store.create_actor(actor(1), {})
    await store.mark_destroyed("actor-1", 5)
    hidden, _ = await store.list_actors("default", "room")
    shown, _ = await store.list_actors("default", "room", include_destroyed=True)
    assert (len(hidden), len(shown)) == (0, 1)


async def test_a_listing_can_be_narrowed_to_a_key(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("a",)), {})
    await store.create_actor(actor(2, key=("b",)), {})
    found, _ = await store.list_actors("default", "room", key=("b",))
    assert [row.actor_id for row in found] == ["actor-2"]


@pytest.mark.parametrize("cursor", ["", "!", "ünï", "bm9uc2Vuc2U", "/w=="])
async def test_a_foreign_cursor_is_refused(store: HostStore, cursor: str) -> None:
    with pytest.raises(RivetError, match="cursor"):
        await store.list_actors("default", "room", cursor=cursor)


async def test_names_are_listed_in_order_in_pages(store: HostStore) -> None:
    for number, name in enumerate(["b", "a", "c", "a"]):
        await store.create_actor(actor(number, name=name), {})
    first, cursor = await store.list_names("default", limit=2)
    second, end = await store.list_names("default", limit=2, cursor=cursor)
    assert (first, second, end) == (["a", "b"], ["c"], None)
    assert await store.list_names("other") == ([], None)


async def test_closing_twice_is_harmless(store: HostStore) -> None:
    await store.close()
    await store.close()


async def test_a_closed_store_says_so(store: HostStore) -> None:
    await store.close()
    with pytest.raises(StorageError, match="not open"):
        await store.storage("a").apply({b"k": b"1"})
    with pytest.raises(StorageError, match="not open"):
        await store.find_by_id("a")


@pytest.mark.parametrize("factory", ALL)
async def test_a_store_is_not_opened_twice(factory: Factory, tmp_path: Path) -> None:
    opened = factory(tmp_path)
    await opened.open()
    with pytest.raises(StorageError) as caught:
        await opened.open()
    await opened.close()
    assert caught.value.code == "locked"


@pytest.mark.parametrize("factory", DURABLE)
async def test_everything_is_there_after_closing_and_opening_again(factory: Factory, tmp_path: Path) -> None:
    opened = factory(tmp_path)
    await opened.open()
    await opened.create_actor(actor(1, key=("k",)), {b"\x01": b"snapshot"})
    await opened.start_generation("actor-1", 5)
    before = await opened.find_by_id("actor-1")
    await opened.close()
    await opened.open()
    assert await opened.find_by_key("default", "room", ("k",)) == before
    assert await opened.storage("actor-1").load([b"\x01"]) == {b"\x01": b"snapshot"}
    await opened.close()


async def test_alarms_are_listed_in_order_behind_a_position(store: HostStore) -> None:
    for number, at in ((1, 30), (2, 10), (3, 20), (4, 20)):
        await store.create_actor(actor(number, key=(str(number),)), {})
        await store.set_alarm(f"actor-{number}", at)
    assert await store.due_alarms("default", 20) == [(10, "actor-2"), (20, "actor-3"), (20, "actor-4")]
    assert await store.due_alarms("default", 20, after=(20, "actor-3")) == [(20, "actor-4")]
    assert await store.due_alarms("default", 30, limit=1) == [(10, "actor-2")]
    assert await store.due_alarms("other", 30) == []
    assert [await store.next_alarm("default", after) for after in (0, 10, 20, 30)] == [10, 20, 30, None]


async def test_an_alarm_is_replaced_and_cleared(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("k",)), {})
    await store.set_alarm("actor-1", 10)
    await store.set_alarm("actor-1", -5)
    assert await store.due_alarms("default", 0) == [(-5, "actor-1")]
    await store.set_alarm("actor-1", None)
    assert await store.due_alarms("default", 100) == []
    await store.set_alarm("nobody", 10)
    assert await store.next_alarm("default", 0) is None


async def test_destroying_clears_the_alarm_for_good(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("k",)), {})
    await store.set_alarm("actor-1", 10)
    await store.mark_destroyed("actor-1", 5)
    await store.set_alarm("actor-1", 20)
    assert await store.next_alarm("default", 0) is None


async def test_since_when_an_actor_sleeps_is_known_until_it_starts(store: HostStore) -> None:
    await store.create_actor(actor(1, key=("k",)), {})
    await store.start_generation("actor-1", 5)
    await store.end_generation("actor-1", 7)
    asleep = await store.find_by_id("actor-1")
    assert asleep is not None
    assert (asleep.sleep_ts, asleep.connectable_ts) == (7, None)
    await store.start_generation("actor-1", 9)
    awake = await store.find_by_id("actor-1")
    assert awake is not None
    assert (awake.sleep_ts, awake.connectable_ts) == (None, 9)
