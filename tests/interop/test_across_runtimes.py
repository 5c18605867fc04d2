"""Python actors and TypeScript actors of one namespace call each other.

An actor's client makes new actors in the pool of its own runtime. The actors called here exist already: the
fixtures make them, with a client for either pool.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from rivetkit import ActorHandle, Client, Contract
from tests.interop.driver import Encoding
from tests.interop.runtime import PYTHON_POOL, TYPESCRIPT_POOL, Neighbours
from tests.interop.values import unpack

pytestmark = [pytest.mark.interop, pytest.mark.engine]

Handle = ActorHandle[Contract]

NOTHING: list[object] = []
MIXED: dict[str, object] = {
    "text": "grüße 漢字 🎲",
    "big": 2**70,
    "bytes": b"\x00\xff",
    "nested": [1, None, {"a": [True, 0.5]}],
}


@pytest.fixture(scope="module")
async def python_pool(neighbours: Neighbours, encoding: Encoding) -> AsyncIterator[Client]:
    async with neighbours.client(PYTHON_POOL, encoding) as running:
        yield running


@pytest.fixture(scope="module")
async def typescript_pool(neighbours: Neighbours, encoding: Encoding) -> AsyncIterator[Client]:
    async with neighbours.client(TYPESCRIPT_POOL, encoding) as running:
        yield running


@pytest.fixture
async def relay(python_pool: Client, fresh: str) -> Handle:
    return await python_pool.create_by_name("relay", fresh)


@pytest.fixture
async def ts_relay(typescript_pool: Client, fresh: str) -> Handle:
    return await typescript_pool.create_by_name("tsRelay", fresh)


@pytest.fixture
async def counter(python_pool: Client, fresh: str) -> Handle:
    return await python_pool.create_by_name("counter", fresh, input=7)


@pytest.fixture
async def ts_counter(typescript_pool: Client, fresh: str) -> Handle:
    return await typescript_pool.create_by_name("tsCounter", fresh, input={"start": 7})


@pytest.fixture
async def echo(python_pool: Client, fresh: str) -> Handle:
    return await python_pool.create_by_name("echo", fresh)


@pytest.fixture
async def ts_echo(typescript_pool: Client, fresh: str) -> Handle:
    return await typescript_pool.create_by_name("tsEcho", fresh)


# TypeScript calls Python


async def test_a_typescript_actor_calls_a_python_actor(ts_relay: Handle, counter: Handle, fresh: str) -> None:
    assert await ts_relay.call_by_name("forward", "counter", [fresh], "increment", [3]) == 10
    assert await counter.call_by_name("count") == 10


@pytest.mark.usefixtures("echo")
async def test_values_come_back_to_a_typescript_actor_as_they_were(ts_relay: Handle, fresh: str) -> None:
    seen = await ts_relay.call_by_name("saw", "echo", [fresh], "echo", [MIXED])
    assert isinstance(seen, str)
    assert unpack(json.loads(seen)) == MIXED


@pytest.mark.usefixtures("echo")
async def test_a_typescript_actor_catches_what_a_python_actor_raises(ts_relay: Handle, fresh: str) -> None:
    failure = await ts_relay.call_by_name("failure", "echo", [fresh], "refuse", NOTHING)
    metadata = {"field": "x", "n": 3}
    assert failure == {"group": "user", "code": "bad_thing", "message": "bad thing", "metadata": metadata}


@pytest.mark.usefixtures("counter")
async def test_a_typescript_actor_hears_the_events_of_a_python_actor(ts_relay: Handle, fresh: str) -> None:
    heard = await ts_relay.call_by_name("nextEvent", "counter", [fresh], "moved", "increment", [-2])
    assert heard == [-2, "down"]


# Python calls TypeScript


async def test_a_python_actor_calls_a_typescript_actor(relay: Handle, ts_counter: Handle, fresh: str) -> None:
    assert await relay.call_by_name("forward", "tsCounter", [fresh], "increment", [3]) == 10
    assert await ts_counter.call_by_name("count") == 10


@pytest.mark.usefixtures("ts_echo")
async def test_values_come_back_to_a_python_actor_as_they_were(relay: Handle, fresh: str) -> None:
    assert await relay.call_by_name("forward", "tsEcho", [fresh], "echo", [MIXED]) == MIXED


@pytest.mark.usefixtures("ts_echo")
async def test_a_python_actor_catches_what_a_typescript_actor_throws(relay: Handle, fresh: str) -> None:
    failure = await relay.call_by_name("failure", "tsEcho", [fresh], "refuse", NOTHING)
    assert failure == ["user", "bad_thing", "bad thing", {"field": "x", "n": 3}]


@pytest.mark.usefixtures("ts_counter")
async def test_a_python_actor_hears_the_events_of_a_typescript_actor(relay: Handle, fresh: str) -> None:
    heard = await relay.call_by_name("next_event", "tsCounter", [fresh], "moved", "increment", [-2])
    assert heard == [-2, "down"]


# Chains


@pytest.mark.usefixtures("ts_relay", "echo")
async def test_a_chain_from_python_over_typescript_to_python(relay: Handle, fresh: str) -> None:
    there: list[object] = ["echo", [fresh], "echo", [MIXED]]
    assert await relay.call_by_name("forward", "tsRelay", [fresh], "forward", there) == MIXED


@pytest.mark.usefixtures("ts_relay", "echo")
async def test_an_error_travels_the_chain_back(relay: Handle, fresh: str) -> None:
    there: list[object] = ["echo", [fresh], "refuse", NOTHING]
    failure = await relay.call_by_name("failure", "tsRelay", [fresh], "forward", there)
    assert failure == ["user", "bad_thing", "bad thing", {"field": "x", "n": 3}]


@pytest.mark.usefixtures("relay", "ts_echo")
async def test_a_chain_from_typescript_over_python_to_typescript(ts_relay: Handle, fresh: str) -> None:
    there: list[object] = ["tsEcho", [fresh], "echo", [MIXED]]
    assert await ts_relay.call_by_name("forward", "relay", [fresh], "forward", there) == MIXED
