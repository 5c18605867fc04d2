"""An operation that cannot run is its caller's problem alone: the store goes on for everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.embedded.store_port import ActorRow

LONE_SURROGATE = "\ud800"


@pytest.fixture
async def store() -> AsyncGenerator[SqliteStore]:
    opened = SqliteStore(None)
    await opened.open()
    yield opened
    await opened.close()


def row(actor_id: str) -> ActorRow:
    return ActorRow(actor_id=actor_id, name="room", key=(actor_id,), namespace="default", create_ts=1)


async def test_text_that_sqlite_cannot_store_fails_its_caller(store: SqliteStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        await store.find_by_id(LONE_SURROGATE)


async def test_the_store_goes_on_after_an_operation_that_cannot_run(store: SqliteStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        await store.create_actor(row(LONE_SURROGATE), {})
    await store.create_actor(row("good"), {b"k": b"v"})
    assert await store.storage("good").load([b"k"]) == {b"k": b"v"}


async def test_an_operation_that_cannot_run_does_not_fail_the_rest_of_its_group(store: SqliteStore) -> None:
    first, bad, last = await asyncio.gather(
        store.create_actor(row("first"), {b"k": b"1"}),
        store.create_actor(row("bad"), {b"k": 1 << 80}),  # pyright: ignore[reportArgumentType]  # the fault
        store.create_actor(row("last"), {b"k": b"2"}),
        return_exceptions=True,
    )
    assert (first, type(bad), last) == (None, OverflowError, None)
    assert await store.find_by_id("bad") is None
    assert await store.storage("first").load([b"k"]) == {b"k": b"1"}
    assert await store.storage("last").load([b"k"]) == {b"k": b"2"}
