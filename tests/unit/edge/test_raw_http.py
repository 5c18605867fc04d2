"""Raw requests over an exchange without a network (actor-runtime 10.2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from rivetkit_core.actor.sleep import SleepBlocker
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.asgi import AsgiApp, Message, RawHeaders, Receive, Scope, Send
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.raw_http import MAX_BODY, ClientGone, serve_raw_http
from rivetkit_core.errors import RivetError, UserError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, World


@dataclass
class Exchange:
    """Implements ``RawExchange``: the body comes from the test, and what is answered is kept."""

    head: RawHead = field(default_factory=lambda: RawHead("GET", "/request/a"))
    parts: list[bytes | Exception] = field(default_factory=list[bytes | Exception])
    status: int = 0
    headers: RawHeaders = field(default_factory=RawHeaders)
    body: bytes = b""
    said: list[str] = field(default_factory=list[str])

    async def read(self) -> bytes:
        part = self.parts.pop(0) if self.parts else b""
        if isinstance(part, Exception):
            raise part
        return part

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.said.append("respond")

    async def start(self, status: int, headers: RawHeaders) -> None:
        self.status, self.headers = status, headers
        self.said.append("start")

    async def write(self, data: bytes) -> None:
        self.body += data
        self.said.append("write")

    async def finish(self) -> None:
        self.said.append("finish")

    @property
    def error(self) -> tuple[int, str]:
        known = json.loads(self.body)
        identity = f"{known['group']}.{known['code']}"
        assert dict(self.headers)[b"x-rivet-error"] == identity.encode()
        return self.status, identity


def start(status: int = 200, **headers: str) -> Message:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": named}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def saying(*messages: Message) -> AsgiApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


HELLO = saying(start(content_length="5"), body(b"hello"))


async def served(app: AsgiApp | None, exchange: Exchange | None = None, **config: object) -> Exchange:
    world = World(Script(on_request=app, config=ActorConfig.from_input(config)))
    exchange = exchange or Exchange()
    await serve_raw_http(await world.started(), exchange)
    return exchange


# --- answers ------------------------------------------------------------------------------------------


async def test_a_whole_answer_goes_out_at_once_and_names_its_actor() -> None:
    exchange = await served(HELLO)
    assert (exchange.status, exchange.body, exchange.said) == (200, b"hello", ["respond"])
    assert exchange.headers == [
        (b"content-length", b"5"),
        (b"x-rivet-actor", b"actor1"),
        (b"x-rivet-actor-generation", b"1"),
        (b"x-rivet-actor-key", b"a/b\\/c"),
    ]


async def test_an_answer_of_unknown_length_begins_before_its_first_part() -> None:
    exchange = await served(saying(start(), body(b"a", more=True), body(b"b", more=True), body()))
    assert (exchange.said, exchange.body) == (["start", "write", "write", "finish"], b"ab")


async def test_a_long_answer_of_known_length_is_streamed_too() -> None:
    exchange = await served(saying(start(content_length="2"), body(b"a", more=True), body(b"b")))
    assert exchange.said == ["start", "write", "write", "finish"]


async def test_what_comes_behind_a_complete_answer_is_ignored() -> None:
    exchange = await served(saying(start(content_length="1"), body(b"a"), body(b"b"), {"type": "http.x"}))
    assert exchange.body == b"a"


@pytest.mark.parametrize(
    ("app", "identity"),
    [
        pytest.param(saying(), "protocol.invalid_http_response", id="nothing"),
        pytest.param(saying(start(content_length="1")), "protocol.invalid_http_response", id="head-only"),
        pytest.param(saying(body(b"a")), "rivetkit.internal_error", id="body-first"),
    ],
)
async def test_an_application_that_does_not_answer_has_failed(app: AsgiApp, identity: str) -> None:
    assert (await served(app)).error == (500, identity)


async def test_an_actor_without_a_handler_answers_404_and_runs_no_hook() -> None:
    world = World(Script())
    exchange = Exchange()
    await serve_raw_http(await world.started(), exchange)
    assert (exchange.status, exchange.body) == (404, b"")
    assert "before_connect" not in world.log


async def test_a_failure_behind_a_complete_answer_changes_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await HELLO(scope, receive, send)
        raise UserError("too late")

    exchange = await served(app)
    assert (exchange.status, exchange.body) == (200, b"hello")


async def test_a_failure_within_an_answer_breaks_it_off() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"half", more=True))
        raise RuntimeError("secret")

    exchange = Exchange()
    with pytest.raises(RivetError, match="internal_error"):
        await served(app, exchange)
    assert exchange.said == ["start", "write"]


async def test_an_answer_without_an_end_is_broken_off() -> None:
    with pytest.raises(RivetError, match="invalid_http_response"):
        await served(saying(start(), body(b"half", more=True)))


# --- requests -----------------------------------------------------------------------------------------


async def seen(head: RawHead) -> Scope:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await HELLO(scope, receive, send)

    await served(app, Exchange(head))
    return scopes[0]


@pytest.mark.parametrize(
    ("path", "raw", "decoded"),
    [
        ("/request", b"/", "/"),
        ("/request/", b"/", "/"),
        ("/request/a%20b", b"/a%20b", "/a b"),
        ("/request/%C3%A4/c", b"/%C3%A4/c", "/ä/c"),
    ],
)
async def test_the_prefix_is_not_seen(path: str, raw: bytes, decoded: str) -> None:
    scope = await seen(RawHead("GET", path, "q=%C3%A4"))
    assert (scope["raw_path"], scope["path"], scope["root_path"]) == (raw, decoded, "")
    assert scope["query_string"] == b"q=%C3%A4"


async def test_an_url_that_a_client_was_given_is_seen_again() -> None:
    headers = [
        (b"host", b"127.0.0.1"),
        (b"x-rivet-internal-original-request-url", b"https://example.com/x?y=1"),
        (b"accept", b"a"),
    ]
    scope = await seen(RawHead("GET", "/request/x", "y=1", headers))
    assert (scope["scheme"], scope["path"], scope["query_string"]) == ("https", "/x", b"y=1")
    assert scope["headers"] == [(b"host", b"example.com"), (b"accept", b"a")]


async def test_a_body_comes_in_the_parts_it_had_and_then_ends() -> None:
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.extend([await receive(), await receive(), await receive()])
        await HELLO(scope, receive, send)
        got.append(await receive())

    await served(app, Exchange(parts=[b"ab", b"c"]))
    assert [(message["type"], message.get("body"), message.get("more_body")) for message in got] == [
        ("http.request", b"ab", True),
        ("http.request", b"c", True),
        ("http.request", b"", False),
        ("http.disconnect", None, None),
    ]


async def test_a_client_that_is_gone_is_a_disconnect() -> None:
    got: list[str] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        got.append((await receive())["type"])

    exchange = await served(app, Exchange(parts=[ClientGone()]))
    assert (got, exchange.said) == (["http.disconnect"], [])


async def test_a_body_that_is_too_long_is_refused_whatever_a_framework_makes_of_it() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive())["more_body"]:
                pass
        except RivetError:
            await send(start(500, content_length="0"))
            await send(body())

    exchange = await served(app, Exchange(parts=[b"x" * MAX_BODY, b"x"]))
    assert exchange.error == (413, "guard.invalid_request_body")


# --- life ---------------------------------------------------------------------------------------------


class Held:
    """An application that answers when the test lets it."""

    def __init__(self, *first: Message) -> None:
        self.first = first
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.first:
            await send(message)
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.first:
            await send(body(b"end"))
        else:
            await HELLO(scope, receive, send)


async def begun(app: Held, **config: object) -> tuple[World, ActorTask, Exchange, asyncio.Task[None]]:
    world = World(Script(on_request=app, config=ActorConfig.from_input(config)))
    task, exchange = await world.started(), Exchange()
    serving = asyncio.create_task(serve_raw_http(task, exchange))
    await app.entered.wait()
    return world, task, exchange, serving


async def test_a_request_keeps_its_actor_awake_until_it_is_answered() -> None:
    app = Held()
    world, task, exchange, serving = await begun(app, sleep_timeout=10.0)
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_HTTP_REQUESTS
    assert task.metrics.gauges()["http_requests_active",] == 1
    await world.clock.advance(30)
    assert world.host.sleep_requests == 0
    app.release.set()
    await serving
    await settle()
    assert task.sleep.blocker() is None
    await world.clock.advance(10)
    assert (exchange.status, world.host.sleep_requests) == (200, 1)


async def test_an_answer_has_to_begin_in_time() -> None:
    app = Held()
    world, _, exchange, serving = await begun(app, on_request_timeout=5.0)
    await world.clock.advance(5)
    await serving
    assert (exchange.error, app.cancelled) == ((408, "actor.action_timed_out"), True)


async def test_the_timeout_of_actions_is_the_default() -> None:
    app = Held()
    world, _, exchange, serving = await begun(app, action_timeout=3.0)
    await world.clock.advance(3)
    await serving
    assert exchange.error == (408, "actor.action_timed_out")


async def test_an_answer_that_has_begun_takes_as_long_as_it_takes() -> None:
    app = Held(start(), body(b"a", more=True))
    world, _, exchange, serving = await begun(app, on_request_timeout=5.0)
    await world.clock.advance(100)
    assert exchange.said == ["start", "write"]
    app.release.set()
    await serving
    assert exchange.said == ["start", "write", "write", "finish"]


async def test_a_request_is_finished_within_the_grace_period() -> None:
    app = Held()
    _, task, exchange, serving = await begun(app)
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    app.release.set()
    await asyncio.gather(stopping, serving)
    assert exchange.body == b"hello"


async def test_a_request_is_aborted_at_the_end_of_the_grace_period() -> None:
    app = Held()
    world, task, exchange, serving = await begun(app, sleep_grace_period=5.0)
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(5)
    await asyncio.gather(stopping, serving)
    assert (exchange.error, app.cancelled) == ((400, "actor.aborted"), True)


async def test_a_request_to_an_actor_that_has_ended_is_refused() -> None:
    world = World(Script(on_request=HELLO))
    task, exchange = await world.started(), Exchange()
    await task.stop(StopKind.SLEEP)
    await serve_raw_http(task, exchange)
    assert exchange.error == (503, "actor.stopping")


async def test_requests_count_as_work_that_was_accepted() -> None:
    app = Held()
    _, task, _, serving = await begun(app, dispatch_inbox_capacity=1)
    second = Exchange()
    await serve_raw_http(task, second)
    assert second.error == (503, "actor.overloaded")
    app.release.set()
    await serving


async def test_a_caller_that_is_gone_ends_its_handler() -> None:
    app = Held()
    _, task, exchange, serving = await begun(app)
    serving.cancel()
    await asyncio.wait([serving])
    assert (app.cancelled, exchange.said, len(task.connections)) == (True, [], 0)


async def test_a_strict_answer_waits_for_the_state_it_tells_of() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        world.instance.state = 7
        await HELLO(scope, receive, send)

    world = World(Script(on_request=app, config=ActorConfig(durability="strict")))
    task, exchange = await world.started(), Exchange()
    world.store.hold_writes()
    serving = asyncio.create_task(serve_raw_http(task, exchange))
    await settle()
    assert exchange.said == []
    world.store.release_writes()
    await serving
    assert (exchange.said, await world.stored_state()) == (["respond"], 7)


async def test_a_strict_failure_waits_as_well() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        world.instance.state = 7
        raise UserError("it is 7")

    world = World(Script(on_request=app, config=ActorConfig(durability="strict")))
    task, exchange = await world.started(), Exchange()
    world.store.hold_writes()
    serving = asyncio.create_task(serve_raw_http(task, exchange))
    await settle()
    assert exchange.said == []
    world.store.release_writes()
    await serving
    assert exchange.error == (500, "user.user_error")


async def test_what_a_handler_changed_is_saved() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await HELLO(scope, receive, send)
        world.instance.state = 9

    world = World(Script(on_request=app))
    await serve_raw_http(await world.started(), Exchange())
    await world.clock.advance(1)
    assert await world.stored_state() == 9


async def test_connect_hooks_run_around_a_request() -> None:
    world = World(Script(on_request=HELLO))
    await serve_raw_http(await world.started(), Exchange())
    await settle()
    assert world.log[-3:] == ["on_connect", "on_request", "on_disconnect"]


async def test_parameters_that_are_no_json_are_refused() -> None:
    head = RawHead("GET", "/request/a", "", [(b"x-rivet-conn-params", b"{")])
    assert (await served(HELLO, Exchange(head))).error == (400, "request.invalid")


async def test_an_error_comes_in_the_callers_encoding() -> None:
    head = RawHead("GET", "/request/a", "", [(b"x-rivet-encoding", b"cbor")])

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise UserError("no", code="no")

    exchange = await served(app, Exchange(head))
    assert dict(exchange.headers)[b"content-type"] == b"application/octet-stream"
    known = cbor.decode(exchange.body)
    assert isinstance(known, dict)
    assert known["code"] == "no"
