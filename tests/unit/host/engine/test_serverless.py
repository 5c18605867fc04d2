"""Requests that start actors, against a scripted engine and on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest

from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import error
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.serverless import ServerlessHost
from rivetkit_core.host.engine.serverless_app import ServerlessApp
from rivetkit_core.host.engine.settings import EngineSettings, Named
from rivetkit_core.host.engine.start_request import EngineTarget
from rivetkit_core.host.web.asgi import Message, Receive, Scope, Send
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.testing.engine import ScriptedEngine
from rivetkit_core.testing.links import ScriptedAccess
from rivetkit_core.wire.envoy.codec import encode_start_payload
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    CommandEntry,
    Commands,
    Running,
    StartActor,
    StopActor,
    StopReason,
)
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import SCRIPTED, ScriptedEnvironment

HEADERS = {
    "x-rivet-endpoint": "http://127.0.0.1:6420/",
    "x-rivet-namespace-name": "default",
    "x-rivet-pool-name": "default",
}
PING = b"event: ping\ndata:\n\n"
STOPPING = b"event: stopping\ndata:\n\n"


class Request:
    """One HTTP request to the application, in a task."""

    def __init__(
        self, app: ServerlessApp, method: str, path: str, headers: dict[str, str], body: bytes, mount: str
    ) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.sent: list[Message] = []
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": mount,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.create_task(app(scope, self._messages.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def disconnect(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        return cast("int", self.sent[0]["status"])

    @property
    def parts(self) -> list[bytes]:
        return [cast("bytes", message["body"]) for message in self.sent[1:]]

    @property
    def has_ended(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)

    def failure(self) -> str:
        body = cast("dict[str, str]", json.loads(b"".join(self.parts)))
        return f"{body['group']}.{body['code']}"


class World:
    """A serverless host whose every engine is the scripted one."""

    def __init__(self, named: Named) -> None:
        self.clock = FakeClock()
        self.engine = ScriptedEngine(self.clock)
        self.made: list[tuple[EngineTarget, EngineHost]] = []
        self.unreachable = False
        self.log: list[str] = []
        script = Script()
        self.factory = ActorFactory(
            name=SCRIPTED,
            create=lambda context: Scripted(script, context, self.log),
            actions={},
            config=script.config,
        )
        self.host = ServerlessHost([self.factory], make=self._make, access=ScriptedAccess())
        self.settings = EngineSettings(named=named)
        self.app = ServerlessApp(self.host, self.settings, clock=self.clock, max_start_body=2000)

    def _make(self, target: EngineTarget) -> EngineHost:
        environment = (
            _Unreachable(self.engine.dialer(), self.engine)
            if self.unreachable
            else ScriptedEnvironment(self.engine.dialer(envoy_key=f"envoy-{len(self.made)}"), self.engine)
        )
        host = EngineHost(
            [self.factory],
            environment=environment,
            access=ScriptedAccess(),
            clock=self.clock,
            entropy=SeededEntropy(1),
            linger=0.0,
        )
        self.made.append((target, host))
        return host

    def actor(self) -> str:
        """An actor that the engine knows, and starts nowhere by itself."""
        return self.engine.create_actor(SCRIPTED, "a", pool="called")

    def request(
        self,
        method: str = "POST",
        path: str = "/start",
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        mount: str = "",
    ) -> Request:
        return Request(self.app, method, path, HEADERS if headers is None else headers, body, mount)

    async def start(self, actor_id: str, generation: int = 1, /, **changed: str) -> Request:
        headers = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
        request = self.request(headers=headers, body=start_body(actor_id, generation))
        await settle()
        return request

    def stop(self, actor_id: str, generation: int = 1) -> None:
        entry = CommandEntry(Checkpoint(actor_id, generation, 1), StopActor(StopReason.GOING_AWAY))
        self.made[0][1].envoy.take_commands((entry,))

    def starts(self) -> int:
        return sum(isinstance(recorded.entry.event, Running) for recorded in self.engine.events)


class _Unreachable(ScriptedEnvironment):
    async def prepare(self) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]  # never returns
        raise error("engine.unreachable", endpoint=self.endpoint, reason="nobody listens")


def start_body(actor_id: str, generation: int = 1) -> bytes:
    entry = CommandEntry(Checkpoint(actor_id, generation, 0), StartActor(SCRIPTED, "a", 0))
    return encode_start_payload(Commands((entry,)), 8)


@asynccontextmanager
async def serverless(named: Named | None = None) -> AsyncGenerator[World]:
    world = World(named or Named())
    await world.host.open()
    try:
        yield world
    finally:
        closing = asyncio.create_task(world.host.close())
        while not closing.done():
            await world.clock.advance(1.0)
        await closing
        world.engine.close()


async def test_nothing_is_connected_until_an_engine_calls() -> None:
    async with serverless() as world:
        await settle()
        assert world.made == []
        assert world.host.is_in_touch


async def test_a_start_connects_runs_the_actor_and_streams_pings() -> None:
    async with serverless() as world:
        request = await world.start(world.actor())
        assert request.status == 200
        assert (b"content-type", b"text/event-stream") in request.sent[0]["headers"]
        assert request.parts == [PING]
        assert world.starts() == 1
        await world.clock.advance(2.0)
        assert request.parts == [PING, PING, PING]


async def test_the_stream_ends_with_the_generation() -> None:
    async with serverless() as world:
        actor_id = world.actor()
        request = await world.start(actor_id)
        world.stop(actor_id)
        await settle()
        assert request.parts[-1] == STOPPING
        assert request.has_ended
        await request.task


async def test_a_second_engine_call_uses_the_same_envoy() -> None:
    async with serverless() as world:
        first = await world.start(world.actor())
        second = await world.start(world.engine.create_actor(SCRIPTED, "b", pool="called"))
        assert (first.status, second.status) == (200, 200)
        assert len(world.made) == 1


async def test_calls_at_the_same_time_open_one_envoy() -> None:
    async with serverless() as world:
        ids = [world.engine.create_actor(SCRIPTED, key, pool="called") for key in "abc"]
        requests = [world.request(body=start_body(actor_id)) for actor_id in ids]
        await settle()
        assert [request.status for request in requests] == [200, 200, 200]
        assert len(world.made) == 1


async def test_another_namespace_is_another_envoy() -> None:
    async with serverless() as world:
        await world.start(world.actor())
        await world.start(world.actor(), x_rivet_namespace_name="other")
        assert [target.namespace for target, _ in world.made] == ["default", "other"]


async def test_a_start_that_comes_twice_runs_once() -> None:
    async with serverless() as world:
        actor_id = world.actor()
        first = await world.start(actor_id)
        second = await world.start(actor_id)
        assert world.starts() == 1
        world.stop(actor_id)
        await settle()
        assert first.parts[-1] == second.parts[-1] == STOPPING


async def test_a_start_that_also_comes_over_the_connection_runs_once() -> None:
    async with serverless() as world:
        actor_id = world.actor()
        await world.start(actor_id)
        entry = CommandEntry(Checkpoint(actor_id, 1, 0), StartActor(SCRIPTED, "a", 0))
        world.made[0][1].envoy.take_commands((entry,))
        await settle()
        assert world.starts() == 1


async def test_a_newer_generation_ends_the_stream_of_the_older() -> None:
    async with serverless() as world:
        actor_id = world.actor()
        old = await world.start(actor_id, 1)
        new = await world.start(actor_id, 2)
        await settle()
        assert old.parts[-1] == STOPPING
        assert new.parts == [PING]


async def test_the_end_of_the_request_is_not_the_end_of_the_actor() -> None:
    async with serverless() as world:
        request = await world.start(world.actor())
        request.disconnect()
        await settle()
        assert request.task.done()
        assert world.made[0][1].running_count == 1


async def test_an_engine_that_hangs_up_before_the_start_starts_nothing() -> None:
    async with serverless() as world:
        actor_id = world.actor()
        request = world.request(body=start_body(actor_id))
        request.disconnect()
        await settle()
        assert request.task.done()
        assert request.sent == []
        assert world.starts() == 0


async def test_an_engine_that_cannot_be_reached_is_the_answer_and_tried_again() -> None:
    async with serverless() as world:
        world.unreachable = True
        actor_id = world.actor()
        request = await world.start(actor_id)
        assert request.status == 503
        assert request.failure() == "engine.unreachable"
        world.unreachable = False
        assert (await world.start(actor_id)).status == 200


async def test_closing_ends_actors_and_streams_and_refuses_starts() -> None:
    async with serverless() as world:
        request = await world.start(world.actor())
        closing = asyncio.create_task(world.host.close())
        while not closing.done():
            await world.clock.advance(1.0)
        assert await closing == 0
        await settle()
        assert request.parts[-1] == STOPPING
        late = await world.start(world.actor())
        assert late.status == 503
        assert late.failure() == "registry.shut_down"


@pytest.mark.parametrize("missing", list(HEADERS))
async def test_a_missing_header_is_named(missing: str) -> None:
    async with serverless() as world:
        headers = {name: value for name, value in HEADERS.items() if name != missing}
        request = world.request(headers=headers, body=start_body("a"))
        await settle()
        assert request.status == 400
        assert request.failure() == "request.invalid"
        assert missing.encode() in request.parts[0]


@pytest.mark.parametrize(
    "body", [b"", b"\x08", b"\xff\xff\x01", b"\x08\x00\x01\x00", start_body("a") + b"\0"], ids=repr
)
async def test_a_body_that_is_no_single_start_is_refused(body: bytes) -> None:
    async with serverless() as world:
        request = world.request(body=body)
        await settle()
        assert request.status == 400
        assert world.made == []


async def test_a_body_above_the_limit_is_refused() -> None:
    async with serverless() as world:
        request = world.request(body=bytes(2001))
        await settle()
        assert request.status == 413


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x_rivet_endpoint", "http://evil.test", "config.endpoint_mismatch"),
        ("x_rivet_endpoint", "http://engine.test:81", "config.endpoint_mismatch"),
        ("x_rivet_endpoint", "https://engine.test", "config.endpoint_mismatch"),
        ("x_rivet_endpoint", "file:///etc/passwd", "request.invalid"),
        ("x_rivet_namespace_name", "other", "config.namespace_mismatch"),
        ("x_rivet_pool_name", "other", "config.pool_mismatch"),
        ("x_rivet_pool_name", "p" * 129, "request.invalid"),
    ],
)
async def test_what_the_environment_names_must_agree(header: str, value: str, code: str) -> None:
    named = Named("http://engine.test", "default", "default")
    headers = {"x_rivet_endpoint": "http://ENGINE.test:80/", header: value}
    async with serverless(named) as world:
        request = await world.start(world.actor(), **headers)
        assert request.failure() == code
        assert world.made == []


async def test_the_named_endpoint_is_the_one_that_is_dialled() -> None:
    async with serverless(Named("http://localhost:6420")) as world:
        await world.start(world.actor(), x_rivet_endpoint="http://127.0.0.1:6420/")
        assert [target.endpoint for target, _ in world.made] == ["http://localhost:6420"]


async def test_without_a_named_endpoint_only_this_machine_may_call() -> None:
    async with serverless() as world:
        refused = await world.start(world.actor(), x_rivet_endpoint="http://10.0.0.1:6420")
        assert refused.failure() == "config.endpoint_mismatch"
        taken = await world.start(world.actor(), x_rivet_endpoint="http://localhost:7000")
        assert taken.status == 200


@pytest.mark.parametrize("token", ["", "wrong", "secret2"])
async def test_a_wrong_token_is_forbidden(token: str) -> None:
    async with serverless(Named(token="secret")) as world:
        request = await world.start(world.actor(), **({"x_rivet_token": token} if token else {}))
        assert request.status == 403
        assert request.failure() == "auth.forbidden"


async def test_the_right_token_is_the_one_to_connect_with() -> None:
    async with serverless(Named(token="secret")) as world:
        assert (await world.start(world.actor(), x_rivet_token="secret")).status == 200
        assert world.made[0][0].token == "secret"


@pytest.mark.parametrize(
    ("path", "mount"),
    [("/start", ""), ("/api/rivet/start", ""), ("/in/start", "/in"), ("/in/api/rivet/start", "/in")],
)
async def test_it_answers_below_any_mount_point(path: str, mount: str) -> None:
    async with serverless() as world:
        request = world.request(path=path, body=start_body(world.actor()), mount=mount)
        await settle()
        assert request.status == 200


@pytest.mark.parametrize("base", ["", "/api/rivet"])
async def test_metadata_says_that_this_host_is_called(base: str) -> None:
    async with serverless() as world:
        request = world.request("GET", f"{base}/metadata", headers={})
        await request.task
        shown = json.loads(request.parts[0])
        assert shown["runtime"] == "rivetkit"
        assert shown["envoy"] == {"kind": {"serverless": {}}, "version": 1}
        assert shown["envoyProtocolVersion"] == 8
        assert list(shown["actorNames"]) == [SCRIPTED]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/api/rivet", 200),
        ("GET", "/health", 200),
        ("OPTIONS", "/start", 204),
        ("OPTIONS", "/api/rivet/metadata", 204),
        ("GET", "/start", 404),
        ("POST", "/started", 404),
    ],
)
async def test_other_routes(method: str, path: str, status: int) -> None:
    async with serverless() as world:
        request = world.request(method, path, headers={})
        await request.task
        assert request.status == status


async def test_an_application_beside_ours_gets_what_is_not_ours() -> None:
    seen: list[str] = []

    async def page(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serverless() as world:
        world.app = ServerlessApp(world.host, world.settings, clock=world.clock, fallback=page)
        for path in ("/", "/room", "/api/rivets"):
            request = world.request("GET", path, headers={})
            await request.task
            assert request.status == 299
        inside = world.request("GET", "/api/rivet/room", headers={})
        await inside.task
        assert inside.status == 404
        assert seen == ["/", "/room", "/api/rivets"]


async def test_an_engine_that_was_not_heard_of_makes_the_host_unhealthy() -> None:
    async with serverless() as world:
        await world.start(world.actor())
        host = world.made[0][1]
        host.envoy.last_contact = world.clock.monotonic() - 21
        request = world.request("GET", "/health", headers={})
        await request.task
        assert request.status == 503


async def test_version_and_public_address_are_told() -> None:
    async with serverless() as world:
        settings = replace(world.settings, version=7)
        world.app = ServerlessApp(world.host, settings, clock=world.clock)
        request = world.request("GET", "/metadata", headers={})
        await request.task
        assert json.loads(request.parts[0])["envoy"]["version"] == 7
