"""Raw requests and websockets inside a process, from the caller's side to the actor's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rivetkit_core.asgi import AsgiApp, Message, Receive, Scope, Send
from rivetkit_core.edge.local_raw import LocalExchange, LocalRaw, LocalRawSocket, LocalSocket
from rivetkit_core.edge.websocket import Frame, SocketClosed
from rivetkit_core.errors import ConnectionLost
from rivetkit_core.host.port import LinkClosed, RawRequest
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import Script, World


def part(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


START: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def asked(app: AsgiApp, request: RawRequest | None = None) -> tuple[LocalExchange, asyncio.Task[None]]:
    task = await World(Script(on_request=app)).started()
    exchange = LocalExchange(request or RawRequest("GET", "/a?q=1"), [])
    serving = asyncio.create_task(exchange.serve(task))
    return await exchange.answered(serving), serving


async def test_an_answer_is_read_as_it_comes() -> None:
    gate = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"a"))
        await gate.wait()
        await send(part(b"b", more=False))

    answer, serving = await asked(app)
    parts = aiter(answer)
    assert (answer.status, await anext(parts)) == (200, b"a")
    gate.set()
    assert [data async for data in parts] == [b"b"]
    await serving


async def test_a_body_is_read_as_it_is_made() -> None:
    made: list[int] = []
    got: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(3):
            made.append(number)
            yield str(number).encode()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["more_body"]:
            got.append(message["body"])
        await send(START)
        await send(part(b"".join(got), more=False))

    answer, serving = await asked(app, RawRequest("POST", "/", body=body()))
    assert b"".join([data async for data in answer]) == b"012"
    assert made == [0, 1, 2]
    await serving


async def test_a_reader_that_is_slow_holds_the_writer() -> None:
    sent = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(START)
        for _ in range(100):
            await send(part(b"x" * 10_000))
            sent += 1
        await send(part(b"", more=False))

    answer, serving = await asked(app)
    await settle()
    assert sent < 10
    assert sum([len(data) async for data in answer]) == 1_000_000
    await serving


async def test_an_answer_that_is_let_go_ends_its_handler() -> None:
    ended = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    answer, serving = await asked(app)
    await answer.aclose()
    assert ended.is_set()
    assert serving.cancelled()
    with pytest.raises(ConnectionLost):
        [data async for data in answer]


async def test_an_answer_that_fails_halfway_is_lost() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"a"))
        raise RuntimeError("secret")

    answer, serving = await asked(app)
    got: list[bytes] = []
    with pytest.raises(ConnectionLost):
        async for data in answer:
            got.append(data)
    assert got == [b"a"]
    await serving


async def test_a_caller_that_stops_waiting_ends_the_handler() -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asking = asyncio.create_task(asked(app))
    await entered.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert ended.is_set()


def pair() -> tuple[LocalSocket, LocalRawSocket]:
    shared = LocalRaw()
    return LocalSocket(shared), LocalRawSocket(shared)


async def test_frames_travel_both_ways() -> None:
    actor, client = pair()
    await client.send("a")
    await client.send(b"b")
    assert [await actor.receive_frame(), await actor.receive_frame()] == [
        Frame(b"a", True),
        Frame(b"b", False),
    ]
    await actor.send(b"c", text=True)
    await actor.send(b"d", text=False)
    assert [await client.receive(), await client.receive()] == ["c", b"d"]


async def test_what_was_sent_before_a_close_arrives_before_it() -> None:
    actor, client = pair()
    await actor.send(b"last", text=True)
    await actor.close(4000, "bye")
    assert await client.receive() == "last"
    with pytest.raises(LinkClosed) as closed:
        await client.receive()
    assert (closed.value.code, closed.value.reason) == (4000, "bye")
    with pytest.raises(LinkClosed):
        await client.send("too late")
    with pytest.raises(SocketClosed):
        await actor.send(b"too late", text=True)


async def test_a_side_that_is_far_ahead_waits() -> None:
    actor, client = pair()

    async def flood() -> None:
        for number in range(200):
            await client.send(str(number))

    flooding = asyncio.create_task(flood())
    await settle()
    assert not flooding.done()
    assert [int(await actor.receive()) for _ in range(200)] == list(range(200))
    await flooding


async def test_a_close_ends_whoever_waits() -> None:
    actor, client = pair()
    reading = asyncio.create_task(actor.receive_frame())
    await settle()
    await client.close(4001, "go")
    with pytest.raises(SocketClosed) as closed:
        await reading
    assert (closed.value.code, closed.value.reason) == (4001, "go")
