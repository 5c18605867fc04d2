"""What the storage of one actor promises about listing and ranges, over each implementation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from rivetkit_core.errors import StorageError
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.engine import kv
from rivetkit_core.host.engine.kv import KvStorage
from rivetkit_core.host.port import ActorStorage, prefix_end
from rivetkit_core.testing import MemoryStorage, MemoryStore
from tests.engine_records import EngineRecords
from tests.engine_tables import EngineTables, setup

KEYS = (b"a", b"a\x00", b"ab", b"a\xff", b"a\xff\xff", b"b", b"b\x00", b"c")
Factory = Callable[[Path], AbstractAsyncContextManager[ActorStorage]]
VALUES = {key: b"value of " + key for key in KEYS}


@asynccontextmanager
async def in_sqlite(path: Path) -> AsyncGenerator[ActorStorage]:
    store = SqliteStore(path / "data")
    await store.open()
    try:
        await store.storage("other").apply(dict.fromkeys(KEYS, b"another actor's"))
        yield store.storage("actor")
    finally:
        await store.close()


@asynccontextmanager
async def in_memory(_path: Path) -> AsyncGenerator[ActorStorage]:
    store = MemoryStore()
    await store.open()
    try:
        await store.storage("other").apply(dict.fromkeys(KEYS, b"another actor's"))
        yield store.storage("actor")
    finally:
        await store.close()


@asynccontextmanager
async def alone(_path: Path) -> AsyncGenerator[ActorStorage]:
    yield MemoryStorage()


@asynccontextmanager
async def on_the_engine(_path: Path) -> AsyncGenerator[ActorStorage]:
    yield KvStorage(EngineRecords())


@asynccontextmanager
async def in_tables(_path: Path) -> AsyncGenerator[ActorStorage]:
    tables = EngineTables(setup())
    try:
        yield await tables.storage()
    finally:
        tables.sql.close()


@pytest.fixture(
    params=[
        pytest.param(in_sqlite, id="sqlite"),
        pytest.param(in_memory, id="memory"),
        pytest.param(alone, id="alone"),
        pytest.param(on_the_engine, id="engine"),
        pytest.param(in_tables, id="engine-tables"),
    ]
)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ActorStorage]:
    factory: Factory = request.param
    async with factory(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        pytest.param(b"a", KEYS[:5], id="one-byte"),
        pytest.param(b"a\xff", KEYS[3:5], id="ends-with-the-highest-byte"),
        pytest.param(b"a\xff\xff\xff", (), id="none"),
        pytest.param(b"c", KEYS[7:], id="last"),
    ],
)
async def test_a_prefix_lists_its_records_in_byte_order(
    storage: ActorStorage, prefix: bytes, found: tuple[bytes, ...]
) -> None:
    await storage.apply(dict(reversed(VALUES.items())))
    assert await storage.list(prefix) == [(key, VALUES[key]) for key in found]


async def test_a_prefix_that_nothing_comes_after_is_refused(storage: ActorStorage) -> None:
    with pytest.raises(ValueError, match="no key comes after"):
        await storage.list(b"\xff")


async def test_a_range_has_its_start_but_not_its_end(storage: ActorStorage) -> None:
    await storage.apply(VALUES)
    assert [key for key, _ in await storage.list_range(b"ab", b"b\x00")] == [
        b"ab",
        b"a\xff",
        b"a\xff\xff",
        b"b",
    ]


async def test_an_inverted_range_is_empty(storage: ActorStorage) -> None:
    await storage.apply(VALUES)
    assert await storage.list_range(b"c", b"a") == []


@pytest.mark.parametrize(
    ("reverse", "limit", "found"),
    [
        (False, 2, (b"a", b"a\x00")),
        (True, 2, (b"a\xff\xff", b"a\xff")),
        (True, None, tuple(reversed(KEYS[:5]))),
        (False, 0, ()),
        (False, 99, KEYS[:5]),
    ],
)
async def test_a_limit_keeps_the_first_in_the_direction_asked_for(
    storage: ActorStorage, reverse: bool, limit: int | None, found: tuple[bytes, ...]
) -> None:
    await storage.apply(VALUES)
    listed = await storage.list(b"a", reverse=reverse, limit=limit)
    assert tuple(key for key, _ in listed) == found


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_listing_of_any_length_is_complete(storage: ActorStorage, reverse: bool) -> None:
    keys = [b"k" + number.to_bytes(4, "big") for number in range(2 * kv.PAGE)]
    for start in range(0, len(keys), 100):
        await storage.apply(dict.fromkeys(keys[start : start + 100], b"v"))
    listed = [key for key, _ in await storage.list(b"k", reverse=reverse)]
    assert listed == (keys[::-1] if reverse else keys)


async def test_a_large_value_is_listed_whole(storage: ActorStorage) -> None:
    large = bytes(range(256)) * 2000
    await storage.apply({b"a": large, b"ab": b"small"})
    assert await storage.list(b"a") == [(b"a", large), (b"ab", b"small")]


async def test_a_deleted_record_is_not_listed(storage: ActorStorage) -> None:
    await storage.apply({b"a": b"1", b"ab": b"2"})
    await storage.apply({b"b": b"3"}, [b"a"])
    assert await storage.list(b"a") == [(b"ab", b"2")]


async def test_a_range_is_deleted_without_its_end(storage: ActorStorage) -> None:
    await storage.apply(VALUES)
    await storage.delete_range(b"a\x00", b"b")
    assert await storage.load(KEYS) == {key: VALUES[key] for key in (b"a", b"b", b"b\x00", b"c")}


async def test_deleting_an_inverted_range_deletes_nothing(storage: ActorStorage) -> None:
    await storage.apply(VALUES)
    await storage.delete_range(b"c", b"a")
    assert await storage.load(KEYS) == VALUES


async def test_a_key_is_writable_again_after_its_range_was_deleted(storage: ActorStorage) -> None:
    first, second = b"1" * 300_000, b"2" * 200_000
    await storage.apply({b"a": first})
    await storage.delete_range(b"a", b"b")
    await storage.apply({b"a": second})
    assert await storage.list(b"a") == [(b"a", second)]


async def test_the_engine_keeps_no_chunk_of_a_deleted_range() -> None:
    records = EngineRecords()
    storage = KvStorage(records)
    await storage.apply({b"a": bytes(300_000), b"b": bytes(300_000)})
    await storage.delete_range(b"a", b"b")
    await storage.apply({}, [b"b"])
    assert records.stored == {}


async def test_the_engine_skips_what_a_note_says_was_deleted() -> None:
    records = EngineRecords()
    storage = KvStorage(records)
    await storage.apply({b"a": b"1", b"ab": b"2"})
    records.lose_deletes = True
    await storage.apply({b"b": b"3"}, [b"a"])
    assert b"a" in records.stored
    assert await storage.list(b"a", limit=1) == [(b"ab", b"2")]


async def test_the_engine_keeps_values_of_users_as_they_are() -> None:
    records = EngineRecords()
    storage = KvStorage(records)
    values = {b"\x04a": b"\xff\xff\x00", b"\x04b": b"\xff\xff\x01", b"\x04c": b"x"}
    await storage.apply(values)
    assert records.stored == values
    assert await storage.load([b"\x04a"]) == {b"\x04a": b"\xff\xff\x00"}
    await storage.apply({b"\x04d": b"\xff\xff", b"\x01": b"state"}, [b"\x04a"])
    assert await storage.list(b"\x04") == [
        (b"\x04b", b"\xff\xff\x01"),
        (b"\x04c", b"x"),
        (b"\x04d", b"\xff\xff"),
    ]
    await storage.delete_range(b"\x04", b"\x05")
    assert records.stored == {b"\x01": b"state"}


async def test_a_delete_of_a_user_that_fails_fails_the_write_it_came_with() -> None:
    records = EngineRecords()
    storage = KvStorage(records)
    await storage.apply({b"\x04a": b"1"})
    records.lose_deletes = True
    with pytest.raises(StorageError):
        await storage.apply({b"\x01": b"state"}, [b"\x04a"])
    records.lose_deletes = False
    await storage.apply({b"\x01": b"state"}, [b"\x04a"])
    assert records.stored == {b"\x01": b"state"}


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\x00", b"\x01"), (b"a\xfe", b"a\xff")]
)
def test_the_end_of_a_prefix_is_the_next_key_without_it(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end
