"""Requests to actors' own code: what is sent, what is sent again, what is raised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from live_world import Counter, failure_of

from rivetkit.client import ActorHandle, Client
from rivetkit_core.errors import ConnectionLost, error
from rivetkit_core.host.port import RawRequest
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.testing.links import ScriptedAccess, ScriptedAnswer
from rivetkit_core.wire import cbor


class World:
    def __init__(self) -> None:
        self.access = ScriptedAccess()
        self.clock = FakeClock()
        self.client = Client(transport=self.access, clock=self.clock)

    @property
    def counter(self) -> ActorHandle[Counter]:
        return self.client.get_or_create(Counter, "a", params={"who": 1})

    @property
    def sent(self) -> list[RawRequest]:
        return [fetch.request for fetch in self.access.fetches]


def refusal(identity: str) -> ScriptedAnswer:
    return ScriptedAnswer(503, [(b"x-rivet-error", identity.encode())], [b"{}"])


async def test_a_request_has_its_path_headers_and_body() -> None:
    world = World()
    await world.counter.fetch("a b?q=1#f", method="post", headers={"X-A": "b"}, json={"c": 1})
    (request,) = world.sent
    assert (request.method, request.target, request.body) == ("POST", "/a%20b?q=1", b'{"c":1}')
    headers = dict(request.headers)
    assert (headers[b"x-a"], headers[b"content-type"], headers[b"content-length"]) == (
        b"b",
        b"application/json",
        b"7",
    )
    assert world.access.fetches[0].params == cbor.encode({"who": 1})


async def test_queries_are_joined() -> None:
    world = World()
    await world.counter.fetch("/a?b=1", query={"c": [2, 3], "d": True})
    assert world.sent[0].target == "/a?b=1&c=2&c=3&d=true"


async def test_a_response_is_httpxs_own_and_its_answer_is_closed() -> None:
    world = World()
    answer = ScriptedAnswer(201, [(b"content-type", b"text/plain"), (b"x-a", b"b")], [b"hel", b"lo"])
    world.access.next_fetch(answer)
    response = await world.counter.fetch()
    assert (response.status_code, response.text, response.headers["x-a"]) == (201, "hello", "b")
    assert (response.url.path, answer.closed) == ("/", True)


async def test_a_request_is_sent_again_while_its_actor_is_between_two_lives() -> None:
    world = World()
    first = refusal("actor.stopping")
    world.access.next_fetch(first, error("actor.not_ready"), ScriptedAnswer(204))
    fetching = asyncio.create_task(world.counter.fetch("/a", content=b"body"))
    await world.clock.advance(5)
    assert ((await fetching).status_code, first.closed) == (204, True)
    assert [request.body for request in world.sent] == [b"body"] * 3


async def test_a_body_that_can_be_read_once_is_sent_once() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"part"

    world = World()
    world.access.next_fetch(refusal("actor.stopping"))
    failure = await failure_of(world.counter.fetch("/a", method="POST", content=parts()))
    assert (failure.code, len(world.sent)) == ("stopping", 1)


async def test_an_error_the_runtime_answered_with_is_a_response() -> None:
    world = World()
    world.access.next_fetch(refusal("user.no"))
    response = await world.counter.fetch()
    assert (response.status_code, response.headers["x-rivet-error"]) == (503, "user.no")


async def test_an_error_without_an_answer_is_raised() -> None:
    world = World()
    world.access.next_fetch(error("auth.forbidden"))
    assert (await failure_of(world.counter.fetch())).code == "forbidden"


async def test_an_answer_that_breaks_off_is_raised_and_closed() -> None:
    world = World()
    broken = ScriptedAnswer(parts=[b"a"], failure=ConnectionLost("client", "connection_lost"))
    world.access.next_fetch(broken)
    assert isinstance(await failure_of(world.counter.fetch()), ConnectionLost)
    assert broken.closed


async def test_a_stream_is_read_as_it_comes_and_closed_on_leaving() -> None:
    world = World()
    answer = ScriptedAnswer(parts=[b"a\nb", b"\nc"])
    world.access.next_fetch(answer)
    async with world.counter.stream("/lines") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "a"
    assert answer.closed


async def test_a_timeout_ends_the_wait() -> None:
    class Silent(ScriptedAnswer):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    world = World()
    answer = Silent()
    world.access.next_fetch(answer)
    fetching = asyncio.create_task(world.counter.fetch(timeout=3.0))
    await settle()
    await world.clock.advance(3)
    assert (await failure_of(fetching)).code == "timed_out"
    assert answer.closed


@pytest.mark.parametrize("what", ["fetch", "websocket"])
async def test_a_closed_client_sends_nothing(what: str) -> None:
    world = World()
    counter = world.counter
    await world.client.aclose()
    asking = counter.fetch() if what == "fetch" else counter.websocket().__aenter__()
    assert (await failure_of(asking)).code == "disposed"
    assert world.sent == []


async def test_a_websocket_has_to_be_entered() -> None:
    assert (await failure_of(World().counter.websocket().receive())).code == "invalid_operation"


async def test_a_path_is_text() -> None:
    with pytest.raises(TypeError):
        await World().counter.fetch(7)  # pyright: ignore[reportArgumentType]  # the mistake
