"""Raw requests and websockets through the tunnel: streamed with credit, one text a header."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rivetkit_core.asgi import AsgiApp, Message, Receive, Scope, Send
from rivetkit_core.host.engine.tunnel.headers import as_raw, as_text
from rivetkit_core.host.engine.tunnel.window import SEND_WINDOW
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    EngineWebSocketClose,
    HostWebSocketOpen,
    RequestAbort,
    RequestBodyWindowUpdate,
    RequestChunk,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    WebSocketMessage,
)
from tests.unit.actor.scripted import Script, World
from tests.unit.host.engine.tunnel.fakes import connect, engine_of, get, upload


def answer(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def head(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def saying(*messages: Message) -> AsgiApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def copy(_scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body back as it comes."""
    await send(head((b"x-kind", b"copy")))
    while (message := await receive())["more_body"]:
        await send(answer(message["body"], more=True))
    await send(answer(b""))


async def size(_scope: Scope, receive: Receive, send: Send) -> None:
    total = 0
    while (message := await receive())["more_body"]:
        total += len(message["body"])
    text = str(total).encode()
    await send(head((b"content-length", str(len(text)).encode())))
    await send(answer(text))


def world_of(app: AsgiApp) -> World:
    return World(Script(on_request=app))


async def test_a_whole_answer_is_one_message() -> None:
    app = saying(head((b"content-length", b"5"), (b"x-a", b"b")), answer(b"hello"))
    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a", generation=1))
        whole = engine.answer(1)
        assert (whole.status, whole.body, whole.headers["x-a"]) == (200, b"hello", "b")
        assert whole.headers["x-rivet-actor"] == World.ACTOR_ID


async def test_bodies_stream_both_ways() -> None:
    async with engine_of(world_of(copy)) as engine:
        await engine.give(1, upload("/request/a"), RequestChunk(b"ab", False))
        start = engine.about(1)[0]
        assert isinstance(start, ResponseStart)
        assert (start.stream, start.headers["x-kind"]) == (True, "copy")
        assert engine.streamed(1) == b"ab"
        await engine.give(1, RequestChunk(b"cd", True))
        assert engine.streamed(1) == b"abcd"
        assert engine.about(1)[-1] == ResponseChunk(b"", finish=True)


async def test_what_a_handler_reads_is_credited() -> None:
    async with engine_of(world_of(size)) as engine:
        await engine.give(1, upload("/request/a"), RequestChunk(b"x" * 60_000, False))
        assert engine.about(1) == [RequestBodyWindowUpdate(60_000)]
        await engine.give(1, RequestChunk(b"x", True))
        assert engine.about(1)[-1] == ResponseStart(
            200,
            {
                "content-length": "5",
                "x-rivet-actor": World.ACTOR_ID,
                "x-rivet-actor-generation": "1",
                "x-rivet-actor-key": "a/b\\/c",
            },
            b"60001",
        )


async def test_an_answer_waits_for_credit() -> None:
    app = saying(head(), answer(b"x" * (SEND_WINDOW + 10), more=True), answer(b""))
    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a", generation=1))
        assert len(engine.streamed(1)) == SEND_WINDOW
        await engine.give(1, ResponseBodyWindowUpdate(SEND_WINDOW))
        assert len(engine.streamed(1)) == SEND_WINDOW + 10


async def test_a_gateway_that_cannot_stream_gets_everything_at_once() -> None:
    app = saying(head(), answer(b"a", more=True), answer(b"b"))
    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a"))
        assert engine.answer(1).body == b"ab"


async def test_a_streamed_answer_ends_before_what_runs_behind_it() -> None:
    behind = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await saying(head(), answer(b"a"))(scope, receive, send)
        await behind.wait()

    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a", generation=1))
        assert engine.about(1)[-1] == ResponseChunk(b"", finish=True)
        behind.set()


async def test_an_answer_that_fails_halfway_is_aborted() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(head())
        await send(answer(b"a", more=True))
        raise RuntimeError("secret")

    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a", generation=1))
        assert engine.about(1)[-1] == ResponseAbort(
            AbortReason(AbortKind.HANDLER_ERROR, "the handler failed")
        )


async def test_a_client_that_is_gone_ends_the_handler() -> None:
    cancelled = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with engine_of(world_of(app)) as engine:
        await engine.give(1, get("/request/a", generation=1))
        await engine.give(1, RequestAbort(reason=AbortReason(AbortKind.CANCELLED, "client disconnected")))
        assert cancelled.is_set()
        assert engine.about(1) == []


async def test_a_raw_websocket_talks_and_hears_how_its_client_left() -> None:
    heard: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            heard.append(message)
            match message["type"]:
                case "websocket.receive":
                    await send({**message, "type": "websocket.send"})
                case "websocket.disconnect":
                    return
                case _:
                    pass

    async with engine_of(World(Script(on_websocket=app))) as engine:
        await engine.give(1, connect("/websocket/a?q=1"))
        sent = [WebSocketMessage(b"hello", binary=False), WebSocketMessage(b"\x00", binary=True)]
        await engine.give(1, *sent)
        await engine.give(1, EngineWebSocketClose(4001, "bye"))
        assert engine.about(1) == [HostWebSocketOpen(can_hibernate=False), *sent]
        assert heard[-1] == {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}


async def test_text_of_a_client_that_is_not_utf_8_closes() -> None:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with engine_of(World(Script(on_websocket=app))) as engine:
        await engine.give(1, connect("/websocket/a"), WebSocketMessage(b"\xff", binary=False))
        assert engine.closes(1) == [(1007, "message.invalid_utf8")]


def test_headers_go_through_as_text() -> None:
    assert as_raw({"X-A": "ä"}) == [(b"x-a", "ä".encode())]
    assert as_text([(b"x-a", b"1"), (b"x-b", "ä".encode()), (b"x-a", b"2"), (b"x-c", b"\xe4")]) == {
        "x-a": "1, 2",
        "x-b": "ä",
        "x-c": "ä",
    }


def test_of_several_cookies_the_last_one_goes_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert as_text([(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]) == {"set-cookie": "b=2"}
    assert "several cookies" in caplog.text
