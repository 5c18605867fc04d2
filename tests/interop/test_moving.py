"""An actor is served by one runtime, then by the other, in one pool of a real engine.

A TypeScript runtime keeps an actor in tables of the actor's database. When it first runs an actor of ours, it
copies into them what it finds in the engine's KV store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import cast

import pytest

from rivetkit import ActorHandle, Contract, RivetError
from tests.engines import RunningEngine
from tests.interop.runtime import Neighbours, typescript_runtime
from tests.interop.server import ServerProcess

pytestmark = [pytest.mark.interop, pytest.mark.engine, pytest.mark.timeout(180)]

POOL = "default"
FAR_AWAY = 4_102_444_800_000

Handle = ActorHandle[Contract]
Serve = Callable[[Neighbours], AbstractAsyncContextManager[Handle]]


@pytest.fixture
async def pool(engine: RunningEngine) -> Neighbours:
    return Neighbours(engine.endpoint, await engine.fresh_namespace(POOL))


@contextlib.asynccontextmanager
async def in_python(pool: Neighbours) -> AsyncGenerator[Handle]:
    server = ServerProcess(pool.place(POOL))
    await asyncio.to_thread(server.start)
    try:
        async with actor_of(pool) as handle:
            yield handle
    finally:
        await asyncio.to_thread(server.stop)


@contextlib.asynccontextmanager
async def in_typescript(pool: Neighbours) -> AsyncGenerator[Handle]:
    async with typescript_runtime(pool, POOL), actor_of(pool) as handle:
        yield handle


@contextlib.asynccontextmanager
async def actor_of(pool: Neighbours) -> AsyncGenerator[Handle]:
    async with pool.client(POOL, "bare") as client:
        yield client.get_or_create_by_name("nomad", "a", input="home")


async def read(handle: Handle) -> dict[str, object]:
    """What the actor has, with everything in an order of its own."""
    found = cast("dict[str, object]", await handle.call_by_name("read"))
    lists = ("kv", "planned", "recurring")
    return {**found, **{name: sorted(cast("list[object]", found[name]), key=str) for name in lists}}


def life(*words: str) -> dict[str, object]:
    """What ``read`` answers after these words were written."""
    recurring = [[name, "remember", args] for word in words for name, args in _recurring(word)]
    return {
        "origin": "home",
        "words": list(words),
        "remembered": [],
        "kv": sorted(([word, f"value of {word}"] for word in words), key=str),
        "notes": list(words),
        "planned": sorted(([FAR_AWAY, "remember", [word]] for word in words), key=str),
        "recurring": sorted(recurring, key=str),
    }


def _recurring(word: str) -> list[tuple[str, list[str]]]:
    return [(word, [word]), (f"{word}, yearly", [])]


def letter(word: str) -> dict[str, object]:
    return {"word": word, "bytes": b"\x00\xff"}


async def test_an_actor_of_the_typescript_runtime_goes_on_in_python_and_back(pool: Neighbours) -> None:
    async with in_typescript(pool) as nomad:
        await nomad.call_by_name("write", "one")
        await nomad.call_by_name("write", "two")
    async with in_python(pool) as nomad:
        assert await read(nomad) == life("one", "two")
        assert await nomad.call_by_name("take") == letter("one")
        await nomad.call_by_name("write", "three")
        await nomad.call_by_name("forget", "two")
        left = await read(nomad)
    async with in_typescript(pool) as nomad:
        assert await read(nomad) == left
        assert [await nomad.call_by_name("take") for _ in range(3)] == [letter("two"), letter("three"), None]
        await nomad.call_by_name("write", "four")
        left = await read(nomad)
    async with in_python(pool) as nomad:
        assert await read(nomad) == left
        assert await nomad.call_by_name("take") == letter("four")


async def test_an_actor_of_ours_is_taken_over_and_comes_back(pool: Neighbours) -> None:
    async with in_python(pool) as nomad:
        await nomad.call_by_name("write", "one")
        await nomad.call_by_name("write", "two")
    async with in_typescript(pool) as nomad:
        assert await read(nomad) == {**life("one", "two"), "recurring": []}
        assert await nomad.call_by_name("take") == letter("one")
        await nomad.call_by_name("write", "three")
        left = await read(nomad)
    async with in_python(pool) as nomad:
        assert await read(nomad) == left
        assert [await nomad.call_by_name("take") for _ in range(3)] == [letter("two"), letter("three"), None]
        await nomad.call_by_name("write", "four")
        left = await read(nomad)
    async with in_typescript(pool) as nomad:
        assert await read(nomad) == left


@pytest.mark.parametrize(
    ("first", "then"),
    [(in_typescript, in_python), (in_python, in_typescript)],
    ids=["to-python", "from-python"],
)
async def test_what_one_runtime_planned_the_other_runs(pool: Neighbours, first: Serve, then: Serve) -> None:
    async with first(pool) as nomad:
        await nomad.call_by_name("soon", 500, "later")
    async with then(pool) as nomad:
        while (await read(nomad))["remembered"] != ["later"]:  # bounded by the time of the test
            pass


@pytest.mark.parametrize(
    ("first", "then"),
    [(in_typescript, in_python), (in_python, in_typescript)],
    ids=["to-python", "from-python"],
)
async def test_a_connection_moves_along(pool: Neighbours, first: Serve, then: Serve) -> None:
    async with contextlib.AsyncExitStack() as held:
        mine = await held.enter_async_context(actor_of(pool))
        async with first(pool):
            connection = await held.enter_async_context(mine.connect())
            heard = await held.enter_async_context(connection.events_by_name("wrote"))
            me, calls = cast("tuple[str, int]", await connection.call_by_name("me"))
            await connection.call_by_name("nap")
        async with then(pool) as nomad:
            await nomad.call_by_name("write", "one")
            assert list(await anext(heard)) == ["one"]
            assert await connection.call_by_name("me") == [me, calls + 1]


async def test_an_actor_that_outgrew_kv_values_stays_ours(pool: Neighbours) -> None:
    """The other runtime refuses what it cannot copy; nothing is lost meanwhile."""
    async with in_python(pool) as nomad:
        await nomad.call_by_name("grow", 300_000)
    async with in_typescript(pool) as nomad:
        with pytest.raises(RivetError):
            await nomad.call_by_name("read")
    async with in_python(pool) as nomad:
        assert (await read(nomad))["words"] == ["x" * 300_000]


async def test_a_large_state_moves_once_it_is_in_tables(pool: Neighbours) -> None:
    async with in_typescript(pool) as nomad:
        await nomad.call_by_name("write", "one")
    async with in_python(pool) as nomad:
        await nomad.call_by_name("grow", 700_000)
    async with in_typescript(pool) as nomad:
        assert (await read(nomad))["words"] == ["x" * 700_000]
