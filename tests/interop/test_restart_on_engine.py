"""A stock TypeScript client through a restart of a program whose actors run on an engine.

The engine keeps listening meanwhile, so the client finds its way back by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.engines import RunningEngine
from tests.interop.driver import Encoding, Received, TypescriptClient
from tests.interop.server import Place, ServerProcess

pytestmark = [pytest.mark.interop, pytest.mark.engine]

LOST = 45.0
"""Seconds; the engine takes up to twenty to give up on a program that died and to place its actors again."""


@pytest.fixture
async def own_place(engine: RunningEngine) -> Place:
    return Place.on_engine(engine.endpoint, await engine.fresh_namespace())


@pytest.fixture
def own_server(own_place: Place) -> Iterator[ServerProcess]:
    with ServerProcess(own_place) as process:
        yield process


@pytest.fixture
async def client(own_place: Place, encoding: Encoding) -> AsyncIterator[TypescriptClient]:
    async with TypescriptClient(own_place.endpoint, encoding, namespace=own_place.namespace) as running:
        yield running


async def restart(server: ServerProcess) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def test_a_connection_survives_a_graceful_restart(
    client: TypescriptClient, own_server: ServerProcess
) -> None:
    connection = await client.get_or_create("counter", "a").connect()
    await connection.until("connected")
    await connection.on("changed")
    assert await connection.call("increment", 5) == 5
    assert await connection.next_event() == Received("changed", (5,))

    await restart(own_server)

    assert await connection.call("increment", 2) == 7  # the engine held the connection all the while
    assert await connection.next_event() == Received("changed", (7,))


async def test_a_call_made_while_the_program_is_away_is_answered_when_it_is_back(
    client: TypescriptClient, own_server: ServerProcess
) -> None:
    await asyncio.to_thread(own_server.stop)
    async with asyncio.TaskGroup() as calls:
        held = calls.create_task(client.get_or_create("counter", "a", input=5).call("count"))
        await asyncio.to_thread(own_server.start)
    assert held.result() == 5


@pytest.mark.crash
@pytest.mark.parametrize("encoding", ["bare"], indirect=True)
async def test_saved_state_and_connections_survive_a_killed_program(
    client: TypescriptClient, own_server: ServerProcess
) -> None:
    connection = await client.get_or_create("counter", "a").connect()
    await connection.until("connected")
    assert await connection.call("increment", 5) == 5
    await connection.call("save")

    await asyncio.to_thread(own_server.kill)
    await asyncio.to_thread(own_server.start)

    assert await connection.call("count", timeout=LOST) == 5
