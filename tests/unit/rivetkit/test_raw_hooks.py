"""``on_request``, ``on_websocket`` and ``create_app`` over the core, without a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from rivetkit import Actor, ActorHandle, InvalidActor, action, actor
from rivetkit._compiler import compile_actor
from rivetkit._hosting import local_client
from rivetkit._web import Web
from rivetkit_core.config import ActorConfig, ConfigError
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.testing import FakeClock, MemoryStore


@asynccontextmanager
async def running(cls: type[Actor]) -> AsyncGenerator[ActorHandle[Actor]]:
    factory = compile_actor(cls, client_factory=lambda core: local_client(core.access))
    host = EmbeddedHost([factory], store=MemoryStore(), clock=FakeClock(), entropy=SeededEntropy(1))
    await host.open()
    try:
        async with local_client(host.access) as client:
            yield client.get_or_create(cls, "a")
    finally:
        await host.close()


class Greeter(Actor):
    state: int = 0

    async def on_request(self, request: Request) -> Response:
        self.state += 1
        return PlainTextResponse(f"{request.method} {request.url.path} {self.state}")

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text.upper())


async def test_a_hook_answers_with_a_response() -> None:
    async with running(Greeter) as greeter:
        assert (await greeter.fetch("/a")).text == "GET /a 1"
        assert (await greeter.fetch("/b", method="POST")).text == "POST /b 2"


async def test_a_hook_talks_over_a_websocket() -> None:
    async with running(Greeter) as greeter, greeter.websocket() as socket:
        await socket.send("hello")
        assert await socket.receive() == "HELLO"


class Chooser(Actor):
    """Hands some requests on to an application."""

    async def on_request(self, request: Request) -> ASGIApp:
        if request.url.path.startswith("/api/"):
            return Starlette(routes=[Route("/api/x", self._api)])
        return PlainTextResponse("page")

    async def _api(self, request: Request) -> Response:
        return JSONResponse({"method": request.method})


async def test_a_hook_may_answer_with_an_application() -> None:
    async with running(Chooser) as chooser:
        assert (await chooser.fetch("/x")).text == "page"
        assert (await chooser.fetch("/api/x")).json() == {"method": "GET"}
        assert (await chooser.fetch("/api/y")).status_code == 404


class Forgetful(Actor):
    async def on_request(self, request: Request) -> Response:  # pyright: ignore[reportReturnType]  # the mistake
        pass


async def test_a_hook_that_returns_nothing_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Forgetful) as forgetful:
        answer = await forgetful.fetch()
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_http_response")
    assert "Forgetful.on_request returned NoneType" in caplog.text


class Careless(Actor):
    """Does not catch what tells it that its client is gone."""

    async def on_websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())


async def test_a_disconnect_that_nobody_caught_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Careless) as careless, careless.websocket() as socket:
        await socket.send("hello")
        await socket.receive()
    assert caplog.text == ""


made: list[int] = []


class Whole(Actor):
    state: int = 0

    @action
    async def count(self) -> int:
        return self.state

    async def create_app(self) -> ASGIApp:
        made.append(self.ctx.generation)
        return Starlette(
            routes=[Route("/visit", self._visit), WebSocketRoute("/live", self._live)],
        )

    async def _visit(self, request: Request) -> Response:
        self.state += 1
        return PlainTextResponse(str(self.state))

    async def _live(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(self.state))
        await websocket.close()


async def test_an_application_is_made_once_when_it_is_needed_and_answers_everything() -> None:
    made.clear()
    async with running(Whole) as whole:
        assert await whole.call(Whole.count) == 0  # pyright: ignore[reportArgumentType]  # a handle of any actor
        assert made == []
        assert (await whole.fetch("/visit")).text == "1"
        assert (await whole.fetch("/visit")).text == "2"
        async with whole.websocket("/live") as socket:
            assert [message async for message in socket] == ["2"]
        assert made == [1]


class Both(Actor):
    async def create_app(self) -> ASGIApp:
        return PlainTextResponse("app")

    async def on_request(self, request: Request) -> Response:
        return PlainTextResponse("hook")


class Blocking(Actor):
    def on_request(self, request: Request) -> Response:  # pyright: ignore[reportIncompatibleMethodOverride]  # the mistake
        return PlainTextResponse("hook")


class Argumentless(Actor):
    async def on_websocket(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # the mistake
        pass


class Misspelled(Actor):
    async def on_websockets(self, websocket: WebSocket) -> None:
        pass


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (Both, "Both.on_request would never run, since create_app answers everything"),
        (Blocking, "Blocking.on_request is a hook, and hooks are async"),
        (Argumentless, "Argumentless.on_websocket has to accept 1 argument"),
        (Misspelled, "did you mean on_websocket?"),
    ],
)
def test_a_mistake_is_found_when_the_class_is_registered(cls: type[Actor], why: str) -> None:
    with pytest.raises(InvalidActor, match=why.replace("?", r"\?")):
        compile_actor(cls)


def test_the_timeout_is_an_option() -> None:
    @actor(on_request_timeout=2.5)
    class Patient(Actor):
        pass

    assert compile_actor(Patient).config.on_request_timeout == 2.5


@pytest.mark.parametrize("option", ["yes", 1])
def test_whether_websockets_stay_is_a_flag_or_a_question(option: object) -> None:
    with pytest.raises(ConfigError, match="can_hibernate_websocket"):
        ActorConfig.from_input({"can_hibernate_websocket": option})


def test_a_question_is_given_the_request() -> None:
    @actor(can_hibernate_websocket=lambda request: request.query_params["stay"] == "yes")
    class Asking(Greeter):
        pass

    web = Web(Asking())
    option = compile_actor(Asking).config.can_hibernate_websocket
    scope: dict[str, object] = {"type": "websocket", "path": "/", "headers": [], "query_string": b"stay=yes"}
    assert web.can_hibernate(scope, option)
    assert not web.can_hibernate({**scope, "query_string": b"stay=no"}, option)
    with pytest.raises(KeyError):
        web.can_hibernate({**scope, "query_string": b""}, option)


def test_who_answers_nothing_does_not_pay_for_starlette() -> None:
    program = "import sys, rivetkit; print('starlette' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
