"""Gateway URLs and the errors of the way to an actor (client-protocol 1.4, 1.5)."""

from __future__ import annotations

import base64
from typing import cast

import pytest

from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Encoding
from tests.contract.client import (
    RawClient,
    Target,
    actor_error,
    by_id,
    by_key,
    error_of,
    gateway_error,
)
from tests.contract.hosts import UNKNOWN_ID, Differences, embedded_only

GET_OR_CREATE = "rvt-namespace=NAMESPACE&rvt-method=getOrCreate&rvt-runner=default"


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


@embedded_only("the engine measures keys in its manager API only")
async def test_a_key_that_is_too_long_is_refused(client: RawClient) -> None:
    answer = await client.post(by_key("counter", "x" * 2000), "get")
    assert gateway_error(answer) == (400, "actor.key_too_large")


async def test_input_creates_the_state_once(client: RawClient) -> None:
    first = by_key("given", "a", input=_base64url(cbor.encode("first")))
    second = by_key("given", "a", input=_base64url(cbor.encode("second")))
    assert await client.call(first, "get") == "first"
    assert await client.call(second, "get") == "first"


async def test_the_pool_the_region_and_the_policy_are_accepted(client: RawClient) -> None:
    target = by_key(
        "counter", "a", pool="default", region="default", crash_policy="destroy", skip_ready_wait="1"
    )
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
    headers |= {"x-rivet-actor": UNKNOWN_ID, "x-rivet-skip-ready-wait": "1"}
    unknown = await client.http.get("/request", headers=headers)
    assert gateway_error(unknown) == (404, "actor.not_found")


async def test_target_headers_do_not_matter_below_the_gateway(client: RawClient) -> None:
    headers = {"x-rivet-target": "actor", "x-rivet-actor": "somebody-else"}
    assert await client.call(by_key("counter", "a"), "increment", headers=headers) == 1


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "identity"),
    [
        (f"/gateway/{UNKNOWN_ID}/health", 404, "actor.not_found"),
        ("/gateway", 404, "api.not_found"),
        ("/gateway/", 404, "api.not_found"),
        ("/gateway/a@/health", 404, "api.not_found"),
        ("/gateway/@token/health", 404, "api.not_found"),
        ("/gateway/%ff/health", 404, "api.not_found"),
        (f"/gateway/?{GET_OR_CREATE}", 400, "guard.query_empty_actor_name"),
        (f"/gateway/counter@t/health?{GET_OR_CREATE}", 400, "guard.query_path_token_syntax"),
        (f"/gateway/%ff/health?{GET_OR_CREATE}", 400, "guard.query_invalid_percent_encoding"),
        ("/gateway/counter/health?rvt-method=get", 400, "guard.query_invalid_params"),
        ("/gateway/counter/health?rvt-namespace=NAMESPACE", 400, "guard.query_invalid_params"),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-colour=red", 400, "guard.query_invalid_params"),
        ("/gateway/counter/health?rvt-namespace=NAMESPACE&rvt-method=x", 400, "guard.query_invalid_params"),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-crash-policy=x", 400, "guard.query_invalid_params"),
        (
            f"/gateway/counter/health?{GET_OR_CREATE}&rvt-skip-ready-wait=yes",
            400,
            "guard.query_invalid_params",
        ),
        (f"/gateway/counter/health?{GET_OR_CREATE}&rvt-key=a&rvt-key=a", 400, "guard.query_duplicate_param"),
        (
            "/gateway/counter/health?rvt-namespace=NAMESPACE&rvt-method=getOrCreate",
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
    ],
)
@pytest.mark.parametrize("encoding", ["json", "bare"])
async def test_gateway_errors_are_json_in_every_encoding(
    client: RawClient, path: str, status: int, identity: str, encoding: str
) -> None:
    answer = await client.http.get(client.here(path), headers={"x-rivet-encoding": encoding})
    assert gateway_error(answer) == (status, identity)


@embedded_only("the engine takes an escaped parameter for one of the actor's")
async def test_an_escaped_parameter_is_the_same_parameter(client: RawClient) -> None:
    path = client.here(f"/gateway/counter/health?{GET_OR_CREATE}&rvt%2Dkey=a&rvt-key=b")
    assert gateway_error(await client.http.get(path)) == (400, "guard.query_duplicate_param")


@pytest.mark.parametrize("segment", ["unknown", "a%2Fb", "%00"])
async def test_an_id_that_no_actor_can_have_is_an_error(
    client: RawClient, differences: Differences, segment: str
) -> None:
    answer = await client.http.get(f"/gateway/{segment}/health")
    assert gateway_error(answer) == differences.malformed_id


async def test_a_name_that_nobody_registered_is_told(client: RawClient) -> None:
    answer = await client.post(by_key("nobody", "a"), "get")
    assert (answer.status_code, error_of(answer)) == (500, "actor.not_registered")


@pytest.mark.parametrize("param", ["rvt-runner=x", "rvt-input=gA", "rvt-region=x", "rvt-crash-policy=sleep"])
async def test_get_takes_no_parameters_of_creation(client: RawClient, param: str) -> None:
    url = client.here(f"/gateway/counter/health?rvt-namespace=NAMESPACE&rvt-method=get&rvt-key=a&{param}")
    assert gateway_error(await client.http.get(url)) == (400, "guard.query_get_disallowed_params")


@pytest.mark.parametrize("path", ["/gateway//x/health", "//gateway/x/health", "/gateway/x//health"])
async def test_a_double_slash_anywhere_is_no_gateway_path(client: RawClient, path: str) -> None:
    answer = await client.http.get(client.base_url + path)
    assert (answer.status_code, error_of(answer)) == (404, "api.not_found")
