"""Raw requests and websockets: the stock TypeScript client and our actors, and the other way round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from rivetkit import ActorHandle, Client, Contract, WebSocketClosed
from tests.interop.driver import TypescriptClient
from tests.interop.runtime import TYPESCRIPT_POOL, Neighbours

pytestmark = pytest.mark.interop


# The TypeScript client and our actors


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_of_typescript_arrives_and_is_answered(
    client: TypescriptClient, fresh: str, method: str
) -> None:
    web = client.get_or_create("web", fresh, params={"who": "Ada"})
    answer = await web.fetch("/echo?a=1", method=method, headers={"x-asked": "yes"}, body=b"hello")
    assert (answer.status, answer.body) == (201, b"hello")
    assert json.loads(answer.headers["x-told"]) == [method, "a=1", "yes", {"who": "Ada"}]
    assert answer.headers["x-rivet-actor"] == await web.resolve()


async def test_a_streamed_answer_reaches_typescript(client: TypescriptClient, fresh: str) -> None:
    answer = await client.get_or_create("web", fresh).fetch("stream")
    assert (answer.status, answer.body) == (200, b"one two three")


async def test_typescript_is_given_errors_and_misses_as_they_are(
    client: TypescriptClient, fresh: str
) -> None:
    web = client.get_or_create("web", fresh)
    refused = await web.fetch("/refuse")
    assert (refused.status, json.loads(refused.body)["code"]) == (500, "bad_thing")
    missing = await web.fetch("/nowhere")
    assert (missing.status, missing.body) == (404, b"nothing at /nowhere")
    nothing = await client.get_or_create("counter", fresh).fetch("/x")
    assert (nothing.status, nothing.body) == (404, b"")


async def test_messages_of_typescript_come_back(client: TypescriptClient, fresh: str) -> None:
    web = client.get_or_create("web", fresh, params={"who": "Ada"})
    talk = await web.converse("/talk?q=1", "text", b"\x00\xff", hear=3, closing=(4002, "bye"))
    assert json.loads(str(talk.heard[0])) == ["/websocket/talk", "q=1", {"who": "Ada"}]
    assert talk.heard[1:] == ["text", b"\x00\xff"]


@pytest.mark.parametrize(
    ("say", "code", "reason"), [("close", 4001, "as you say"), ("crash", 1011, "rivetkit.internal_error")]
)
async def test_typescript_hears_how_a_handler_closed(
    client: TypescriptClient, fresh: str, say: str, code: int, reason: str
) -> None:
    talk = await client.get_or_create("web", fresh).converse("/", say, hear=99)
    assert (talk.code, talk.reason) == (code, reason)


# Our client and TypeScript actors


@pytest.fixture
async def ts_web(neighbours: Neighbours, fresh: str) -> AsyncIterator[ActorHandle[Contract]]:
    client: Client
    async with neighbours.client(TYPESCRIPT_POOL, "bare") as client:
        yield client.get_or_create_by_name("tsWeb", fresh)


@pytest.mark.engine
async def test_a_typescript_actor_answers_our_requests(ts_web: ActorHandle[Contract]) -> None:
    answer = await ts_web.fetch("/echo?a=1", method="POST", headers={"x-asked": "yes"}, content="hello")
    assert (answer.status_code, answer.text) == (201, "hello")
    assert json.loads(answer.headers["x-told"]) == ["POST", "?a=1", "yes"]
    missing = await ts_web.fetch("/nowhere")
    assert (missing.status_code, missing.text) == (404, "nothing at /nowhere")


@pytest.mark.engine
async def test_a_typescript_actor_streams_to_us(ts_web: ActorHandle[Contract]) -> None:
    async with ts_web.stream("/stream") as answer:
        assert "".join([part async for part in answer.aiter_text()]) == "one two three"


@pytest.mark.engine
async def test_an_error_of_a_typescript_actor_is_its_answer(ts_web: ActorHandle[Contract]) -> None:
    answer = await ts_web.fetch("/refuse")
    assert (answer.status_code, answer.json()["code"]) == (500, "bad_thing")


@pytest.mark.engine
async def test_a_typescript_actor_talks_to_us(ts_web: ActorHandle[Contract]) -> None:
    async with ts_web.websocket("/talk") as socket:
        for message in ("text", b"\x00\xff"):
            await socket.send(message)
            assert await socket.receive() == message
        await socket.send("close")
        with pytest.raises(WebSocketClosed) as closed:
            await socket.receive()
        assert (closed.value.close_code, closed.value.close_reason) == (4001, "as you say")
