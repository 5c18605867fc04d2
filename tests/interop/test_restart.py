"""A stock TypeScript client through a restart of our embedded server.

It gives up for good on a refused connection, so something has to keep listening: here ``Front``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.interop.driver import Encoding, Received, TypescriptClient
from tests.interop.server import Front, Place, ServerProcess

pytestmark = pytest.mark.interop


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(Place.embedded(tmp_path)) as process:
        yield process


@pytest.fixture
async def front(own_server: ServerProcess) -> AsyncIterator[Front]:
    async with Front(own_server.place.endpoint) as running:
        yield running


@pytest.fixture
async def client(front: Front, encoding: Encoding) -> AsyncIterator[TypescriptClient]:
    async with TypescriptClient(front.endpoint, encoding) as running:
        yield running


async def test_a_connection_survives_a_graceful_restart(
    client: TypescriptClient, front: Front, own_server: ServerProcess
) -> None:
    connection = await client.get_or_create("counter", "a").connect()
    await connection.until("connected")
    await connection.on("changed")
    assert await connection.call("increment", 5) == 5
    assert await connection.next_event() == Received("changed", (5,))

    front.lower()
    await asyncio.to_thread(own_server.stop)
    await connection.until("disconnected")
    await asyncio.to_thread(own_server.start)
    front.raise_()

    await connection.until("connected")
    assert await connection.call("increment", 2) == 7
    assert await connection.next_event() == Received("changed", (7,))


@pytest.mark.crash
async def test_saved_state_and_the_connection_survive_a_killed_server(
    client: TypescriptClient, front: Front, own_server: ServerProcess
) -> None:
    connection = await client.get_or_create("counter", "a").connect()
    await connection.until("connected")
    assert await connection.call("increment", 5) == 5
    await connection.call("save")

    front.lower()
    await asyncio.to_thread(own_server.kill)
    await connection.until("disconnected")
    await asyncio.to_thread(own_server.start)
    front.raise_()

    await connection.until("connected")
    assert await connection.call("count") == 5


async def test_a_call_made_while_the_server_is_away_is_answered_when_it_is_back(
    client: TypescriptClient, front: Front, own_server: ServerProcess
) -> None:
    front.lower()
    await asyncio.to_thread(own_server.stop)
    async with asyncio.TaskGroup() as calls:
        held = calls.create_task(client.get_or_create("counter", "a", input=5).call("count"))
        await asyncio.to_thread(own_server.start)
        front.raise_()
    assert held.result() == 5
