"""The token, in all the places clients put it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import httpx
import pytest

from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.gateway.auth import TokenGuard, header_tokens
from rivetkit_core.host.web.asgi import Message, read_head
from tests.unit.host.embedded.fakes import http_scope, open_host

TOKEN = "geheim ß/1"
_QUERY = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default"


@pytest.fixture
async def app() -> AsyncIterator[GatewayApp]:
    async with open_host() as host:
        yield GatewayApp(host, token=TOKEN)


@pytest.fixture
async def http(app: GatewayApp) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def test_without_a_token_everybody_may_call() -> None:
    TokenGuard(None).check(None)
    TokenGuard(None).check("anything")


@pytest.mark.parametrize("offered", [(), (None,), ("",), ("wrong",), (TOKEN + "x",), (None, "wrong")])
def test_without_the_right_token_nobody_may_call(offered: tuple[str | None, ...]) -> None:
    with pytest.raises(RivetError) as caught:
        TokenGuard(TOKEN).check(*offered)
    assert (caught.value.group, caught.value.code) == ("api", "unauthorized")
    assert TOKEN not in str(caught.value)


def test_one_right_token_among_wrong_ones_is_enough() -> None:
    TokenGuard(TOKEN).check("wrong", None, TOKEN)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"authorization", b"Bearer abc", ("abc", None)),
        (b"authorization", b"bearer  abc ", ("abc", None)),
        (b"authorization", b"Basic abc", (None, None)),
        (b"authorization", b"abc", (None, None)),
        (b"authorization", b"Bearer", ("", None)),
        (b"authorization", "Bearer ß".encode(), ("ß", None)),
        (b"x-rivet-token", b"abc", (None, "abc")),
        (b"x-rivet-token", b"\xff", (None, "\ufffd")),
        (b"x-other", b"abc", (None, None)),
    ],
)
def test_headers_that_carry_tokens(
    name: bytes, value: bytes, expected: tuple[str | None, str | None]
) -> None:
    assert header_tokens(read_head(http_scope("/", headers=[(name, value)]))) == expected


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (f"/gateway/note/health?{_QUERY}&rvt-token={quote(TOKEN)}", {}),
        (f"/gateway/note/health?{_QUERY}", {"x-rivet-token": TOKEN}),
        (f"/gateway/note/health?{_QUERY}", {"authorization": f"Bearer {TOKEN}"}),
        ("/actors?namespace=default&name=note", {"authorization": f"Bearer {TOKEN}"}),
        ("/actors?namespace=default&name=note", {"x-rivet-token": TOKEN}),
    ],
)
async def test_the_right_token_opens(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert (await http.get(url, headers=encoded)).status_code == 200


async def test_the_right_token_behind_the_id_opens(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/gateway/unknown@{quote(TOKEN, safe='')}/health")
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    "url",
    [
        "/gateway/unknown/health",
        "/gateway/unknown@wrong/health",
        f"/gateway/note/health?{_QUERY}",
        f"/gateway/note/health?{_QUERY}&rvt-token=wrong",
        "/actors?namespace=default&name=note",
        "/nowhere",
    ],
)
async def test_a_missing_or_wrong_token_closes(http: httpx.AsyncClient, url: str) -> None:
    answer = await http.get(url)
    assert (answer.status_code, answer.json()["group"], answer.json()["code"]) == (401, "api", "unauthorized")
    created = await http.get(
        "/actors?namespace=default&name=note", headers=[(b"x-rivet-token", TOKEN.encode())]
    )
    assert created.json()["actors"] == []


@pytest.mark.parametrize("path", ["/", "/health", "/metadata"])
async def test_what_clients_read_first_is_open(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 200


async def test_a_preflight_is_open(http: httpx.AsyncClient) -> None:
    assert (await http.options("/actors")).status_code == 200
    assert (await http.options("/gateway/a/health")).status_code == 204


async def _handshake(app: GatewayApp, path: str, query: str, *subprotocols: str) -> list[Message]:
    """What a websocket is told when its client leaves after the handshake."""
    scope = http_scope(path, query=query.encode())
    scope.update(type="websocket", subprotocols=["rivet", *subprotocols])
    incoming: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("query", "tokens"),
    [(f"{_QUERY}&rvt-token={quote(TOKEN)}", ()), (_QUERY, (f"rivet_token.{TOKEN}",))],
)
async def test_a_websocket_opens_with_the_token(app: GatewayApp, query: str, tokens: tuple[str, ...]) -> None:
    sent = await _handshake(app, "/gateway/note/connect", query, *tokens)
    assert [message["type"] for message in sent][:2] != ["websocket.accept", "websocket.close"]


async def test_a_websocket_without_the_token_is_told_after_the_101(app: GatewayApp) -> None:
    accepted, closed = await _handshake(app, "/gateway/note/connect", _QUERY, "rivet_token.wrong")
    assert accepted["type"] == "websocket.accept"
    assert closed["code"] == 1011
    assert closed["reason"].startswith("api.unauthorized#")


async def test_tokens_do_not_get_into_the_log(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rivetkit")
    await http.get(f"/gateway/note/health?{_QUERY}&rvt-token=hunter2")
    assert "hunter2" not in caplog.text
