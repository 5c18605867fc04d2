"""What an actor answers over HTTP: routes, headers, CORS, encodings and limits (client-protocol 1.6 to 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rivetkit_core.errors import ActorSpecifier
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Encoding
from tests.contract.client import (
    RawClient,
    actor_error,
    by_id,
    by_key,
    error_of,
    gateway_error,
)
from tests.contract.hosts import UNKNOWN_ID, embedded_only

# --- routes of an actor -------------------------------------------------------------------------------


async def test_an_actor_has_health_metadata_and_a_banner(client: RawClient) -> None:
    target = by_key("counter", "a")
    health = await client.http.get(client.url(target, "/health"))
    assert (health.text, health.headers["content-type"]) == ("ok", "text/plain; charset=utf-8")
    metadata = (await client.http.get(client.url(target, "/metadata"))).json()
    assert (metadata["runtime"], metadata["type"]) == ("rivetkit", "local")
    for path in ("/", ""):
        banner = await client.http.get(client.url(target, path))
        assert (banner.status_code, "actor" in banner.text) == (200, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/action/get"),
        ("POST", "/health"),
        ("PUT", "/metadata"),
        ("HEAD", "/action/get"),
        ("DELETE", "/"),
    ],
)
async def test_a_wrong_method_is_not_allowed(client: RawClient, method: str, path: str) -> None:
    answer = await client.http.request(method, client.url(by_key("counter", "a"), path))
    assert answer.status_code == 405
    if method != "HEAD":
        failure = actor_error(answer, Encoding.JSON)
        assert (failure.group, failure.code) == ("actor", "method_not_allowed")
        assert failure.metadata is not None
        assert cbor.decode(failure.metadata) == {"method": method, "path": path}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/action", "/action/", "/action/get/", "/action/a/b", "/health/"]
)
async def test_an_unknown_route_of_an_actor_is_not_found(client: RawClient, path: str) -> None:
    answer = await client.http.post(client.url(by_key("counter", "a"), path), json={})
    failure = actor_error(answer, Encoding.JSON)
    assert (answer.status_code, failure.code) == (404, "not_found")
    assert failure.message == f"Actor route '{path}' was not found."
    assert failure.metadata is not None
    assert cbor.decode(failure.metadata) == {"resource": "route", "id": path}


async def test_an_action_name_that_is_not_utf_8_is_a_bad_request(client: RawClient) -> None:
    answer = await client.http.post(client.url(by_key("counter", "a"), "/action/%ff"), json={})
    assert (answer.status_code, actor_error(answer, Encoding.JSON).code) == (400, "invalid")


@embedded_only("routes of our server, not of actors")
async def test_head_has_the_headers_of_get_and_no_body(client: RawClient) -> None:
    for path in ("/", "/health", "/metadata"):
        answer = await client.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


# --- headers ------------------------------------------------------------------------------------------


async def test_answers_name_the_actor_that_gave_them(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "a,b/c"), "get")
    actor_id = await client.id_of(by_key("counter", "a,b/c"))
    assert answer.headers["x-rivet-actor"] == actor_id
    assert answer.headers["x-rivet-actor-generation"] == "1"
    assert answer.headers["x-rivet-actor-key"] == r"a/b\/c"
    assert answer.headers["x-rivet-ray-id"]


async def test_the_empty_key_is_an_empty_header(client: RawClient) -> None:
    answer = await client.post(by_key("counter"), "get")
    assert answer.headers["x-rivet-actor-key"] == ""


async def test_a_unicode_key_is_utf_8_in_its_header(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "ключ"), "get")
    raw = dict(answer.headers.raw)[b"x-rivet-actor-key"]
    assert raw.decode() == "ключ"


@pytest.mark.parametrize(
    "part", ["a\r\nset-cookie: x=1", "a\nb", "a\rb", "a\0b", "a\x0bb", "a\x1fb", "a\x7fb"]
)
async def test_a_key_cannot_inject_headers(client: RawClient, part: str) -> None:
    answer = await client.post(by_key("counter", part), "whoami")
    assert answer.status_code == 200
    assert "x-rivet-actor-key" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_every_answer_has_a_ray_id_of_its_own(client: RawClient) -> None:
    rays = {(await client.post(by_key("counter", "a"), "get")).headers["x-rivet-ray-id"] for _ in range(3)}
    assert len(rays) == 3


async def test_an_error_names_the_actor(client: RawClient) -> None:
    target = by_key("counter", "a/b")
    actor_id = await client.id_of(target)
    answer = await client.post(target, "refuse")
    assert answer.json() == {
        "group": "user",
        "code": "no",
        "message": "not today",
        "metadata": {"why": "tired"},
        "actor": {"actorId": actor_id, "generation": 1, "key": r"a\/b"},
    }
    assert answer.status_code == 500


async def test_an_unexpected_error_is_masked(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "a"), "crash")
    assert answer.status_code == 500
    assert error_of(answer) == "rivetkit.internal_error"
    assert "secret" not in answer.text


# --- CORS ---------------------------------------------------------------------------------------------

_ORIGIN = {"origin": "https://example.org"}
_PREFLIGHT = {
    **_ORIGIN,
    "access-control-request-method": "PUT",
    "access-control-request-headers": "x-rivet-encoding,content-type",
}


async def test_a_gateway_preflight_never_reaches_the_actor(client: RawClient) -> None:
    answer = await client.http.options(client.url(by_key("counter", "a"), "/action/get"), headers=_PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS, PATCH"
    assert answer.headers["access-control-allow-headers"] == "x-rivet-encoding,content-type"
    assert answer.headers["access-control-expose-headers"] == "*"
    assert answer.headers["access-control-max-age"] == "86400"
    assert answer.headers["vary"] == "Origin"
    assert await client.actors(name="counter") == []


async def test_a_preflight_without_an_origin_allows_any(client: RawClient) -> None:
    answer = await client.http.options("/gateway/x/health")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "*"
    assert "vary" not in answer.headers


async def test_a_preflight_of_the_header_form_is_answered(client: RawClient) -> None:
    answer = await client.http.options("/request/x", headers={"x-rivet-target": "actor", **_PREFLIGHT})
    assert answer.status_code == 204


@pytest.mark.parametrize("segment", [UNKNOWN_ID, "counter"])
async def test_gateway_answers_and_errors_carry_cors_headers(client: RawClient, segment: str) -> None:
    target = by_key("counter", "a") if segment == "counter" else by_id(segment)
    answer = await client.http.get(client.url(target, "/health"), headers=_ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "*"
    assert answer.headers["vary"] == "Origin"


async def test_a_manager_preflight_echoes_what_was_asked(client: RawClient) -> None:
    answer = await client.http.options("/actors", headers=_PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "PUT"
    assert answer.headers["access-control-allow-headers"] == "x-rivet-encoding,content-type"


@embedded_only("how our manager API answers other origins; the engine's is the same for all")
@pytest.mark.parametrize(
    "path", ["/actors?namespace=NAMESPACE&name=counter", "/actors", "/metadata", "/nowhere"]
)
async def test_manager_answers_echo_the_origin_with_credentials(client: RawClient, path: str) -> None:
    answer = await client.http.get(client.here(path), headers=_ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"


# --- metadata -----------------------------------------------------------------------------------------


@embedded_only("routes of our server, not of actors")
async def test_metadata_says_what_clients_need_to_connect(client: RawClient) -> None:
    body = (await client.http.get("/metadata", params=client.scope)).json()
    assert body["runtime"] == "rivetkit"
    assert isinstance(body["version"], str)
    assert body["envoyProtocolVersion"] == 8
    assert body["envoy"] == {"kind": {"normal": {}}, "version": 1}
    assert body["actorNames"]["counter"] == {"metadata": {}}
    assert "clientEndpoint" not in body


@embedded_only("routes of our server, not of actors")
async def test_health_and_the_banner(client: RawClient) -> None:
    health = (await client.http.get("/health")).json()
    assert (health["runtime"], health["status"]) == ("rivetkit", "ok")
    banner = await client.http.get("/")
    assert (banner.status_code, banner.headers["content-type"]) == (200, "text/plain; charset=utf-8")


# --- encodings ----------------------------------------------------------------------------------------

WIRES = [
    (Encoding.JSON, 4),
    (Encoding.CBOR, 4),
    (Encoding.BARE, 1),
    (Encoding.BARE, 2),
    (Encoding.BARE, 3),
    (Encoding.BARE, 4),
]


@pytest.mark.parametrize(("encoding", "version"), WIRES)
async def test_actions_work_in_every_encoding(client: RawClient, encoding: Encoding, version: int) -> None:
    value: dict[str, object] = {
        "text": "ä🦀",
        "list": [1, -1, 2**40, 1.5, None, True],
        "map": {"": {}},
        "bytes": b"\0\xff",
    }
    answer = await client.post(by_key("counter", "a"), "echo", value, encoding=encoding, version=version)
    expected = "application/json" if encoding is Encoding.JSON else "application/octet-stream"
    assert answer.headers["content-type"] == expected
    echoed = await client.call(by_key("counter", "a"), "echo", value, encoding=encoding, version=version)
    assert echoed == value


@pytest.mark.parametrize(("encoding", "version"), WIRES)
async def test_errors_of_an_actor_are_in_the_callers_encoding(
    client: RawClient, encoding: Encoding, version: int
) -> None:
    answer = await client.post(by_key("counter", "a"), "refuse", encoding=encoding, version=version)
    failure = actor_error(answer, encoding, version)
    assert (answer.status_code, failure.group, failure.code) == (500, "user", "no")
    assert failure.metadata is not None
    assert cbor.decode(failure.metadata) == {"why": "tired"}
    expected = ActorSpecifier(answer.headers["x-rivet-actor"], 1, "a")
    assert failure.actor == (expected if version == 4 else None)


@pytest.mark.parametrize("version", [b"\0\0", b"\5\0", b"\xff\xff", b"\4", b""])
async def test_a_bare_version_that_does_not_exist_is_a_bad_request(client: RawClient, version: bytes) -> None:
    answer = await client.http.post(
        client.url(by_key("counter", "a"), "/action/get"),
        content=version + (b"\1\x80" if len(version) == 2 else b""),
        headers={"x-rivet-encoding": "bare"},
    )
    assert answer.status_code == 400
    assert actor_error(answer, Encoding.BARE).code == "invalid"


@pytest.mark.parametrize("named", ["JSON", "msgpack", "", "bare ,"])
async def test_an_encoding_that_is_not_known_means_json(client: RawClient, named: str) -> None:
    answer = await client.http.post(
        client.url(by_key("counter", "a"), "/action/increment"),
        json={"args": [4]},
        headers={"x-rivet-encoding": named},
    )
    assert answer.json() == {"output": 4}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"args":[4]}', 4),
        (b'{"args":4}', 4),
        (b'{"args":null}', 1),
        (b"{}", 1),
        (b'{"args":[4],"more":1}', 4),
    ],
)
async def test_arguments_are_made_an_array(client: RawClient, body: bytes, expected: int) -> None:
    answer = await client.http.post(client.url(by_key("counter", "a"), "/action/increment"), content=body)
    assert answer.json() == {"output": expected}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
async def test_a_body_that_is_not_an_action_is_a_bad_request(client: RawClient, body: bytes) -> None:
    answer = await client.http.post(client.url(by_key("counter", "a"), "/action/get"), content=body)
    assert (answer.status_code, error_of(answer)) == (400, "request.invalid")


# --- connection parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'{"a":["x",1]}', {"a": ["x", 1]}),
        (b'"\\u0444"', "ф"),
        (b"null", None),
    ],
)
async def test_connection_parameters_travel_in_a_header(
    client: RawClient, header: bytes, expected: object
) -> None:
    answer = await client.http.post(
        client.url(by_key("counter", "a"), "/action/params"),
        json={},
        headers={b"x-rivet-conn-params": header},
    )
    assert answer.json() == {"output": expected}


@embedded_only("the engine drops headers that are not ASCII")
@pytest.mark.parametrize(
    ("header", "expected"), [('"ключ"'.encode(), "ключ"), ('"ä"'.encode("latin-1"), "ä")]
)
async def test_connection_parameters_may_be_utf_8_or_latin_1(
    client: RawClient, header: bytes, expected: object
) -> None:
    answer = await client.http.post(
        client.url(by_key("counter", "a"), "/action/params"),
        json={},
        headers={b"x-rivet-conn-params": header},
    )
    assert answer.json() == {"output": expected}


@pytest.mark.parametrize("header", ["{", "", "nope"])
async def test_malformed_connection_parameters_are_a_bad_request(client: RawClient, header: str) -> None:
    answer = await client.post(by_key("counter", "a"), "params", headers={"x-rivet-conn-params": header})
    assert (answer.status_code, error_of(answer)) == (400, "request.invalid")


async def test_a_refused_connection_answers_with_the_hooks_error(client: RawClient) -> None:
    target = by_key("picky", "a")
    answer = await client.post(target, "ping", headers={"x-rivet-conn-params": '"intruder"'})
    assert (answer.status_code, error_of(answer)) == (403, "auth.forbidden")
    assert await client.call(target, "ping") == "pong"


# --- limits -------------------------------------------------------------------------------------------


TOO_LONG = b" " * (20 * 1024 * 1024 + 1)


async def _chunks(body: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_chunked_body_is_read_whole(client: RawClient) -> None:
    url = client.url(by_key("counter", "a"), "/action/increment")
    answer = await client.http.post(url, content=_chunks(b'{"args":[41]}', 3))
    assert answer.json() == {"output": 41}


async def test_an_action_body_of_64_kib_is_the_longest(client: RawClient) -> None:
    url = client.url(by_key("counter", "a"), "/action/repeat")
    frame = b'{"args":["%s",1]}'
    fits = frame % (b"x" * (65_536 - len(frame) + 2))
    assert len(fits) == 65_536
    assert (await client.http.post(url, content=fits)).status_code == 200
    refused = await client.http.post(url, content=fits + b" ")
    assert (refused.status_code, error_of(refused)) == (400, "message.incoming_too_long")


async def test_an_answer_over_1_mib_is_refused(client: RawClient) -> None:
    target = by_key("counter", "a")
    fits = await client.call(target, "repeat", "x", 1_048_576 - len('{"output":""}'))
    assert isinstance(fits, str)
    answer = await client.post(target, "repeat", "x", 1_048_576)
    assert (answer.status_code, error_of(answer)) == (400, "message.outgoing_too_long")


async def test_a_body_over_20_mib_is_refused(client: RawClient) -> None:
    url = client.url(by_key("counter", "a"), "/action/get")
    answer = await client.http.post(url, content=_chunks(TOO_LONG))
    assert gateway_error(answer) == (413, "guard.invalid_request_body")
    assert await client.call(by_key("counter", "a"), "get") == 0


@embedded_only("the engine breaks the connection off when the length is known beforehand")
async def test_a_body_that_says_it_is_over_20_mib_is_refused(client: RawClient) -> None:
    url = client.url(by_key("counter", "a"), "/action/get")
    answer = await client.http.post(url, content=TOO_LONG)
    assert gateway_error(answer) == (413, "guard.invalid_request_body")
    assert await client.call(by_key("counter", "a"), "get") == 0


async def test_a_header_of_200_kb_passes(client: RawClient) -> None:
    params = '"' + "x" * 200_000 + '"'
    answer = await client.post(by_key("counter", "a"), "params", headers={"x-rivet-conn-params": params})
    assert len(answer.json()["output"]) == 200_000
