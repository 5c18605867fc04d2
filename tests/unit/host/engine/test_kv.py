"""Records on the engine's KV store: its limits, and that a change is whole or not there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.kv import MAX_VALUE, KvStorage
from rivetkit_core.host.engine.storage_requests import Requests, StorageRequest
from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine.kv import ActorKv
from rivetkit_core.wire.envoy.messages import (
    KvDelete,
    KvGet,
    KvList,
    KvMetadata,
    KvPut,
    KvRequest,
    KvResponse,
    PreloadedEntry,
    PreloadedKv,
)

METADATA = KvMetadata(b"2.3.19", 0)


class Killed(BaseException):
    """The process ended here."""


class Store:
    """The engine's store of one actor. ``lives`` is how many more requests it answers before the end."""

    def __init__(self) -> None:
        self.kv = ActorKv(lambda: 0)
        self.asked: list[type[object]] = []
        self.lives: int | None = None
        self._requests = Requests(FakeClock(), "default", self._answer)

    def storage(self, preloaded: PreloadedKv | None = None) -> KvStorage:
        """The storage of a new generation."""
        return KvStorage(self._requests.scope("actor", 1, lambda: True), preloaded)

    def _answer(self, request: StorageRequest) -> bool:
        assert isinstance(request, KvRequest)
        if self.lives is not None:
            if self.lives == 0:
                raise Killed
            self.lives -= 1
        self.asked.append(type(request.data))
        answer = KvResponse(request.request_id, self.kv.answer(request.data))
        asyncio.get_running_loop().call_soon(self._requests.answered, answer)
        return True


async def test_a_small_record_is_stored_under_its_key_as_it_is() -> None:
    store = Store()
    await store.storage().apply({b"\x01": b"state"})
    assert store.kv.records[b"\x01"] == b"state"
    assert store.asked == [KvPut]


@pytest.mark.parametrize("size", [MAX_VALUE, MAX_VALUE + 1, 900_000, 3_000_000])
async def test_a_record_of_any_size_comes_back(size: int) -> None:
    store = Store()
    value = bytes(range(256)) * (size // 256 + 1)
    await store.storage().apply({b"\x01": value[:size]})
    assert await store.storage().load([b"\x01"]) == {b"\x01": value[:size]}


async def test_up_to_900_kilobytes_are_one_request() -> None:
    store = Store()
    await store.storage().load([b"\x01"])
    storage = store.storage()
    await storage.load([b"\x01"])
    store.asked.clear()
    await storage.apply({b"\x01": bytes(900_000)})
    assert store.asked.count(KvPut) == 1


async def test_a_record_that_shrinks_leaves_no_chunks() -> None:
    store = Store()
    storage = store.storage()
    await storage.apply({b"\x01": bytes(900_000)})
    await storage.apply({b"\x01": b"small"})
    assert store.kv.records == {b"\x01": b"small"}


async def test_a_value_that_looks_like_a_note_of_ours_comes_back() -> None:
    store = Store()
    await store.storage().apply({b"k": b"\xff\xff\x00"})
    assert await store.storage().load([b"k"]) == {b"k": b"\xff\xff\x00"}


async def test_writes_and_deletes_of_one_change_are_one_put() -> None:
    store = Store()
    storage = store.storage()
    await storage.apply({b"old": b"1"})
    store.asked.clear()
    await storage.apply({b"new": b"2"}, [b"old"])
    assert store.asked == [KvPut, KvDelete]
    assert store.kv.records == {b"new": b"2"}


async def test_what_a_crash_left_of_a_delete_counts_as_deleted() -> None:
    store = Store()
    storage = store.storage()
    await storage.apply({b"old": b"1"})
    store.lives = 1
    with pytest.raises(Killed):
        await storage.apply({b"new": b"2"}, [b"old"])
    store.lives = None
    assert await store.storage().load([b"old", b"new"]) == {b"new": b"2"}


async def test_a_missing_chunk_is_reported_and_not_read_over() -> None:
    store = Store()
    await store.storage().apply({b"\x01": bytes(300_000)})
    chunk = next(key for key in store.kv.records if key != b"\x01")
    del store.kv.records[chunk]
    with pytest.raises(RivetError) as caught:
        await store.storage().load([b"\x01"])
    assert caught.value.code == "corrupt"


async def test_more_records_than_one_put_takes_are_refused_and_nothing_is_written() -> None:
    store = Store()
    with pytest.raises(RivetError) as caught:
        await store.storage().apply({b"%d" % number: b"" for number in range(129)})
    assert caught.value.code == "too_large"
    assert store.kv.records == {}


async def test_what_came_with_the_start_is_not_read_again() -> None:
    store = Store()
    preloaded = PreloadedKv(
        entries=(PreloadedEntry(b"\x01", b"state", METADATA),), requested_get_keys=(b"\x01", b"\x06")
    )
    assert await store.storage(preloaded).load([b"\x01", b"\x06"]) == {b"\x01": b"state"}
    assert store.asked == []


async def test_what_did_not_come_with_the_start_is_read() -> None:
    store = Store()
    await store.storage().apply({b"\x02": b"there"})
    store.asked.clear()
    preloaded = PreloadedKv(entries=(PreloadedEntry(b"\x01", b"state", METADATA),))
    found = await store.storage(preloaded).load([b"\x01", b"\x02"])
    assert found == {b"\x01": b"state", b"\x02": b"there"}
    assert store.asked == [KvGet]


async def test_a_written_record_replaces_what_came_with_the_start() -> None:
    store = Store()
    preloaded = PreloadedKv(
        entries=(PreloadedEntry(b"\x01", b"old", METADATA),), requested_get_keys=(b"\x01",)
    )
    storage = store.storage(preloaded)
    await storage.apply({b"\x01": b"new"})
    assert await storage.load([b"\x01"]) == {b"\x01": b"new"}


async def test_a_listing_that_came_with_the_start_is_used_once() -> None:
    store = Store()
    await store.storage().apply({b"\x05b": b"2", b"\x05a": b"1", b"\x06": b"other"})
    store.asked.clear()
    entries = tuple(PreloadedEntry(key, value, METADATA) for key, value in store.kv.records.items())
    storage = store.storage(PreloadedKv(entries=entries, requested_prefixes=(b"\x05",)))
    assert await storage.list(b"\x05", reverse=True, limit=1) == [(b"\x05b", b"2")]
    assert store.asked == []
    assert await storage.list(b"\x05") == [(b"\x05a", b"1"), (b"\x05b", b"2")]
    assert store.asked == [KvList]


async def test_a_listing_is_asked_for_if_the_engine_left_it_out() -> None:
    store = Store()
    await store.storage().apply({b"\x05a": b"1", b"\x05b": b"2"})
    store.asked.clear()
    storage = store.storage(PreloadedKv(entries=(PreloadedEntry(b"\x05a", b"1", METADATA),)))
    assert len(await storage.list(b"\x05")) == 2
    assert store.asked == [KvList]


@pytest.mark.parametrize("change", ["put", "delete", "range"])
async def test_a_changed_listing_is_asked_for(change: str) -> None:
    store = Store()
    await store.storage().apply({b"\x05a": b"1", b"\x05b": b"2"})
    entries = tuple(PreloadedEntry(key, value, METADATA) for key, value in store.kv.records.items())
    storage = store.storage(PreloadedKv(entries=entries, requested_prefixes=(b"\x05",)))
    if change == "put":
        await storage.apply({b"\x05a": b"new"})
    elif change == "delete":
        await storage.apply({}, [b"\x05a"])
    else:
        await storage.delete_range(b"\x05a", b"\x05b")
    expected = {"put": [(b"\x05a", b"new"), (b"\x05b", b"2")]}.get(change, [(b"\x05b", b"2")])
    assert await storage.list(b"\x05") == expected


_KEYS = st.sampled_from([b"\x01", b"\x02a", b"\x05\x01\x02\x00\x00"])


def _filled(size: int, fill: int) -> bytes:
    return bytes([fill]) * size


_SIZES = st.sampled_from([0, 1, 100, MAX_VALUE, MAX_VALUE + 1, 400_000, 1_200_000])
_VALUES = st.builds(_filled, _SIZES, st.integers(0, 255))
_CHANGES = st.tuples(st.dictionaries(_KEYS, _VALUES, max_size=3), st.lists(_KEYS, max_size=2))


def after(
    before: Mapping[bytes, bytes], puts: Mapping[bytes, bytes], deletes: Sequence[bytes]
) -> dict[bytes, bytes]:
    changed = {**before, **puts}
    return {key: value for key, value in changed.items() if key not in deletes}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_CHANGES, st.none() | st.integers(0, 6)), max_size=6))
def test_a_change_is_whole_or_not_there_wherever_the_process_ends(
    history: list[tuple[tuple[dict[bytes, bytes], list[bytes]], int | None]],
) -> None:
    async def live() -> None:
        store = Store()
        expected: dict[bytes, bytes] = {}
        storage = store.storage()
        keys = [b"\x01", b"\x02a", b"\x05\x01\x02\x00\x00"]
        for (puts, deletes), lives in history:
            store.lives = lives
            changed = after(expected, puts, deletes)
            try:
                await storage.apply(puts, deletes)
                expected = changed
            except Killed:
                store.lives = None
                storage = store.storage()
                found = await storage.load(keys)
                assert found in (expected, changed)
                expected = found
            store.lives = None
            assert await storage.load(keys) == expected
            assert await store.storage().load(keys) == expected

    asyncio.run(live())
