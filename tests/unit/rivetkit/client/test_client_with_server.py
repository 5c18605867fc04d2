"""The client against the real embedded server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from anyio.to_thread import run_sync

from rivetkit import Actor, Event, Registry, UserError, action, actor
from rivetkit.client import Client, SyncClient
from rivetkit_core.errors import ActorNotFound, RivetError


@actor(name="tally")
class Tally(Actor):
    state: int = 0
    changed = Event[int]()

    @action
    async def add(self, by: int = 1) -> int:
        self.state += by
        self.changed.broadcast(self.state)
        return self.state

    @action
    async def refuse(self) -> None:
        raise UserError("no", code="refused", metadata={"why": "because"})


@asynccontextmanager
async def serving(token: str | None = None, port: int = 0) -> AsyncGenerator[str]:
    registry = Registry(Tally, data_dir=":memory:", token=token)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.ensure_future(registry.serve(port=port, on_ready=ready.set_result))
    try:
        yield await ready
    finally:
        server.cancel()
        await asyncio.wait([server])


@pytest.mark.parametrize("encoding", ["bare", "cbor", "json"])
@pytest.mark.parametrize("key", [["a", "b"], ["a,b"], [""], []], ids=repr)
async def test_calls_and_events_in_every_encoding(
    encoding: Literal["bare", "cbor", "json"], key: list[str]
) -> None:
    async with serving() as url, Client(url, encoding=encoding) as client:
        tally = client.get_or_create(Tally, key)
        assert await tally.call(Tally.add, 2) == 2
        async with tally.connect() as conn, conn.events(Tally.changed) as changed:
            assert await conn.call(Tally.add, by=3) == 5
            assert await anext(changed) == 5
            assert conn.actor_id == await tally.resolve()
            assert await client.get(Tally, key).call(Tally.add) == 6


@pytest.mark.parametrize("encoding", ["bare", "cbor", "json"])
async def test_errors_arrive_whole_on_both_ways(encoding: Literal["bare", "cbor", "json"]) -> None:
    async with serving() as url, Client(url, encoding=encoding) as client:
        tally = client.get_or_create(Tally)
        async with tally.connect() as conn:
            for caller in (tally, conn):
                with pytest.raises(UserError, match=r"user\.refused: no") as caught:
                    await caller.call(Tally.refuse)
                assert caught.value.metadata == {"why": "because"}
                assert caught.value.actor is not None


async def test_an_actor_that_does_not_exist_is_not_found_on_both_ways() -> None:
    async with serving() as url, Client(url) as client:
        missing = client.get(Tally, "missing")
        with pytest.raises(ActorNotFound):
            await missing.call(Tally.add)
        with pytest.raises(ActorNotFound):
            await missing.resolve()
        with pytest.raises(ActorNotFound):
            await missing.connect().__aenter__()


async def test_a_token_opens_a_guarded_server() -> None:
    async with serving(token="s/e c") as url:
        async with Client(url, token="s/e c") as client:
            tally = await client.create(Tally, "a")
            async with tally.connect() as conn:
                assert await conn.call(Tally.add) == 1
            assert await tally.call(Tally.add) == 2
        async with Client(url) as stranger:
            with pytest.raises(RivetError, match=r"api\.unauthorized"):
                await stranger.get_or_create(Tally, "a").call(Tally.add)
            with pytest.raises(RivetError, match=r"api\.unauthorized"):
                await stranger.get_or_create(Tally, "a").connect().__aenter__()


async def test_the_blocking_client_does_the_same() -> None:
    def use(url: str) -> list[int]:
        with SyncClient(url) as client:
            tally = client.get_or_create(Tally, "sync")
            with tally.connect() as conn, conn.events(Tally.changed) as changed:
                conn.call(Tally.add, 4)
                return [next(changed), tally.call(Tally.add)]

    async with serving() as url:
        assert await run_sync(use, url) == [4, 5]


async def test_a_connection_and_its_streams_survive_a_restart_of_the_server() -> None:
    async with serving() as url:
        client = Client(url)
        conn = client.get_or_create(Tally, "a").connect()
        await conn.__aenter__()
        lost = asyncio.Event()
        conn.on_status_change(lambda status: lost.set() if status == "disconnected" else None)
    await lost.wait()
    async with client, conn.events(Tally.changed) as changed, serving(port=int(url.rpartition(":")[2])):
        assert await conn.call(Tally.add, 3) == 3
        assert await anext(changed) == 3
        assert await client.get_or_create(Tally, "a").call(Tally.add) == 4
