"""Gateway URLs, what they answer, and the errors of the way to an actor (client-protocol 1.4 to 1.8)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import cast

import pytest

from rivetkit_core.errors import ActorSpecifier
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Encoding
from tests.contract.actors import Probe
from tests.contract.client import (
    RawClient,
    Target,
    actor_error,
    by_id,
    by_key,
    error_of,
    gateway_error,
)
from tests.contract.conftest import Serving

GET_OR_CREATE = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# --- addressing ---------------------------------------------------------------------------------------


async def test_get_or_create_makes_one_actor_per_key(client: RawClient) -> None:
    assert await client.call(by_key("counter", "a"), "increment", 2) == 2
    assert await client.call(by_key("counter", "a"), "increment", 3) == 5
    assert await client.call(by_key("counter", "b"), "increment") == 1


async def test_get_finds_what_exists_and_creates_nothing(client: RawClient) -> None:
    missing = await client.post(by_key("counter", "a", create=False), "get")
    assert gateway_error(missing) == (404, "actor.not_found")
    await client.call(by_key("counter", "a"), "increment")
    assert await client.call(by_key("counter", "a", create=False), "get") == 1


async def test_an_id_reaches_the_actor_directly(client: RawClient) -> None:
    actor_id = await client.id_of(by_key("counter", "a"))
    assert await client.id_of(by_id(actor_id)) == actor_id


async def test_a_percent_encoded_id_is_the_same_id(client: RawClient) -> None:
    actor_id = await client.id_of(by_key("counter", "a"))
    encoded = "".join(f"%{ord(character):02X}" for character in actor_id)
    assert await client.id_of(Target(encoded)) == actor_id


async def test_a_name_may_contain_anything(client: RawClient) -> None:
    assert await client.call(by_key("odd name/ä", "a"), "increment") == 1
    assert len(await client.actors(name="odd name/ä")) == 1


async def test_an_action_name_may_contain_slashes(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "a"), "no/such")
    assert answer.status_code == 404
    assert actor_error(answer, Encoding.JSON).code == "action_not_found"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param(None, [], id="absent"),
        pytest.param("", [], id="empty"),
        pytest.param("a,b", ["a", "b"], id="two"),
        pytest.param(",", ["", ""], id="two-empty"),
        pytest.param("a,", ["a", ""], id="empty-last"),
        pytest.param("a/b\\c", ["a/b\\c"], id="slash-and-backslash"),
        pytest.param("ключ 🦀+&=?#", ["ключ 🦀+&=?#"], id="unicode-and-reserved"),
    ],
)
async def test_query_keys_are_comma_joined(client: RawClient, text: str | None, key: list[str]) -> None:
    identity = cast("list[object]", await client.call(by_key("counter", text), "whoami"))
    assert identity[1] == key


async def test_a_key_that_is_too_long_is_refused(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "x" * 2000), "get")
    assert gateway_error(answer) == (400, "actor.key_too_large")


async def test_input_creates_the_state_once(client: RawClient) -> None:
    first = by_key("given", "a", input=_base64url(cbor.encode("first")))
    second = by_key("given", "a", input=_base64url(cbor.encode("second")))
    assert await client.call(first, "get") == "first"
    assert await client.call(second, "get") == "first"


async def test_the_pool_the_region_and_the_policy_are_accepted(client: RawClient) -> None:
    target = by_key("counter", "a", pool="x", region="default", crash_policy="destroy", skip_ready_wait="1")
    assert await client.call(target, "increment") == 1


async def test_the_header_form_reaches_raw_paths_only(client: RawClient) -> None:
    actor_id = await client.id_of(by_key("counter", "a"))
    headers = {"x-rivet-target": "actor", "x-rivet-actor": actor_id}
    answer = await client.http.get("/request/x", headers=headers)
    assert "x-rivet-error" not in answer.headers
    assert answer.headers["x-rivet-actor"] == actor_id
    refused = await client.http.post("/action/get", headers=headers, json={})
    assert gateway_error(refused) == (404, "guard.no_route")


async def test_the_header_form_is_checked(client: RawClient) -> None:
    missing = await client.http.get("/request", headers={"x-rivet-target": "actor"})
    assert gateway_error(missing) == (400, "guard.missing_header")
    headers = {"x-rivet-target": "actor", "x-rivet-actor": "a", "x-rivet-skip-ready-wait": "maybe"}
    invalid = await client.http.get("/request", headers=headers)
    assert gateway_error(invalid) == (400, "guard.invalid_header")
    unknown = await client.http.get("/request", headers={**headers, "x-rivet-skip-ready-wait": "1"})
    assert gateway_error(unknown) == (404, "actor.not_found")


async def test_target_headers_do_not_matter_below_the_gateway(client: RawClient) -> None:
    headers = {"x-rivet-target": "actor", "x-rivet-actor": "somebody-else"}
    assert await client.call(by_key("counter", "a"), "increment", headers=headers) == 1


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "identity"),
    [
        ("/gateway/unknown/health", 404, "actor.not_found"),
        ("/gateway/a%2Fb/health", 404, "actor.not_found"),
        ("/gateway/%00/health", 404, "actor.not_found"),
        ("/gateway", 404, "api.not_found"),
        ("/gateway/", 404, "api.not_found"),
        ("/gateway/a@/health", 404, "api.not_found"),
        ("/gateway/@token/health", 404, "api.not_found"),
        ("/gateway/%ff/health", 404, "api.not_found"),
        (f"/gateway/?{GET_OR_CREATE}", 400, "guard.query_empty_actor_name"),
        (f"/gateway/counter@t/health?{GET_OR_CREATE}", 400, "guard.query_path_token_syntax"),
        (f"/gateway/%ff/health?{GET_OR_CREATE}", 400, "guard.query_invalid_percent_encoding"),
        ("/gateway/counter/health?rvt-method=get", 400, "guard.query_invalid_params"),
        ("/gateway/counter/health?rvt-namespace=default", 400, "guard.query_invalid_params"),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-colour=red", 400, "guard.query_invalid_params"),
        ("/gateway/counter/health?rvt-namespace=default&rvt-method=x", 400, "guard.query_invalid_params"),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-crash-policy=x", 400, "guard.query_invalid_params"),
        (
            f"/gateway/counter/health?{GET_OR_CREATE}&rvt-skip-ready-wait=yes",
            400,
            "guard.query_invalid_params",
        ),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-key=a&rvt-key=a", 400, "guard.query_duplicate_param"),
        (
            f"/gateway/counter/health?{GET_OR_CREATE}&rvt%2Dkey=a&rvt-key=b",
            400,
            "guard.query_duplicate_param",
        ),
        (
            "/gateway/counter/health?rvt-namespace=default&rvt-method=getOrCreate",
            400,
            "guard.query_missing_pool",
        ),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-key=%ff", 400, "guard.query_invalid_percent_encoding"),
        (f"/gateway/given/health?{GET_OR_CREATE}&rvt-input=$$", 400, "guard.query_invalid_base64_input"),
        (f"/gateway/given/health?{GET_OR_CREATE}&rvt-input=gQE=", 400, "guard.query_invalid_base64_input"),
        (f"/gateway/given/health?{GET_OR_CREATE}&rvt-input=A", 400, "guard.query_invalid_base64_input"),
        (f"/gateway/given/health?{GET_OR_CREATE}&rvt-input=gg", 400, "guard.query_invalid_cbor_input"),
        (
            "/gateway/counter/health?rvt-namespace=other&rvt-method=get&rvt-key=a",
            400,
            "namespace.not_found",
        ),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-region=nowhere", 400, "datacenter.not_found"),
        (f"/gateway/nobody/health?{GET_OR_CREATE}", 500, "actor.not_registered"),
    ],
)
@pytest.mark.parametrize("encoding", ["json", "bare"])
async def test_gateway_errors_are_json_in_every_encoding(
    client: RawClient, path: str, status: int, identity: str, encoding: str
) -> None:
    answer = await client.http.get(path, headers={"x-rivet-encoding": encoding})
    assert gateway_error(answer) == (status, identity)


@pytest.mark.parametrize("param", ["rvt-runner=x", "rvt-input=gA", "rvt-region=x", "rvt-crash-policy=sleep"])
async def test_get_takes_no_parameters_of_creation(client: RawClient, param: str) -> None:
    url = f"/gateway/counter/health?rvt-namespace=default&rvt-method=get&rvt-key=a&{param}"
    assert gateway_error(await client.http.get(url)) == (400, "guard.query_get_disallowed_params")


@pytest.mark.parametrize("path", ["/gateway//x/health", "//gateway/x/health", "/gateway/x//health"])
async def test_a_double_slash_anywhere_is_no_gateway_path(client: RawClient, path: str) -> None:
    answer = await client.http.get(client.base_url + path)
    assert (answer.status_code, error_of(answer)) == (404, "api.not_found")


# --- routes of an actor -------------------------------------------------------------------------------


async def test_an_actor_has_health_metadata_and_a_banner(client: RawClient) -> None:
    target = by_key("counter", "a")
    health = await client.http.get(target.url("/health"))
    assert (health.text, health.headers["content-type"]) == ("ok", "text/plain; charset=utf-8")
    metadata = (await client.http.get(target.url("/metadata"))).json()
    assert (metadata["runtime"], metadata["type"]) == ("rivetkit", "local")
    for path in ("/", ""):
        banner = await client.http.get(target.url(path))
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
    answer = await client.http.request(method, by_key("counter", "a").url(path))
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
    answer = await client.http.post(by_key("counter", "a").url(path), json={})
    failure = actor_error(answer, Encoding.JSON)
    assert (answer.status_code, failure.code) == (404, "not_found")
    assert failure.message == f"Actor route '{path}' was not found."
    assert failure.metadata is not None
    assert cbor.decode(failure.metadata) == {"resource": "route", "id": path}


async def test_an_action_name_that_is_not_utf_8_is_a_bad_request(client: RawClient) -> None:
    answer = await client.http.post(by_key("counter", "a").url("/action/%ff"), json={})
    assert (answer.status_code, actor_error(answer, Encoding.JSON).code) == (400, "invalid")


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
    answer = await client.http.options(by_key("counter", "a").url("/action/get"), headers=_PREFLIGHT)
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


@pytest.mark.parametrize("segment", ["unknown", "counter"])
async def test_gateway_answers_and_errors_carry_cors_headers(client: RawClient, segment: str) -> None:
    target = by_key("counter", "a") if segment == "counter" else by_id(segment)
    answer = await client.http.get(target.url("/health"), headers=_ORIGIN)
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


@pytest.mark.parametrize(
    "path", ["/actors?namespace=default&name=counter", "/actors", "/metadata", "/nowhere"]
)
async def test_manager_answers_echo_the_origin_with_credentials(client: RawClient, path: str) -> None:
    answer = await client.http.get(path, headers=_ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.headers["access-control-allow-credentials"] == "true"


# --- metadata -----------------------------------------------------------------------------------------


async def test_metadata_says_what_clients_need_to_connect(client: RawClient) -> None:
    body = (await client.http.get("/metadata?namespace=default")).json()
    assert body["runtime"] == "rivetkit"
    assert isinstance(body["version"], str)
    assert body["envoyProtocolVersion"] == 8
    assert body["envoy"] == {"kind": {"normal": {}}, "version": 1}
    assert body["actorNames"]["counter"] == {"metadata": {}}
    assert "clientEndpoint" not in body


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
        by_key("counter", "a").url("/action/get"),
        content=version + (b"\1\x80" if len(version) == 2 else b""),
        headers={"x-rivet-encoding": "bare"},
    )
    assert answer.status_code == 400
    assert actor_error(answer, Encoding.BARE).code == "invalid"


@pytest.mark.parametrize("named", ["JSON", "msgpack", "", "bare ,"])
async def test_an_encoding_that_is_not_known_means_json(client: RawClient, named: str) -> None:
    answer = await client.http.post(
        by_key("counter", "a").url("/action/increment"),
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
    answer = await client.http.post(by_key("counter", "a").url("/action/increment"), content=body)
    assert answer.json() == {"output": expected}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
async def test_a_body_that_is_not_an_action_is_a_bad_request(client: RawClient, body: bytes) -> None:
    answer = await client.http.post(by_key("counter", "a").url("/action/get"), content=body)
    assert (answer.status_code, error_of(answer)) == (400, "request.invalid")


# --- connection parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'{"a":["x",1]}', {"a": ["x", 1]}),
        ('"ключ"'.encode(), "ключ"),
        ('"ä"'.encode("latin-1"), "ä"),
        (b'"\\u0444"', "ф"),
        (b"null", None),
    ],
)
async def test_connection_parameters_travel_in_a_header(
    client: RawClient, header: bytes, expected: object
) -> None:
    answer = await client.http.post(
        by_key("counter", "a").url("/action/params"), json={}, headers={b"x-rivet-conn-params": header}
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


async def _chunks(body: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_chunked_body_is_read_whole(client: RawClient) -> None:
    url = by_key("counter", "a").url("/action/increment")
    answer = await client.http.post(url, content=_chunks(b'{"args":[41]}', 3))
    assert answer.json() == {"output": 41}


async def test_an_action_body_of_64_kib_is_the_longest(client: RawClient) -> None:
    url = by_key("counter", "a").url("/action/repeat")
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


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_20_mib_is_refused(client: RawClient, chunked: bool) -> None:
    body = b" " * (20 * 1024 * 1024 + 1)
    url = by_key("counter", "a").url("/action/get")
    answer = await client.http.post(url, content=_chunks(body) if chunked else body)
    assert gateway_error(answer) == (413, "guard.invalid_request_body")
    assert await client.call(by_key("counter", "a"), "get") == 0


async def test_a_header_of_200_kb_passes(client: RawClient) -> None:
    params = '"' + "x" * 200_000 + '"'
    answer = await client.post(by_key("counter", "a"), "params", headers={"x-rivet-conn-params": params})
    assert len(answer.json()["output"]) == 200_000


# --- starting and ending ------------------------------------------------------------------------------


async def test_requests_wait_for_a_start_and_share_it(client: RawClient, probe: Probe) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(client.call(by_key("slow", "a"), "ping")) for _ in range(8)]
        await probe.entered.wait()
        assert not any(task.done() for task in waiting)
        probe.gate.set()
    assert [task.result() for task in waiting] == ["pong"] * 8
    assert probe.starts == 1


async def test_a_key_asked_for_by_many_at_once_becomes_one_actor(client: RawClient) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call(by_key("counter", "a"), "increment")) for _ in range(20)]
    assert sorted(cast("int", call.result()) for call in calls) == list(range(1, 21))
    assert len(await client.actors(name="counter", include_destroyed="true")) == 1


async def test_only_one_of_many_get_or_creates_says_it_created(client: RawClient) -> None:
    body = {"name": "counter", "key": "a", "runner_name_selector": "default"}
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(client.manage("PUT", "/actors", body)) for _ in range(8)]
    assert sorted(answer.result().json()["created"] for answer in answers) == [False] * 7 + [True]


@pytest.mark.parametrize("method", ["PUT", "POST", "query"])
async def test_a_failed_first_start_leaves_nothing_behind(
    client: RawClient, probe: Probe, method: str
) -> None:
    probe.failing_starts = 1
    target = by_key("broken", "a")
    if method == "query":
        failed = await client.post(target, "ping")
    else:
        body = {"name": "broken", "key": "a", "runner_name_selector": "default"}
        failed = await client.manage(method, "/actors", body)
    assert (failed.status_code, error_of(failed)) == (500, "user.broken")
    assert await client.actors(name="broken") == []
    assert await client.call(target, "ping") == "pong"
    assert probe.starts == 2


async def test_an_actor_that_destroys_itself_is_replaced(client: RawClient, probe: Probe) -> None:
    target = by_key("counter", "a")
    await client.call(target, "increment")
    first = await client.id_of(target)
    await client.call(target, "bye")
    second = await client.id_of(target)
    assert second != first
    assert probe.destroyed == [first]
    assert gateway_error(await client.post(by_id(first), "get")) == (404, "actor.not_found")
    assert await client.call(target, "get") == 0


async def test_destroy_lets_calls_in_flight_finish(client: RawClient, probe: Probe) -> None:
    target = by_key("counter", "a")
    actor_id = await client.id_of(target)
    async with asyncio.TaskGroup() as group:
        held = group.create_task(client.call(target, "hold"))
        await probe.entered.wait()
        destroying = group.create_task(client.manage("DELETE", f"/actors/{actor_id}"))
        await probe.destroying.wait()
        late = group.create_task(client.call(target, "whoami"))
        await asyncio.wait([destroying, late], timeout=0.05)
        assert not destroying.done()
        assert not late.done()
        probe.gate.set()
    assert held.result() == "held"
    assert destroying.result().status_code == 200
    assert cast("list[object]", late.result())[0] != actor_id


async def test_a_call_by_id_during_destroy_finds_nobody(client: RawClient, probe: Probe) -> None:
    target = by_key("counter", "a")
    actor_id = await client.id_of(target)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.call(target, "hold"))
        await probe.entered.wait()
        destroying = group.create_task(client.manage("DELETE", f"/actors/{actor_id}"))
        await probe.destroying.wait()
        late = group.create_task(client.post(by_id(actor_id), "get"))
        await asyncio.wait([destroying, late], timeout=0.05)
        probe.gate.set()
    assert gateway_error(late.result()) == (404, "actor.not_found")


@pytest.mark.parametrize("name", ["counter", "throttled"])
async def test_state_survives_a_restart_of_the_host(host: Serving, name: str) -> None:
    target = by_key(name, "a")
    assert await host.client.call(target, "increment", 5) == 5
    actor_id = await host.client.id_of(target)
    await host.restart()
    assert await host.client.call(by_id(actor_id), "get") == 5
    assert await host.client.call(target, "increment") == 6


async def test_the_generation_counts_the_starts(host: Serving) -> None:
    target = by_key("counter", "a")
    for generation in (1, 2, 3):
        answer = await host.client.post(target, "refuse")
        assert answer.headers["x-rivet-actor-generation"] == str(generation)
        assert answer.json()["actor"]["generation"] == generation
        await host.restart()


async def test_an_input_survives_a_restart(host: Serving) -> None:
    target = by_key("given", "a", input=_base64url(cbor.encode([1, 2])))
    assert await host.client.call(target, "get") == [1, 2]
    await host.restart()
    assert await host.client.call(by_key("given", "a"), "get") == [1, 2]


async def test_a_shutdown_waits_for_calls_in_flight(host: Serving, probe: Probe) -> None:
    target = by_key("throttled", "a")
    await host.client.call(target, "get")
    held = asyncio.create_task(host.client.call(target, "hold_and_increment"))
    await probe.entered.wait()
    stopping = host.begin_stop()
    await asyncio.wait([held, stopping], timeout=0.05)
    assert not held.done()
    probe.gate.set()
    assert await held == 1
    await stopping
    await host.start()
    assert await host.client.call(target, "get") == 1


async def test_a_call_during_shutdown_is_told_to_come_back(host: Serving, probe: Probe) -> None:
    target = by_key("counter", "a")
    await host.client.call(target, "get")
    held = asyncio.create_task(host.client.call(target, "hold"))
    async with host.client.connect(target) as socket:
        await socket.init()
        await probe.entered.wait()
        stopping = host.begin_stop()
        await asyncio.wait([held, stopping], timeout=0.05)
        await socket.request(1, "get")
        failure = await socket.failure(1)
        assert (failure.group, failure.code) == ("actor", "stopping")
        probe.gate.set()
        await held
        assert await socket.ended() == (1001, "ws.going_away")
    await stopping
