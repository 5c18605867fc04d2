from __future__ import annotations

import pytest

from rivetkit_core.errors import StorageError
from rivetkit_core.testing import MemoryStorage, MemoryStore

FULL = StorageError("storage", "unavailable", "The disk is full")


async def test_a_failing_storage_changes_nothing_and_recovers() -> None:
    storage = MemoryStorage({b"k": b"1"})
    storage.failure = FULL
    with pytest.raises(StorageError, match="disk is full"):
        await storage.apply({b"k": b"2"})
    storage.failure = None
    assert await storage.load([b"k"]) == {b"k": b"1"}


async def test_a_storage_alone_writes_and_deletes() -> None:
    storage = MemoryStorage()
    await storage.apply({b"a": b"1", b"b": b"2"}, [b"b"])
    assert storage.records == {b"a": b"1"}


async def test_a_failing_store_changes_nothing_and_recovers() -> None:
    store = MemoryStore()
    await store.open()
    store.failure = FULL
    with pytest.raises(StorageError, match="disk is full"):
        await store.storage("a").apply({b"k": b"1"})
    store.failure = None
    assert await store.storage("a").load([b"k"]) == {}
