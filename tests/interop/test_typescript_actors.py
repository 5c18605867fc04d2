"""Our client against actors of a stock TypeScript runtime, in each of our client's encodings.

Where that runtime itself loses a value, the test leaves the encoding out: with its own client it is the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from rivetkit import ActorHandle, ActorNotFound, Client, Contract, RivetError, UserError
from tests.interop.driver import Encoding
from tests.interop.runtime import TYPESCRIPT_POOL, Neighbours
from tests.interop.values import BigInt, unpack

pytestmark = [pytest.mark.interop, pytest.mark.engine]

NEW_YEAR = datetime(2024, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module")
async def python_client(neighbours: Neighbours, encoding: Encoding) -> AsyncIterator[Client]:
    async with neighbours.client(TYPESCRIPT_POOL, encoding) as running:
        yield running


@pytest.fixture
def echo(python_client: Client, fresh: str) -> ActorHandle[Contract]:
    return python_client.get_or_create_by_name("tsEcho", fresh)


# Values


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="none"),
        pytest.param(True, id="true"),
        pytest.param(-(2**31), id="negative"),
        pytest.param(2**53 - 1, id="largest-safe-integer"),
        pytest.param(2**53, id="just-unsafe"),
        pytest.param(-(2**200), id="200-bits"),
        pytest.param(0.1, id="fraction"),
        pytest.param("", id="empty-text"),
        pytest.param("grüße 漢字 🎲 \x00", id="unicode"),
        pytest.param(b"", id="no-bytes"),
        pytest.param(bytes(range(256)), id="bytes"),
        pytest.param([1, [2, [3, [None]]]], id="nested-lists"),
        pytest.param({"a": {"b": [True, "c"]}, "ü": 1, "": 2}, id="nested-objects"),
        pytest.param({"deep": [b"\x01", 2**70]}, id="nested-special"),
        pytest.param(["$Foo", 1], id="like-a-tag"),
        pytest.param([["$BigInt", "1"]], id="like-a-bigint"),
    ],
)
async def test_a_value_comes_back_as_it_was(echo: ActorHandle[Contract], value: object) -> None:
    result = await echo.call_by_name("echo", value)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        pytest.param(2**31, 2**31, id="number"),
        pytest.param(2**53, BigInt(2**53), id="bigint"),
        pytest.param(b"\x00\xff", b"\x00\xff", id="bytes"),
        pytest.param([None, {"a": "漢"}], [None, {"a": "漢"}], id="nested"),
        pytest.param({1, 2}, {1, 2}, id="set"),
    ],
)
async def test_javascript_sees_its_own_kind_of_value(
    echo: ActorHandle[Contract], value: object, seen: object
) -> None:
    (result,) = await saw(echo, value)
    assert result == seen
    assert type(result) is type(seen)


@pytest.mark.parametrize("encoding", ["bare"], indirect=True)
@pytest.mark.parametrize("value", [NEW_YEAR, math.inf, -math.inf])
async def test_a_date_and_an_infinity_need_the_bare_encoding(
    echo: ActorHandle[Contract], value: object
) -> None:
    assert await saw(echo, value) == [value]
    assert await echo.call_by_name("echo", value) == value


async def test_no_argument_is_no_argument(echo: ActorHandle[Contract]) -> None:
    assert await saw(echo) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bigint", 2**70),
        ("negativeBigint", -(2**200)),
        ("undefined", None),
        ("bytes", b"\x00\x01\xfe\xff"),
        ("unicode", "grüße 漢字 🎲 \x00"),
        ("holes", {"present": 1, "list": [None, None]}),
        ("nested", {"deep": [{"bytes": b"\x07", "big": 2**64, "": []}]}),
        ("set", {1, "two"}),
    ],
)
async def test_what_javascript_makes_arrives(echo: ActorHandle[Contract], name: str, value: object) -> None:
    result = await echo.call_by_name("give", name)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("encoding", ["bare"], indirect=True)
@pytest.mark.parametrize(("name", "value"), [("date", NEW_YEAR), ("infinity", math.inf)])
async def test_what_only_bare_can_bring_arrives(
    echo: ActorHandle[Contract], name: str, value: object
) -> None:
    assert await echo.call_by_name("give", name) == value


# Failures


async def test_a_user_error_arrives_whole(echo: ActorHandle[Contract]) -> None:
    async with echo.connect() as connection:
        for caller in (echo, connection):
            with pytest.raises(UserError, match="bad thing") as failure:
                await caller.call_by_name("refuse")
            assert failure.value.code == "bad_thing"
            assert failure.value.metadata == {"field": "x", "n": 3}


async def test_an_unexpected_exception_is_masked(echo: ActorHandle[Contract]) -> None:
    with pytest.raises(RivetError) as failure:
        await echo.call_by_name("crash")
    assert failure.value.code == "internal_error"
    assert "swordfish" not in str(failure.value)


async def test_an_unknown_action_is_named(echo: ActorHandle[Contract]) -> None:
    with pytest.raises(RivetError, match="no such action") as failure:
        await echo.call_by_name("no such action")
    assert (failure.value.group, failure.value.code) == ("actor", "action_not_found")


# Addressing and input


@pytest.mark.parametrize(
    "key",
    [
        pytest.param([], id="empty"),
        pytest.param(["ünï", "漢字 🎲"], id="unicode"),
        pytest.param(["a/b", "c\\d", "\\0"], id="slashes"),
        pytest.param(["a b", "50%", "x&y=z", "?#+"], id="url-characters"),
        pytest.param(["a", "", "b"], id="empty-part"),
        pytest.param(["a,b"], id="comma"),
    ],
)
async def test_an_actor_sees_the_key_it_was_called_by(python_client: Client, key: list[str]) -> None:
    assert await python_client.get_or_create_by_name("tsEcho", key).call_by_name("key") == key


async def test_a_key_is_one_actor_whatever_the_handle(python_client: Client, fresh: str) -> None:
    created = await python_client.create_by_name("tsCounter", fresh, input={"start": 7})
    assert await created.call_by_name("increment", 3) == 10
    assert await python_client.get_by_name("tsCounter", fresh).call_by_name("count") == 10
    actor_id = await created.resolve()
    by_id = python_client.get_for_id(Contract, actor_id)
    assert await by_id.call_by_name("count") == 10
    late = python_client.get_or_create_by_name("tsCounter", fresh, input={"start": 100})
    assert await late.call_by_name("count") == 10
    assert await late.resolve() == actor_id


async def test_get_does_not_create(python_client: Client, fresh: str) -> None:
    missing = python_client.get_by_name("tsCounter", fresh)
    with pytest.raises(ActorNotFound):
        await missing.call_by_name("count")
    with pytest.raises(ActorNotFound):
        await missing.resolve()


async def test_create_refuses_a_key_in_use(python_client: Client, fresh: str) -> None:
    existing = await (await python_client.create_by_name("tsCounter", fresh)).resolve()
    for _ in range(5):  # an engine has more than one answer, and gives one of them by chance
        with pytest.raises(RivetError) as failure:
            await python_client.create_by_name("tsCounter", fresh)
        assert (failure.value.group, failure.value.code) == ("actor", "duplicate_key")
    assert await python_client.get_by_name("tsCounter", fresh).resolve() == existing


async def test_a_destroyed_actor_is_gone_and_its_key_free(python_client: Client, fresh: str) -> None:
    counter = await python_client.create_by_name("tsCounter", fresh, input={"start": 7})
    await counter.call_by_name("destroy")
    with pytest.raises(ActorNotFound):
        await counter.call_by_name("count")
    assert await python_client.get_or_create_by_name("tsCounter", fresh).call_by_name("count") == 0


# Connections


async def test_events_arrive_over_a_connection(python_client: Client, fresh: str) -> None:
    counter = python_client.get_or_create_by_name("tsCounter", fresh)
    async with (
        counter.connect() as connection,
        connection.events_by_name("changed") as changed,
        connection.events_by_name("moved") as moved,
    ):
        assert await connection.call_by_name("increment", 2) == 2
        assert await counter.call_by_name("increment", -5) == -3
        assert [await anext(changed), await anext(changed)] == [(2,), (-3,)]
        assert [await anext(moved), await anext(moved)] == [(2, "up"), (-5, "down")]


async def test_connection_parameters_reach_the_actor(python_client: Client, fresh: str) -> None:
    room = python_client.get_or_create_by_name("tsRoom", fresh, params={"name": "Grëce 漢"})
    assert await room.call_by_name("name") == "Grëce 漢"
    async with room.connect() as first, room.connect(params={"name": "Ada"}) as second:
        assert await first.call_by_name("name") == "Grëce 漢"
        assert await second.call_by_name("name") == "Ada"
        assert [await first.call_by_name("countCalls") for _ in range(2)] == [1, 2]
        assert await second.call_by_name("countCalls") == 1


async def test_a_hook_refuses_a_call_and_a_connection(python_client: Client, fresh: str) -> None:
    room = python_client.get_or_create_by_name("tsRoom", fresh, params={"name": "taken"})
    with pytest.raises(UserError, match="choose another name") as refused:
        await room.call_by_name("name")
    assert refused.value.metadata == {"name": "taken"}
    with pytest.raises(UserError) as closed:
        await room.connect().__aenter__()
    assert refused.value.code == closed.value.code == "name_taken"


async def test_a_client_that_was_sent_away_connects_again(python_client: Client, fresh: str) -> None:
    room = python_client.get_or_create_by_name("tsRoom", fresh, params={"name": "Ada"})
    async with room.connect() as connection:
        assert [await connection.call_by_name("countCalls") for _ in range(2)] == [1, 2]
        first = connection.connection_id
        try:
            await connection.call_by_name("leave")
        except RivetError as failure:
            assert failure.code == "connection_lost"
        assert await connection.call_by_name("countCalls") == 1
        assert connection.connection_id != first


async def saw(echo: ActorHandle[Contract], *args: object) -> list[object]:
    """What the TypeScript actor received."""
    told = await echo.call_by_name("saw", *args)
    assert isinstance(told, str)
    received = unpack(json.loads(told))
    assert isinstance(received, list)
    return received
