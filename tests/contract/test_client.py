"""One behaviour, whichever way a client takes: in every encoding or from inside the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Literal, cast

import pytest

from rivetkit import RivetError, UserError, ValidationError
from rivetkit.client import Client, ConnectionStatus
from rivetkit.client._endpoint import EncodingName
from rivetkit_core.errors import ActorNotFound, ConnectionLost, Forbidden
from tests.contract.client_actors import Member, Room
from tests.contract.client_places import MakePlace, Place, here, in_test, on_engine

ENCODINGS: list[EncodingName] = ["bare", "cbor", "json"]
ON_ENGINE = pytest.mark.engine
PLACES = [pytest.param(here, id="embedded"), pytest.param(on_engine, id="engine", marks=ON_ENGINE)]


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest) -> Place:
    make: MakePlace = request.param
    return make(lambda: request.getfixturevalue("engine"))


WAYS = [
    *(pytest.param((here, way), id=f"{way}-embedded") for way in (*ENCODINGS, "local")),
    *(pytest.param((on_engine, way), id=f"{way}-engine", marks=ON_ENGINE) for way in (*ENCODINGS, "local")),
    pytest.param((in_test, "local"), id="local-test"),
]


@pytest.fixture(params=WAYS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    make, way = cast("tuple[MakePlace, EncodingName | Literal['local']]", request.param)
    place = make(lambda: request.getfixturevalue("engine"))
    async with place.serving() as (registry, endpoint):
        made = registry.client if way == "local" else Client(endpoint, encoding=way)
        async with made:
            yield made
            await place.leave()


async def failure_of(work: Coroutine[Any, Any, object]) -> RivetError:
    with pytest.raises(RivetError) as caught:
        await work
    return caught.value


async def test_calls_find_the_same_actor(client: Client) -> None:
    await client.get_or_create(Room, "a").call(Room.count)
    assert await client.get(Room, "a").call(Room.count, by=2) == 3


@pytest.mark.parametrize("live", [False, True])
async def test_an_authors_error_arrives_whole(client: Client, live: bool) -> None:
    handle = client.get_or_create(Room, "a")
    async with handle.connect() as conn:
        failure = await failure_of((conn if live else handle).call(Room.fail))
    assert isinstance(failure, UserError)
    assert (failure.code, failure.message, failure.metadata) == ("nope", "no", {"why": "because"})
    assert failure.actor is not None
    assert failure.actor.key == "a"


@pytest.mark.parametrize("live", [False, True])
async def test_a_bug_is_masked(client: Client, live: bool) -> None:
    handle = client.get_or_create(Room, "a")
    async with handle.connect() as conn:
        failure = await failure_of((conn if live else handle).call(Room.crash))
    assert str(failure) == "rivetkit.internal_error: An internal error occurred"


@pytest.mark.parametrize("live", [False, True])
async def test_arguments_are_checked_by_the_actor_too(client: Client, live: bool) -> None:
    handle = client.get_or_create(Room, "a")
    async with handle.connect() as conn:
        failure = await failure_of((conn if live else handle).call_by_name("count", "many"))
    assert isinstance(failure, ValidationError)
    assert failure.issues[0].path == ("by",)


async def test_an_unknown_action_is_named(client: Client) -> None:
    failure = await failure_of(client.get_or_create(Room, "a").call_by_name("nope"))
    assert str(failure) == "actor.action_not_found: Action `nope` was not found."


async def test_get_never_creates(client: Client) -> None:
    handle = client.get(Room, "missing")
    assert isinstance(await failure_of(handle.call(Room.title)), ActorNotFound)
    assert isinstance(await failure_of(handle.resolve()), ActorNotFound)
    assert isinstance(await failure_of(handle.connect().__aenter__()), ActorNotFound)


async def test_an_id_finds_what_a_key_found(client: Client) -> None:
    by_key = client.get_or_create(Room, ["a,b", ""])
    await by_key.call(Room.count)
    by_id = client.get_for_id(Room, await by_key.resolve())
    assert await by_id.call(Room.count) == 2


async def test_create_makes_one_and_only_one(client: Client) -> None:
    handle = await client.create(Room, "a", input=Room.initial("General"))
    assert await handle.call(Room.title) == "General"
    failure = await failure_of(client.create(Room, "a"))
    assert f"{failure.group}.{failure.code}" == "actor.duplicate_key"


async def test_an_input_is_used_on_creation_only(client: Client) -> None:
    first = client.get_or_create(Room, "a", input=Room.initial("x" * 6000))
    assert await first.call(Room.title) == "x" * 6000
    assert await client.get_or_create(Room, "a", input=Room.initial("y")).call(Room.title) == "x" * 6000


async def test_parameters_reach_the_actor(client: Client) -> None:
    handle = client.get_or_create(Room, "a", params=Member(name="Zoë 🦀"))
    async with handle.connect() as conn:
        assert [await handle.call(Room.who), await conn.call(Room.who)] == ["Zoë 🦀", "Zoë 🦀"]


async def test_parameters_may_be_refused(client: Client) -> None:
    handle = client.get_or_create(Room, "a", params=Member(name="Mallory"))
    assert isinstance(await failure_of(handle.call(Room.who)), Forbidden)
    assert isinstance(await failure_of(handle.connect().__aenter__()), Forbidden)


async def test_parameters_that_do_not_fit_are_refused(client: Client) -> None:
    handle = client.get_or_create(Room, "a", params={"name": 3})
    assert isinstance(await failure_of(handle.call(Room.who)), ValidationError)
    assert isinstance(await failure_of(handle.connect().__aenter__()), ValidationError)


async def test_connection_state_lasts_as_long_as_the_connection(client: Client) -> None:
    handle = client.get_or_create(Room, "a")
    async with handle.connect() as conn:
        assert [await conn.call(Room.visits), await conn.call(Room.visits)] == [1, 2]
    assert [await handle.call(Room.visits), await handle.call(Room.visits)] == [1, 1]


async def test_a_live_connection_outlasts_the_sleep_of_its_actor(client: Client) -> None:
    handle = client.get_or_create(Room, "a")
    async with handle.connect() as conn, conn.events(Room.counted) as counted:
        assert await conn.call(Room.visits) == 1
        await conn.call(Room.nap)
        while await conn.call(Room.life) == 1:
            pass
        assert await conn.call(Room.visits) == 2
        await handle.call(Room.count)
        assert await counted.__anext__() == 1


async def test_events_come_in_order_before_the_answer(client: Client) -> None:
    async with client.get_or_create(Room, "a").connect() as conn, conn.events(Room.counted) as counted:
        for _ in range(3):
            await conn.call(Room.count)
        assert [await counted.__anext__() for _ in range(3)] == [1, 2, 3]


async def test_an_actor_calls_another(client: Client) -> None:
    assert await client.get_or_create(Room, "a").call(Room.count_elsewhere, "b") == 5
    assert await client.get(Room, "b").call(Room.count) == 6


async def test_an_actor_listens_to_another(client: Client) -> None:
    assert await client.get_or_create(Room, "a").call(Room.listen_elsewhere, "b") == 7


async def test_what_a_strict_action_changed_is_saved_before_it_calls_out(client: Client) -> None:
    handle = client.get_or_create(Room, "a")
    assert await handle.call(Room.count_then_read_elsewhere, "b") == 5
    assert await handle.call(Room.count) == 2


async def test_a_call_ends_at_its_timeout_and_others_go_on(client: Client) -> None:
    handle = client.get_or_create(Room, "a")
    failure = await failure_of(handle.action(Room.wait, timeout=0.05)())
    assert failure.code == "timed_out"
    assert await handle.call(Room.count) == 1


async def test_closing_the_client_ends_what_runs(client: Client) -> None:
    conn = client.get_or_create(Room, "a").connect()
    await conn.__aenter__()
    waiting = asyncio.create_task(conn.call(Room.wait))
    await conn.call(Room.title)
    await client.aclose()
    assert (await failure_of(waiting_result(waiting))).code == "disposed"
    assert conn.status is ConnectionStatus.CLOSED


async def waiting_result(task: asyncio.Task[None]) -> None:
    await task


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_connection_survives_a_restart_of_the_server(place: Place, encoding: EncodingName) -> None:
    statuses: asyncio.Queue[ConnectionStatus] = asyncio.Queue()
    async with place.serving() as (_, endpoint):
        client = Client(endpoint, encoding=encoding)
        conn = client.get_or_create(Room, "a").connect()
        await conn.__aenter__()
        stream = await conn.events(Room.counted).__aenter__()
        in_flight = asyncio.create_task(conn.call(Room.wait))
        await conn.call(Room.title)
        conn.on_status_change(statuses.put_nowait)
    failure = await failure_of(waiting_result(in_flight))
    assert isinstance(failure, ConnectionLost) or failure.group == "actor"
    async with place.serving(), client:
        assert await conn.call(Room.count) == 1
        assert await stream.__anext__() == 1
        await place.leave()
    assert statuses.get_nowait() is ConnectionStatus.DISCONNECTED


async def test_only_a_network_client_has_gateway_urls(client: Client) -> None:
    handle = client.get_or_create(Room, "a")
    try:
        assert "/gateway/room" in await handle.gateway_url()
    except RivetError as failure:
        assert failure.code == "invalid_operation"
