"""HTTP of the streaming gateway: credit both ways, and breaking off (envoy-protocol 6.3)."""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.host.engine.tunnel.exchange import HttpExchange
from rivetkit_core.host.engine.tunnel.window import CHUNK, RECEIVE_WINDOW, SEND_WINDOW
from rivetkit_core.testing import settle
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    RequestAbort,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
)
from tests.unit.actor.scripted import Script, Scripted, World
from tests.unit.host.engine.tunnel.fakes import action, engine_of, get, output, upload

GONE = RequestAbort(reason=AbortReason(AbortKind.CANCELLED, "client disconnected"))


async def echo(_: Scripted, args: list[object]) -> object:
    return args


async def copy(_actor: ActorTask, exchange: HttpExchange) -> None:
    """Send the body back as it comes."""
    await exchange.start(200, {"x-kind": "copy"})
    async for chunk in exchange.body:
        await exchange.write(chunk)


async def large(_actor: ActorTask, exchange: HttpExchange) -> None:
    await exchange.start(200, {})
    await exchange.write(b"x" * (2 * SEND_WINDOW))


async def ignore(_actor: ActorTask, exchange: HttpExchange) -> None:
    await exchange.respond(200, {}, b"unread")


async def test_an_action_whose_arguments_come_in_chunks_is_answered() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        whole = action("echo", "hello", generation=1)
        body = whole.body or b""
        start = upload(whole.path, headers=whole.headers)
        await engine.give(1, start, RequestChunk(body[:3], False), RequestChunk(body[3:], True))
        assert output(engine.answer(1)) == ["hello"]


async def test_a_streamed_answer_arrives_in_pieces() -> None:
    async with engine_of(World(Script()), handler=copy) as engine:
        await engine.give(1, upload("/"), RequestChunk(b"ab", False))
        assert engine.about(1)[0] == ResponseStart(200, {"x-kind": "copy"}, None, stream=True)
        assert engine.streamed(1) == b"ab"
        await engine.give(1, RequestChunk(b"cd", True))
        assert engine.streamed(1) == b"abcd"
        assert engine.about(1)[-1] == ResponseChunk(b"", finish=True)


async def test_every_message_takes_the_next_number() -> None:
    async with engine_of(World(Script()), handler=copy) as engine:
        await engine.give(1, upload("/"))
        await engine.give(1, RequestChunk(b"ab", False))
        await engine.give(1, RequestChunk(b"cd", True))
        assert len(engine.about(1)) == 5
        assert engine.indices(1) == [0, 1, 2, 3, 4]


async def test_what_was_read_is_credited_when_nothing_is_left() -> None:
    async with engine_of(World(Script()), handler=copy) as engine:
        await engine.give(1, upload("/"))
        await engine.give(1, RequestChunk(b"x" * 10, False))
        await engine.give(1, RequestChunk(b"x" * 5, False))
        reported = [kind for kind in engine.about(1) if isinstance(kind, RequestBodyWindowUpdate)]
        assert reported == [RequestBodyWindowUpdate(10), RequestBodyWindowUpdate(15)]


async def test_a_body_that_nobody_reads_earns_no_credit() -> None:
    release = asyncio.Event()

    async def wait(_actor: ActorTask, exchange: HttpExchange) -> None:
        await release.wait()
        await copy(_actor, exchange)

    async with engine_of(World(Script()), handler=wait) as engine:
        await engine.give(1, upload("/"), RequestChunk(b"x" * CHUNK, False))
        assert engine.about(1) == []
        release.set()
        await settle()
        assert RequestBodyWindowUpdate(CHUNK) in engine.about(1)


async def test_a_body_beyond_its_credit_breaks_the_request() -> None:
    cancelled: list[bool] = []

    async def wait(_actor: ActorTask, _exchange: HttpExchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async with engine_of(World(Script()), handler=wait) as engine:
        await engine.give(1, upload("/"))
        await engine.give(1, RequestChunk(b"x" * (RECEIVE_WINDOW + 1), False))
        (abort,) = engine.about(1)
        assert isinstance(abort, ResponseAbort)
        assert cancelled == [True]


async def test_a_body_that_is_not_read_is_stopped_before_the_answer() -> None:
    async with engine_of(World(Script()), handler=ignore) as engine:
        await engine.give(1, upload("/"))
        await engine.give(1, RequestBodyCancel(), RequestChunk(b"late", True))
        assert engine.about(1) == [RequestBodyCancel(), ResponseStart(200, {}, b"unread")]


async def test_an_upload_that_the_engine_breaks_off_is_not_taken_for_complete() -> None:
    seen: list[bytes] = []

    async def note(_actor: ActorTask, exchange: HttpExchange) -> None:
        async for chunk in exchange.body:
            seen.append(chunk)
        await exchange.respond(200, {}, b"complete")

    async with engine_of(World(Script()), handler=note) as engine:
        await engine.give(1, upload("/"))
        engine.give_at(1, 1, RequestChunk(b"part", False))
        engine.give_at(1, 2, RequestBodyCancel())
        await settle()
        assert seen == [b"part"]
        answer = engine.about(1)[-1]
        assert isinstance(answer, ResponseStart)
        assert answer.headers["x-rivet-error"] == "request.invalid"


async def test_a_body_that_came_whole_needs_no_stopping() -> None:
    async with engine_of(World(Script()), handler=ignore) as engine:
        await engine.give(1, action("echo", generation=1))
        assert engine.answer(1).body == b"unread"


async def test_a_body_that_is_declared_too_long_is_refused() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, upload("/action/echo", headers={"content-length": str(21 * 1024 * 1024)}))
        cancel, answer = engine.about(1)
        assert isinstance(cancel, RequestBodyCancel)
        assert isinstance(answer, ResponseStart)
        assert answer.status == 413
        assert answer.headers["x-rivet-error"] == "guard.invalid_request_body"


async def test_a_body_that_grows_too_long_is_refused() -> None:
    async def small(_actor: ActorTask, exchange: HttpExchange) -> None:
        await exchange.respond(200, {}, await exchange.read_body(10))

    async with engine_of(World(Script()), handler=small) as engine:
        await engine.give(1, upload("/"), RequestChunk(b"x" * 8, False))
        await engine.give(1, RequestChunk(b"x" * 8, False))
        answer = engine.about(1)[-1]
        assert isinstance(answer, ResponseStart)
        assert answer.status == 413


async def test_a_writer_waits_for_the_client() -> None:
    async with engine_of(World(Script()), handler=large) as engine:
        await engine.give(1, get("/", generation=1))
        assert len(engine.streamed(1)) == SEND_WINDOW
        await engine.give(1, ResponseBodyWindowUpdate(100))
        assert len(engine.streamed(1)) == SEND_WINDOW + 100
        await engine.give(1, ResponseBodyWindowUpdate(SEND_WINDOW + 100))
        assert len(engine.streamed(1)) == 2 * SEND_WINDOW
        chunks = [kind for kind in engine.about(1) if isinstance(kind, ResponseChunk)]
        assert max(len(chunk.body) for chunk in chunks) == CHUNK
        assert chunks[-1] == ResponseChunk(b"", finish=True)


async def test_a_gateway_that_cannot_stream_gets_everything_at_once() -> None:
    async with engine_of(World(Script()), handler=large) as engine:
        await engine.give(1, get("/"))
        assert engine.answer(1).body == b"x" * (2 * SEND_WINDOW)


async def test_a_streamed_answer_too_long_to_leave_whole_is_an_error() -> None:
    async with engine_of(World(Script()), handler=large) as engine:
        engine.tunnel.max_payload = 1000
        await engine.give(1, get("/"))
        assert engine.answer(1).headers["x-rivet-error"] == "message.outgoing_too_long"


async def test_a_handler_that_fails_midway_cuts_the_answer() -> None:
    async def broken(_actor: ActorTask, exchange: HttpExchange) -> None:
        await exchange.start(200, {})
        raise ValueError

    async with engine_of(World(Script()), handler=broken) as engine:
        await engine.give(1, get("/", generation=1))
        abort = engine.about(1)[-1]
        assert isinstance(abort, ResponseAbort)
        assert abort.reason.kind is AbortKind.HANDLER_ERROR


async def test_a_client_that_leaves_ends_its_handler_and_hears_nothing() -> None:
    ended: list[str] = []

    async def slow(_: Scripted, _args: list[object]) -> object:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")
        return None

    async with engine_of(World(Script(actions={"slow": slow}))) as engine:
        await engine.give(1, action("slow", generation=1))
        await engine.give(1, GONE)
        assert ended == ["slow"]
        assert engine.about(1) == []


async def test_a_handler_that_ignores_its_cancellation_writes_into_nothing() -> None:
    async def stubborn(_actor: ActorTask, exchange: HttpExchange) -> None:
        await exchange.start(200, {})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await exchange.write(b"x" * (2 * SEND_WINDOW))

    async with engine_of(World(Script()), handler=stubborn) as engine:
        await engine.give(1, get("/", generation=1))
        await engine.give(1, GONE)
        assert len(engine.about(1)) == 1


async def test_an_abort_that_overtakes_its_request_suppresses_it() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, GONE)
        await engine.give(1, get("/health", generation=1))
        assert engine.about(1) == []


async def test_an_abort_does_not_suppress_what_is_delivered_again() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, GONE)
        await engine.give(1, get("/health"))
        assert engine.answer(1).status == 200


async def test_an_upload_that_outlives_its_actor_is_refused() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, upload("/action/echo"))
        await engine.give(2, upload("/action/echo", generation=None))
        await engine.actors[0].stop(StopKind.SLEEP)
        await engine.give(1, RequestChunk(b"", True))
        await engine.give(2, RequestChunk(b"", True))
        answer = engine.about(1)[-1]
        assert isinstance(answer, ResponseStart)
        assert answer.headers["x-rivet-error"] == "actor.stopping"
        assert isinstance(engine.about(2)[-1], ResponseAbort)


async def test_answering_twice_is_a_bug_that_the_client_does_not_see() -> None:
    async def twice(_actor: ActorTask, exchange: HttpExchange) -> None:
        await exchange.respond(200, {}, b"first")
        await exchange.respond(200, {}, b"second")

    async with engine_of(World(Script()), handler=twice) as engine:
        await engine.give(1, get("/"))
        assert engine.answer(1).body == b"first"
