"""Raw requests and websockets, whichever way a client takes: over the network or inside the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from rivetkit import RivetError, SyncClient, WebSocketClosed
from rivetkit.client import ActorHandle, Client
from rivetkit_core.errors import ActorNotFound
from tests.contract.client_places import MakePlace, Place, here, on_engine
from tests.contract.client_web_actor import Web

PLACES = [pytest.param(here, id="embedded"), pytest.param(on_engine, id="engine", marks=pytest.mark.engine)]
MEGABYTE = 1024 * 1024


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest) -> Place:
    make: MakePlace = request.param
    return make(lambda: request.getfixturevalue("engine"))


@pytest.fixture(params=["network", "local"])
async def client(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Client]:
    async with place.serving() as (registry, endpoint):
        made = registry.client if request.param == "local" else Client(endpoint)
        async with made:
            yield made
            await place.leave()


@pytest.fixture
def web(client: Client) -> ActorHandle[Web]:
    return client.get_or_create(Web, "a", params={"who": "Ada"})


# --- requests -----------------------------------------------------------------------------------------


async def test_fetch_returns_the_response(web: ActorHandle[Web]) -> None:
    response = await web.fetch("/hello")
    assert (response.status_code, response.text) == (200, "hello")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await web.fetch("hello")).text == "hello"
    assert response.request.method == "GET"


async def test_a_request_arrives_as_it_was_made(web: ActorHandle[Web]) -> None:
    options = {"x-asked": "yes"}
    response = await web.fetch("/echo?a=1", method="PUT", query={"b": "ä"}, headers=options, json={"c": 2})
    assert response.json() == ["PUT", "a=1&b=%C3%A4", "yes", "application/json", '{"c":2}', {"who": "Ada"}]


async def test_forms_and_files_are_encoded(web: ActorHandle[Web]) -> None:
    assert (await web.fetch("/upload", method="POST", content=b"x" * 2 * MEGABYTE)).text == str(2 * MEGABYTE)
    form = await web.fetch("/echo", method="POST", data={"a": "b c"})
    assert form.json()[3:5] == ["application/x-www-form-urlencoded", "a=b+c"]
    files = await web.fetch("/echo", method="POST", files={"f": ("name.txt", "inside", "text/plain")})
    assert "inside" in files.json()[4]


async def test_a_body_is_streamed_up(web: ActorHandle[Web]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 50_000

    response = await web.fetch("/upload", method="POST", content=parts())
    assert response.text == "2500000"


async def test_an_answer_is_streamed_down(web: ActorHandle[Web]) -> None:
    async with web.stream("/numbers", query={"count": 1000}) as response:
        assert response.status_code == 200
        assert [line async for line in response.aiter_lines()] == [str(number) for number in range(1000)]


async def test_a_stream_may_be_left_early(web: ActorHandle[Web]) -> None:
    async with web.stream("/numbers", query={"count": 1_000_000}) as response:
        assert (await anext(response.aiter_lines())) == "0"
    assert (await web.fetch("/hello")).text == "hello"


async def test_what_an_actor_answers_is_no_error(web: ActorHandle[Web]) -> None:
    assert (await web.fetch("/nowhere")).status_code == 404
    refused = await web.fetch("/refuse")
    assert (refused.status_code, refused.json()["code"]) == (500, "nope")


async def test_an_actor_that_does_not_exist_is_one(client: Client) -> None:
    with pytest.raises(ActorNotFound):
        await client.get(Web, "nobody").fetch("/hello")


async def test_a_request_has_a_time_limit(web: ActorHandle[Web]) -> None:
    with pytest.raises(RivetError, match="timed_out"):
        await web.fetch("/wait", timeout=0.5)


async def test_actors_fetch_from_each_other(client: Client) -> None:
    assert await client.get_or_create(Web, "a").call(Web.ask, "b") == "hello"


# --- websockets ---------------------------------------------------------------------------------------


async def test_messages_travel_both_ways(web: ActorHandle[Web]) -> None:
    async with web.websocket("/talk?q=1", protocols=["chat"]) as socket:
        assert json.loads(await socket.receive()) == ["/websocket/talk", "q=1", ["chat"], {"who": "Ada"}]
        for message in ("text", b"\x00\xff"):
            await socket.send(message)
            assert await socket.receive() == message


async def test_iteration_ends_with_the_websocket(web: ActorHandle[Web]) -> None:
    async with web.websocket() as socket:
        await socket.send("one")
        await socket.send("leave")
        assert [message async for message in socket][1:] == ["one"]


@pytest.mark.parametrize(
    ("say", "code", "reason"),
    [("close", 4001, "as you say"), ("crash", 1011, "rivetkit.internal_error")],
)
async def test_a_close_is_told_by_code_and_reason(
    web: ActorHandle[Web], say: str, code: int, reason: str
) -> None:
    async with web.websocket() as socket:
        await socket.send(say)
        with pytest.raises(WebSocketClosed) as caught:
            async for _ in socket:
                pass
        assert (caught.value.close_code, caught.value.close_reason) == (code, reason)
        with pytest.raises(WebSocketClosed):
            await socket.send("too late")


async def test_a_websocket_that_was_closed_here_says_so(web: ActorHandle[Web]) -> None:
    async with web.websocket() as socket:
        await socket.close(4002, "enough")
        with pytest.raises(WebSocketClosed):
            while True:
                await socket.receive()


def ask_blocking(endpoint: str) -> list[object]:
    """The same, without an event loop."""
    with SyncClient(endpoint) as client:
        web = client.get_or_create(Web, "a")
        told: list[object] = [web.fetch("/echo", method="POST", json=[1]).json()[4]]
        with web.stream("/numbers", query={"count": 3}) as response:
            told.append(list(response.iter_lines()))
        with web.websocket("/talk") as socket:
            socket.receive()
            socket.send("hi")
            socket.send("leave")
            told.append(list(socket))
        return told


async def test_a_blocking_client_does_the_same(place: Place) -> None:
    async with place.serving() as (_, endpoint):
        assert await asyncio.to_thread(ask_blocking, endpoint) == ["[1]", ["0", "1", "2"], ["hi"]]
        await place.leave()
