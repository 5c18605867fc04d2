from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from live_world import Steady, begin, failure_of, identity

from rivetkit.client._endpoint import EncodingName, Settings
from rivetkit.client._http import REACH_BUDGET, STALE_WINDOW
from rivetkit.client._transport_http import HttpAccess
from rivetkit_core.errors import ActorNotFound, ConnectionLost, UserError
from rivetkit_core.host.port import ById, ByKey
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding, HttpError

Answer = httpx.Response | Exception
BASE = "http://here.example"
ARGS = cbor.encode([1])
COUNTER = ByKey("counter", ("a",))


def ok(output: object = 7, encoding: Encoding = Encoding.BARE) -> httpx.Response:
    return httpx.Response(200, content=Codec(encoding).encode_action_response(cbor.encode(output)))


def refused(group: str, code: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"group": group, "code": code, "message": "because"})


class Server:
    """Answers requests from a list; metadata is empty unless the test says otherwise."""

    def __init__(self, **options: Any) -> None:
        self.metadata: Answer = httpx.Response(200, json={"runtime": "rivetkit"})
        self.answers: list[Answer] = []
        self.requests: list[httpx.Request] = []
        self.lookups: list[httpx.Request] = []
        self.before: Callable[[httpx.Request], object] = lambda _: None
        self.clock = FakeClock()
        self.gate = asyncio.Event()
        self.gate.set()
        self.access = HttpAccess(
            Settings.read(BASE, **options),
            clock=self.clock,
            entropy=Steady(),
            http_transport=httpx.MockTransport(self._handle),
        )

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        await self.gate.wait()
        if request.url.path.endswith("/metadata"):
            self.lookups.append(request)
            return self._give(self.metadata)
        self.requests.append(request)
        self.before(request)
        return self._give(self.answers.pop(0))

    def _give(self, answer: Answer) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]

    async def call(self, target: ById | ByKey = COUNTER, params: bytes | None = None) -> object:
        return cbor.decode(await self.access.call(target, "go", ARGS, params=params))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RIVET_NAMESPACE", "RIVET_TOKEN", "RIVET_POOL"):
        monkeypatch.delenv(name, raising=False)


async def test_a_get_handle_is_addressed_by_query() -> None:
    server = Server()
    server.answers = [ok()]
    assert await server.call() == 7
    assert server.urls == [f"{BASE}/gateway/counter/action/go?rvt-namespace=default&rvt-method=get&rvt-key=a"]


async def test_a_get_or_create_handle_says_how_to_make_the_actor() -> None:
    server = Server(token="t/k", pool="big", namespace="ns 1")
    server.answers = [ok()]
    await server.call(ByKey("c", ("k",), create=True, input=b"\xf6", region="us"))
    assert server.urls == [
        f"{BASE}/gateway/c/action/go?rvt-namespace=ns+1&rvt-method=getOrCreate&rvt-runner=big&rvt-key=k"
        "&rvt-input=9g&rvt-region=us&rvt-crash-policy=sleep&rvt-token=t%2Fk"
    ]


async def test_an_actor_by_id_is_addressed_directly() -> None:
    server = Server(token="t/k")
    server.answers = [ok()]
    await server.call(ById("actor-1"))
    assert server.urls == [f"{BASE}/gateway/actor-1@t%2Fk/action/go"]


@pytest.mark.parametrize("key", [("a,b",), ("",)], ids=["comma", "empty-part"])
async def test_a_key_the_query_cannot_carry_is_resolved_first(key: tuple[str, ...]) -> None:
    server = Server()
    server.answers = [httpx.Response(200, json={"actors": [{"actor_id": "id-1"}]}), ok()]
    await server.call(ByKey("counter", key))
    assert server.requests[0].method == "GET"
    assert server.urls[1] == f"{BASE}/gateway/id-1/action/go"


async def test_a_large_input_goes_in_a_body() -> None:
    server = Server()
    large = cbor.encode("x" * 5000)
    server.answers = [httpx.Response(200, json={"actor": {"actor_id": "id-1"}, "created": True}), ok()]
    await server.call(ByKey("counter", ("a", "b"), create=True, input=large))
    assert server.requests[0].method == "PUT"
    assert json.loads(server.requests[0].content) == {
        "name": "counter",
        "key": "a/b",
        "runner_name_selector": "default",
        "input": base64.b64encode(large).decode(),
        "crash_policy": "sleep",
    }


@pytest.mark.parametrize("encoding", ["bare", "cbor", "json"])
async def test_every_encoding_travels_with_its_headers(encoding: EncodingName) -> None:
    server = Server(encoding=encoding, token="secret", headers={"x-mine": "yes"})
    server.answers = [ok({"a": 1}, Encoding(encoding))]
    assert await server.call() == {"a": 1}
    request = server.requests[0]
    assert Codec(Encoding(encoding)).decode_action_request(request.content) == ARGS
    assert request.headers["x-rivet-encoding"] == encoding
    assert request.headers["x-rivet-token"] == "secret"
    assert request.headers["x-mine"] == "yes"
    assert request.headers["user-agent"].startswith("RivetKit/")
    assert "authorization" not in request.headers


async def test_parameters_are_written_in_ascii() -> None:
    server = Server()
    server.answers = [ok()]
    await server.call(params=cbor.encode({"name": "Zoë 🦊"}))
    header = server.requests[0].headers["x-rivet-conn-params"]
    assert header.isascii()
    assert json.loads(header) == {"name": "Zoë 🦊"}


@pytest.mark.parametrize("encoding", [Encoding.BARE, Encoding.CBOR, Encoding.JSON])
async def test_an_error_is_read_in_the_clients_own_encoding(encoding: Encoding) -> None:
    server = Server(encoding=encoding.value)
    body = Codec(encoding).encode_http_error(HttpError("user", "bad", "no", cbor.encode({"n": 1})))
    label = "application/json" if encoding is Encoding.JSON else "application/octet-stream"
    server.answers = [httpx.Response(500, content=body, headers={"content-type": label})]
    failure = await failure_of(server.call())
    assert isinstance(failure, UserError)
    assert (failure.code, failure.message, failure.metadata) == ("bad", "no", {"n": 1})


async def test_an_error_labelled_json_is_read_as_json() -> None:
    server = Server()
    server.answers = [refused("actor", "not_found", 404)]
    assert isinstance(await failure_of(server.call()), ActorNotFound)


async def test_an_answer_that_is_not_rivets_says_so() -> None:
    server = Server()
    server.answers = [httpx.Response(502, text="<html>Bad gateway</html>")]
    failure = await failure_of(server.call())
    assert identity(failure) == "client.request_failed"
    assert f"{BASE} answered with status 502" in failure.message


async def test_resolving_finds_the_id_by_key() -> None:
    server = Server(token="secret")
    server.answers = [httpx.Response(200, json={"actors": [{"actor_id": "id-1"}]})]
    assert await server.access.resolve(ByKey("c", ("a", "b c"))) == "id-1"
    assert server.urls == [f"{BASE}/actors?name=c&key=a%2Fb%20c&namespace=default"]
    assert server.requests[0].headers["authorization"] == "Bearer secret"


async def test_resolving_a_missing_actor_is_not_found() -> None:
    server = Server()
    server.answers = [httpx.Response(200, json={"actors": []})]
    assert isinstance(await failure_of(server.access.resolve(COUNTER)), ActorNotFound)


async def test_resolving_an_id_takes_no_request() -> None:
    server = Server()
    assert await server.access.resolve(ById("id-1")) == "id-1"
    assert server.lookups == []


async def test_creating_posts_the_actor() -> None:
    server = Server()
    server.answers = [httpx.Response(200, json={"actor": {"actor_id": "id-1"}})]
    assert await server.access.create("c", (), input=b"\x01", region="eu") == "id-1"
    assert server.requests[0].method == "POST"
    assert json.loads(server.requests[0].content) == {
        "datacenter": "eu",
        "name": "c",
        "runner_name_selector": "default",
        "key": "/",
        "input": "AQ==",
        "crash_policy": "sleep",
    }


async def test_creating_a_key_in_use_is_refused() -> None:
    server = Server()
    server.answers = [refused("actor", "duplicate_key")]
    failure = await failure_of(server.access.create("c", ("a",), input=None, region=None))
    assert identity(failure) == "actor.duplicate_key"


async def test_a_key_that_turns_out_to_be_in_use_is_refused_as_one() -> None:
    server = Server()
    in_use = httpx.Response(200, json={"actors": [{"actor_id": "id-1"}]})
    server.answers = [refused("actor", "destroyed_during_creation"), in_use]
    failure = await failure_of(server.access.create("c", ("a",), input=None, region=None))
    assert identity(failure) == "actor.duplicate_key"
    assert failure.metadata == {"existing_actor_id": "id-1", "key": "a"}


async def test_an_actor_that_really_ended_while_it_was_made_is_told() -> None:
    server = Server()
    nobody = httpx.Response(200, json={"actors": []})
    server.answers = [refused("actor", "destroyed_during_creation"), nobody]
    failure = await failure_of(server.access.create("c", ("a",), input=None, region=None))
    assert identity(failure) == "actor.destroyed_during_creation"


async def test_metadata_is_looked_up_once_for_everybody() -> None:
    server = Server()
    server.answers = [ok(1), ok(2), ok(3)]
    server.gate.clear()
    together = [await begin(server.call()), await begin(server.call())]
    server.gate.set()
    await asyncio.gather(*together)
    await server.call()
    assert [str(request.url) for request in server.lookups] == [f"{BASE}/metadata?namespace=default"]


async def test_metadata_sends_every_request_elsewhere() -> None:
    server = Server(token="old")
    server.metadata = httpx.Response(
        200, json={"clientEndpoint": "http://there.example", "clientNamespace": "prod", "clientToken": "new"}
    )
    server.answers = [ok()]
    await server.call()
    assert server.urls[0].startswith("http://there.example/gateway/counter/action/go?rvt-namespace=prod&")
    assert server.requests[0].headers["x-rivet-token"] == "new"


async def test_metadata_that_is_not_rivets_is_explained() -> None:
    server = Server()
    server.metadata = httpx.Response(200, text="hello")
    failure = await failure_of(server.call())
    assert "is it a Rivet server?" in failure.message


async def test_a_cancelled_first_call_leaves_the_lookup_to_the_others() -> None:
    server = Server()
    server.answers = [ok(5)]
    server.gate.clear()
    first, second = await begin(server.call()), await begin(server.call())
    first.cancel()
    server.gate.set()
    assert await second == 5
    assert len(server.lookups) == 1


async def test_a_server_that_is_down_is_tried_again_for_a_while_and_then_named() -> None:
    server = Server()
    server.metadata = httpx.ConnectError("refused")
    call = await begin(server.call())
    await server.clock.advance(REACH_BUDGET)
    failure = await failure_of(call)
    assert identity(failure) == "client.request_failed"
    assert f"cannot connect to {BASE}: refused; is the server running?" in failure.message
    assert len(server.lookups) > 2


async def test_a_server_that_comes_back_is_reached() -> None:
    server = Server()
    server.answers = [httpx.ConnectError("refused"), ok(3)]
    call = await begin(server.call())
    await server.clock.advance(0.2)
    assert await call == 3


async def test_after_a_failed_lookup_the_next_call_asks_again() -> None:
    server = Server()
    server.metadata = refused("api", "unauthorized", 401)
    assert identity(await failure_of(server.call())) == "api.unauthorized"
    server.metadata = httpx.Response(200, json={})
    server.answers = [ok(1)]
    assert await server.call() == 1


def fresh(request: httpx.Request) -> object:
    """Pretend, as the connection pool would say, that this request opened its connection."""
    trace = request.extensions.get("trace")
    return None if trace is None else trace("connection.connect_tcp.complete", {}).send(None)


def stale() -> Exception:
    return httpx.RemoteProtocolError("Server disconnected without sending a response.")


async def test_a_request_on_a_stale_connection_is_sent_again_once() -> None:
    server = Server()
    server.answers = [stale(), ok(2)]
    assert await server.call() == 2


async def test_a_request_is_sent_again_no_more_than_once() -> None:
    server = Server()
    server.answers = [stale(), stale()]
    assert isinstance(await failure_of(server.call()), ConnectionLost)
    assert len(server.requests) == 2


async def test_an_answer_lost_on_a_new_connection_is_not_asked_for_again() -> None:
    server = Server()
    server.answers = [stale()]

    def mark_fresh(request: httpx.Request) -> None:
        with pytest.raises(StopIteration):
            fresh(request)

    server.before = mark_fresh
    assert isinstance(await failure_of(server.call()), ConnectionLost)
    assert len(server.requests) == 1


async def test_an_answer_lost_after_a_while_is_not_asked_for_again() -> None:
    server = Server()
    gate = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/metadata"):
            server.requests.append(request)
            await gate.wait()
            raise httpx.ReadError("reset")
        return httpx.Response(200, json={})

    access = HttpAccess(
        Settings.read(BASE),
        clock=server.clock,
        entropy=Steady(),
        http_transport=httpx.MockTransport(slow),
    )
    call = await begin(access.call(COUNTER, "go", ARGS, params=None))
    await server.clock.advance(STALE_WINDOW + 0.1)
    gate.set()
    assert isinstance(await failure_of(call), ConnectionLost)
    assert len(server.requests) == 1


async def test_the_gateway_url_of_a_key_can_be_given_away() -> None:
    server = Server(token="t")
    url = await server.access.gateway_url(COUNTER)
    assert url == f"{BASE}/gateway/counter?rvt-namespace=default&rvt-method=get&rvt-key=a&rvt-token=t"


async def test_a_closed_transport_refuses_calls() -> None:
    server = Server()
    await server.access.aclose()
    await server.access.aclose()
    assert identity(await failure_of(server.call())) == "client.disposed"


async def test_closing_during_the_lookup_fails_who_waits_for_it() -> None:
    server = Server()
    server.metadata = httpx.ConnectError("refused")
    call = await begin(server.call())
    await server.access.aclose()
    await settle()
    assert identity(await failure_of(call)) == "client.disposed"
