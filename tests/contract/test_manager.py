"""The manager API (client-protocol 1.2, 1.3)."""

from __future__ import annotations

import base64
from typing import cast

import pytest

from rivetkit_core.wire import cbor
from tests.contract.actors import Probe
from tests.contract.client import RawClient, by_id, by_key, error_of
from tests.contract.hosts import UNKNOWN_ID, embedded_only

_OURS = "what our own manager API asks and refuses; the engine has its rules"


def _create(name: str = "counter", key: str | None = "k", **more: object) -> dict[str, object]:
    return {"name": name, "key": key, "runner_name_selector": "default", "crash_policy": "sleep", **more}


async def _created(client: RawClient, body: dict[str, object], method: str = "POST") -> dict[str, object]:
    answer = await client.manage(method, "/actors", body)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, object]", answer.json()["actor"])


async def test_create_answers_the_whole_actor(client: RawClient) -> None:
    made = await _created(client, _create())
    assert made.keys() == {
        "actor_id", "name", "key", "namespace_id", "datacenter", "runner_name_selector", "crash_policy",
        "create_ts", "start_ts", "pending_allocation_ts", "connectable_ts", "sleep_ts", "reschedule_ts",
        "destroy_ts",
    }  # fmt: skip
    assert (made["name"], made["key"], made["destroy_ts"]) == ("counter", "k", None)
    assert cast("str", made["actor_id"]).isalnum()
    assert isinstance(made["create_ts"], int)


@embedded_only("the engine answers a creation before the actor starts")
async def test_an_actor_takes_calls_when_its_creation_is_answered(client: RawClient) -> None:
    assert isinstance((await _created(client, _create()))["connectable_ts"], int)


async def test_an_actor_can_be_created_without_a_key_more_than_once(client: RawClient) -> None:
    first = await _created(client, _create(key=None))
    second = await _created(client, _create(key=None))
    assert first["actor_id"] != second["actor_id"]
    assert first["key"] is None
    assert await client.call(by_id(cast("str", second["actor_id"])), "increment") == 1


async def test_creating_over_a_key_in_use_names_the_actor_that_has_it(client: RawClient) -> None:
    made = await _created(client, _create())
    answer = await client.settled("POST", "/actors", _create())
    assert (answer.status_code, error_of(answer)) == (400, "actor.duplicate_key")
    assert answer.json()["metadata"] == {"existing_actor_id": made["actor_id"], "key": "k"}


async def test_get_or_create_tells_whether_it_created(client: RawClient) -> None:
    first = await client.manage("PUT", "/actors", _create())
    second = await client.manage("PUT", "/actors", _create())
    assert first.json()["created"] is True
    assert second.json()["created"] is False
    assert first.json()["actor"]["actor_id"] == second.json()["actor"]["actor_id"]


async def test_get_by_key_and_by_id_find_the_same_actor(client: RawClient) -> None:
    made = await _created(client, _create(key=r"a\/b/c"))
    by_name = await client.actors(name="counter", key=r"a\/b/c")
    (by_id,) = await client.actors(actor_ids=cast("str", made["actor_id"]))
    assert (by_id["name"], by_id["key"]) == ("counter", r"a\/b/c")
    assert [found["actor_id"] for found in by_name] == [made["actor_id"]]


async def test_several_ids_can_be_asked_for_at_once(client: RawClient) -> None:
    made = [await _created(client, _create(key=key)) for key in ("a", "b")]
    ids = [cast("str", actor["actor_id"]) for actor in made]
    found = await client.actors(actor_ids=",".join([*ids, UNKNOWN_ID]))
    assert sorted(cast("str", actor["actor_id"]) for actor in found) == sorted(ids)


@embedded_only("the engine refuses what a client for Rust sends")
async def test_ids_together_with_a_name_are_accepted(client: RawClient) -> None:
    made = await _created(client, _create())
    found = await client.actors(name="counter", actor_ids=cast("str", made["actor_id"]))
    assert len(found) == 1


async def test_a_miss_is_an_empty_list(client: RawClient) -> None:
    assert await client.actors(name="counter", key="nobody") == []
    assert await client.actors(actor_ids=UNKNOWN_ID) == []


async def test_a_list_is_paged_with_its_cursor(client: RawClient) -> None:
    ids = {cast("str", (await _created(client, _create(key=str(n))))["actor_id"]) for n in range(5)}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {**client.scope, "name": "counter", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.manage("GET", "/actors", params=params)).json()
        assert len(page["actors"]) <= 2
        seen += [actor["actor_id"] for actor in page["actors"]]
        cursor = page["pagination"]["cursor"]
    assert len(seen) == 5
    assert set(seen) == ids


@embedded_only("the engine lists every name that its hosts can run")
async def test_names_are_those_of_actors_ever_created(client: RawClient) -> None:
    made = await _created(client, _create())
    await _created(client, _create(name="throttled"))
    await client.manage("DELETE", f"/actors/{made['actor_id']}")
    answer = await client.manage("GET", "/actors/names", params={**client.scope, "limit": "10"})
    names: dict[str, object] = {"counter": {"metadata": {}}, "throttled": {"metadata": {}}}
    assert answer.json() == {"names": names, "pagination": {"cursor": None}}


@embedded_only("the engine lists every name that its hosts can run")
async def test_names_are_paged(client: RawClient) -> None:
    for name in ("counter", "given", "throttled"):
        await _created(client, _create(name=name))
    first = (await client.manage("GET", "/actors/names", params={**client.scope, "limit": "2"})).json()
    cursor = first["pagination"]["cursor"]
    params = {**client.scope, "limit": "2", "cursor": cursor}
    second = (await client.manage("GET", "/actors/names", params=params)).json()
    assert (list(first["names"]), list(second["names"])) == (["counter", "given"], ["throttled"])


# --- destroy ------------------------------------------------------------------------------------------


async def test_destroy_frees_the_key_and_hides_the_id(client: RawClient, probe: Probe) -> None:
    made = await _created(client, _create())
    actor_id = cast("str", made["actor_id"])
    answer = await client.manage("DELETE", f"/actors/{actor_id}")
    assert (answer.status_code, answer.json()) == (200, {})
    assert probe.destroyed == [actor_id]
    assert all(actor["destroy_ts"] for actor in await client.actors(actor_ids=actor_id))
    assert await client.actors(name="counter", key="k") == []
    again = await _created(client, _create())
    assert again["actor_id"] != actor_id


async def test_a_destroyed_actor_is_listed_on_request(client: RawClient) -> None:
    made = await _created(client, _create())
    await client.manage("DELETE", f"/actors/{made['actor_id']}")
    assert await client.actors(name="counter") == []
    (listed,) = await client.actors(name="counter", include_destroyed="true")
    assert isinstance(listed["destroy_ts"], int)


@embedded_only(_OURS)
@pytest.mark.parametrize("actor_id", ["unknown", "a%2Fb", "%ff", "%00", "x" * 2000])
async def test_destroying_what_does_not_exist_is_fine(client: RawClient, actor_id: str) -> None:
    answer = await client.manage("DELETE", f"/actors/{actor_id}")
    assert (answer.status_code, answer.json()) == (200, {})


async def test_destroying_twice_is_fine(client: RawClient, probe: Probe) -> None:
    made = await _created(client, _create())
    for _ in range(2):
        answer = await client.manage("DELETE", f"/actors/{made['actor_id']}")
        assert answer.status_code == 200
    assert len(probe.destroyed) == 1


async def test_a_percent_encoded_id_is_destroyed_too(client: RawClient) -> None:
    made = await _created(client, _create())
    encoded = "".join(f"%{ord(character):02x}" for character in cast("str", made["actor_id"]))
    await client.manage("DELETE", f"/actors/{encoded}")
    assert await client.actors(name="counter", key="k") == []


# --- keys and input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serialized", "key"),
    [
        pytest.param("/", [], id="empty"),
        pytest.param(r"\0", [""], id="one-empty-part"),
        pytest.param("a/b", ["a", "b"], id="two-parts"),
        pytest.param(r"a\/b", ["a/b"], id="slash"),
        pytest.param(r"a\\b", ["a\\b"], id="backslash"),
        pytest.param(r"\\0", ["\\0"], id="escaped-marker"),
        pytest.param(r"a/\0/b", ["a", "", "b"], id="empty-part-inside"),
        pytest.param("a,b", ["a,b"], id="comma"),
        pytest.param("ключ/🦀", ["ключ", "🦀"], id="unicode"),
        pytest.param("x" * 1024, ["x" * 1024], id="as-long-as-allowed"),
    ],
)
async def test_every_key_comes_back_as_it_went_in(client: RawClient, serialized: str, key: list[str]) -> None:
    made = await _created(client, _create(key=serialized), "PUT")
    assert made["key"] == serialized
    target = by_id(cast("str", made["actor_id"]))
    assert cast("list[object]", await client.call(target, "whoami"))[1] == key
    assert len(await client.actors(name="counter", key=serialized)) == 1


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("", "actor.empty_key", id="empty-text"),
        pytest.param("x" * 1025, "actor.key_too_large", id="ascii"),
        pytest.param("\ud800", "api.bad_request", id="lone-surrogate"),
        pytest.param(7, "api.bad_request", id="number"),
    ],
)
async def test_impossible_keys_are_refused(
    client: RawClient, method: str, key: object, expected: str
) -> None:
    answer = await client.manage(method, "/actors", {**_create(), "key": key})
    assert (answer.status_code, error_of(answer)) == (400, expected)
    assert (await client.manage("POST", "/actors", _create())).status_code == 200


@embedded_only("the engine breaks the connection off")
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_key_is_measured_in_bytes(client: RawClient, method: str) -> None:
    answer = await client.manage(method, "/actors", _create(key="ä" * 513))
    assert (answer.status_code, error_of(answer)) == (400, "actor.key_too_large")


@embedded_only("the engine finds nothing under such keys")
@pytest.mark.parametrize(("key", "expected"), [("", "actor.empty_key"), ("x" * 1025, "actor.key_too_large")])
async def test_a_lookup_refuses_the_same_keys(client: RawClient, key: str, expected: str) -> None:
    answer = await client.manage("GET", "/actors", params={**client.scope, "name": "counter", "key": key})
    assert (answer.status_code, error_of(answer)) == (400, expected)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_input_reaches_the_actor(client: RawClient, method: str) -> None:
    encoded = base64.b64encode(cbor.encode({"a": [1, "ä", None]})).decode()
    made = await _created(client, _create(name="given", input=encoded), method)
    assert await client.call(by_id(cast("str", made["actor_id"])), "get") == {"a": [1, "ä", None]}


@embedded_only(_OURS)
@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    "input",
    [
        pytest.param("%%%", id="not-base64"),
        pytest.param("gQ", id="no-padding"),
        pytest.param(7, id="number"),
        pytest.param("ä", id="not-ascii"),
        pytest.param(base64.b64encode(b"\xff\xff").decode(), id="not-cbor"),
    ],
)
async def test_invalid_input_is_refused_and_creates_nothing(
    client: RawClient, method: str, input: object
) -> None:
    answer = await client.manage(method, "/actors", _create(name="given", input=input))
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")
    assert await client.actors(name="given") == []


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/actors"), ("GET", "/actors/names"), ("DELETE", f"/actors/{UNKNOWN_ID}")]
)
async def test_a_namespace_is_required(client: RawClient, method: str, path: str) -> None:
    answer = await client.manage(method, path, params={})
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")
    assert "namespace" in answer.json()["metadata"]["reason"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_namespace_is_required_to_create(client: RawClient, method: str) -> None:
    answer = await client.manage(method, "/actors", _create(), params={})
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_an_unknown_namespace_is_not_found(client: RawClient, method: str) -> None:
    body = None if method == "GET" else _create()
    params = {"namespace": "other"} | ({"name": "counter"} if method == "GET" else {})
    answer = await client.manage(method, "/actors", body, params=params)
    assert (answer.status_code, error_of(answer)) == (400, "namespace.not_found")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"{", "application/json", id="malformed"),
        pytest.param(b"[]", "application/json", id="not-an-object"),
        pytest.param(b"\xff", "application/json", id="not-utf-8"),
        pytest.param(b"[" * 100_000, "application/json", id="nested"),
        pytest.param(b"", "application/json", id="empty"),
        pytest.param(b'{"name":"counter","key":"k"}', "text/plain", id="wrong-content-type"),
        pytest.param(b'{"name":"counter","key":"k"}', "", id="no-content-type"),
        pytest.param(b'{"name":"counter","key":"k","colour":1}', "application/json", id="unknown-field"),
        pytest.param(b'{"key":"k"}', "application/json", id="no-name"),
        pytest.param(b'{"name":7,"key":"k"}', "application/json", id="name-is-a-number"),
        pytest.param(b'{"name":"counter","key":"k","crash_policy":"x"}', "application/json", id="policy"),
        pytest.param(b'{"name":"counter","key":"k","crash_policy":[]}', "application/json", id="policy-list"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_body_that_cannot_be_used_is_a_bad_request(
    client: RawClient, method: str, body: bytes, content_type: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await client.http.request(method, "/actors", params=client.scope, content=body, headers=headers)
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")


@embedded_only(_OURS)
async def test_the_content_type_may_carry_a_charset_in_any_case(client: RawClient) -> None:
    answer = await client.http.put(
        "/actors",
        params=client.scope,
        content=b'{"name":"counter","key":"k"}',
        headers={"content-type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("datacenter", "status"), [("nowhere", 400), (7, 400), ("default", 200), (None, 200)]
)
async def test_an_unknown_datacenter_is_refused(
    client: RawClient, method: str, datacenter: object, status: int
) -> None:
    answer = await client.manage(method, "/actors", _create(datacenter=datacenter))
    assert answer.status_code == status
    if datacenter == "nowhere":
        assert error_of(answer) == "datacenter.not_found"


async def test_put_needs_a_key(client: RawClient) -> None:
    answer = await client.manage("PUT", "/actors", _create(key=None))
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")


@pytest.mark.parametrize("params", [{}, {"key": "k"}])
async def test_a_list_needs_a_name_or_ids(client: RawClient, params: dict[str, str]) -> None:
    answer = await client.manage("GET", "/actors", params={**client.scope, **params})
    assert (answer.status_code, error_of(answer)) == (400, "validation.invalid_input")


@embedded_only(_OURS)
@pytest.mark.parametrize(
    "limit", ["0", "-1", "x", "1001", "99999999999999999999", "0000000001000000", "²", ""]
)
async def test_a_limit_out_of_range_is_a_bad_request(client: RawClient, limit: str) -> None:
    params = {**client.scope, "name": "counter", "limit": limit}
    answer = await client.manage("GET", "/actors", params=params)
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")


@embedded_only(_OURS)
@pytest.mark.parametrize("cursor", ["x", "1", "².a", "-1.a", "9" * 30 + ".a", ""])
async def test_a_cursor_that_is_not_ours_is_refused(client: RawClient, cursor: str) -> None:
    params = {**client.scope, "name": "counter", "cursor": cursor}
    answer = await client.manage("GET", "/actors", params=params)
    assert (answer.status_code, error_of(answer)) == (400, "validation.invalid_input")


@embedded_only(_OURS)
async def test_a_name_nobody_registered_is_refused(client: RawClient) -> None:
    answer = await client.manage("POST", "/actors", _create(name="nobody"))
    assert error_of(answer) == "actor.not_registered"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/actors/"),
        ("DELETE", "/actors/"),
        ("GET", "/actors/names/more"),
        ("GET", "//actors"),
        ("GET", "/Gateway/x/health"),
    ],
)
async def test_unknown_routes_are_not_found(client: RawClient, method: str, path: str) -> None:
    answer = await client.http.request(method, f"{client.base_url}{path}?namespace={client.namespace}")
    assert (answer.status_code, error_of(answer)) == (404, "api.not_found")


@embedded_only("the engine answers 405, which clients do not tell from 404")
@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/actors"), ("PATCH", "/actors"), ("POST", "/metadata")]
)
async def test_methods_a_route_does_not_have_are_not_found(client: RawClient, method: str, path: str) -> None:
    answer = await client.http.request(method, path, params=client.scope)
    assert (answer.status_code, error_of(answer)) == (404, "api.not_found")


@embedded_only(_OURS)
async def test_invalid_utf_8_in_the_query_is_a_bad_request(client: RawClient) -> None:
    answer = await client.http.get(client.here("/actors?namespace=NAMESPACE&name=%ff"))
    assert (answer.status_code, error_of(answer)) == (400, "api.bad_request")


async def test_the_manager_and_the_gateway_agree_on_a_key(client: RawClient) -> None:
    made = await _created(client, _create(key="a/b"))
    assert await client.id_of(by_key("counter", "a,b")) == made["actor_id"]
