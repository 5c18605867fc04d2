"""Raw requests: what an actor's own code answers (client-protocol 5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.contract.actors import Probe
from tests.contract.client import RawClient, by_id, by_key
from tests.contract.hosts import embedded_only
from tests.contract.serving import Serving

SITE = by_key("site", "a")
SHOP = by_key("shop", "a")

MEGABYTE = 1024 * 1024


def raw(client: RawClient, path: str, query: str = "") -> str:
    return client.url(SITE, f"/request{path}") + (f"&{query}" if query else "")


async def test_a_handler_sees_the_request_below_its_prefix(client: RawClient) -> None:
    answer = await client.http.put(raw(client, "/echo", "q=1"), content="hello", headers={"x-asked": "yes"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "method": "PUT",
        "path": "/echo",
        "query": {"q": "1"},
        "header": "yes",
        "body": "hello",
        "params": None,
        "conns": 1,
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-rivet-actor"] == await client.id_of(SITE)
    assert answer.headers["x-rivet-actor-generation"] == "1"
    assert answer.headers["x-rivet-ray-id"]
    assert "x-rivet-error" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"])
async def test_every_method_reaches_the_handler(client: RawClient, method: str) -> None:
    answer = await client.http.request(method, raw(client, "/echo"))
    assert (answer.status_code, answer.json()["method"]) == (200, method)


async def test_head_has_headers_and_no_body(client: RawClient) -> None:
    answer = await client.http.head(raw(client, "/echo"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("suffix", ["", "/"])
async def test_the_bare_prefix_is_the_root(client: RawClient, suffix: str) -> None:
    answer = await client.http.get(raw(client, suffix))
    assert (answer.status_code, answer.text) == (404, "nothing here")


@pytest.mark.parametrize("code", [201, 204, 301, 304, 418, 500])
async def test_status_and_headers_are_the_handlers(client: RawClient, code: int) -> None:
    answer = await client.http.get(raw(client, "/status", f"code={code}"))
    assert (answer.status_code, answer.headers["x-own"], answer.content) == (code, "yes", b"")


async def test_a_request_by_header_reaches_its_actor(client: RawClient) -> None:
    actor_id = await client.id_of(SITE)
    headers = {"x-rivet-target": "actor", "x-rivet-actor": actor_id}
    answer = await client.http.post("/request/echo?q=2", content="hi", headers=headers)
    assert (answer.status_code, answer.json()["path"]) == (200, "/echo")


async def test_connection_parameters_go_through_the_hooks(client: RawClient) -> None:
    answer = await client.http.get(raw(client, "/echo"), headers={"x-rivet-conn-params": '{"a": 1}'})
    assert answer.json()["params"] == {"a": 1}
    refused = await client.http.get(raw(client, "/echo"), headers={"x-rivet-conn-params": '"intruder"'})
    assert (refused.status_code, refused.json()["code"]) == (500, "intruder")


async def test_what_a_handler_changed_is_there_for_actions(client: RawClient) -> None:
    await client.http.get(raw(client, "/echo"))
    await client.http.get(raw(client, "/echo"))
    assert await client.call(SITE, "visits") == 2


# --- bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100_000, 5 * MEGABYTE])
async def test_a_body_above_the_limit_of_actions_arrives(client: RawClient, size: int) -> None:
    answer = await client.http.post(raw(client, "/upload"), content=b"x" * size)
    assert (answer.status_code, answer.json()["bytes"]) == (200, size)


async def test_a_body_of_unknown_length_arrives(client: RawClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 40_000

    answer = await client.http.post(raw(client, "/upload"), content=parts())
    assert (answer.status_code, answer.json()["bytes"]) == (200, 64 * 40_000)


async def test_an_answer_above_the_limit_of_actions_arrives(client: RawClient) -> None:
    answer = await client.http.get(raw(client, "/big", f"size={5 * MEGABYTE}"))
    assert (answer.status_code, len(answer.content)) == (200, 5 * MEGABYTE)


@embedded_only("an engine refuses it while it is sent, which not every client survives")
async def test_a_body_beyond_twenty_mebibytes_is_refused(client: RawClient) -> None:
    answer = await client.http.post(raw(client, "/upload"), content=b"x" * (20 * MEGABYTE + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "invalid_request_body")


@embedded_only("an engine counts bodies of unknown length itself, and cuts the client")
async def test_a_body_of_unknown_length_is_refused_at_twenty_mebibytes(client: RawClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b"x" * MEGABYTE

    answer = await client.http.post(raw(client, "/upload"), content=parts())
    assert (answer.status_code, answer.json()["code"]) == (413, "invalid_request_body")


@embedded_only("an engine streams answers where its operator says so")
async def test_an_answer_is_streamed_as_it_comes(client: RawClient, probe: Probe) -> None:
    async with client.http.stream("GET", raw(client, "/stream")) as answer:
        parts = answer.aiter_bytes()
        assert await anext(parts) == b"first"
        probe.gate.set()
        assert [part async for part in parts] == [b"second"]


async def test_a_streamed_answer_arrives_whole(client: RawClient, probe: Probe) -> None:
    probe.gate.set()
    answer = await client.http.get(raw(client, "/stream"))
    assert (answer.status_code, answer.text) == (200, "firstsecond")


# --- failures -----------------------------------------------------------------------------------------


async def test_an_actor_without_a_handler_has_nothing_there(client: RawClient) -> None:
    answer = await client.http.get(client.url(by_key("silent", "a"), "/request/x"))
    assert (answer.status_code, answer.content) == (404, b"")


async def test_a_public_error_of_a_handler_is_its_answer(client: RawClient) -> None:
    answer = await client.http.get(raw(client, "/refuse"))
    assert answer.status_code == 500
    body = answer.json()
    assert (body["group"], body["code"], body["message"]) == ("user", "no", "not today")
    assert body["metadata"] == {"why": "tired"}
    assert body["actor"]["actorId"] == await client.id_of(SITE)
    assert answer.headers["x-rivet-error"] == "user.no"


async def test_any_other_failure_is_masked(client: RawClient) -> None:
    answer = await client.http.get(raw(client, "/crash"))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_a_handler_that_returns_nothing_has_failed(client: RawClient) -> None:
    answer = await client.http.get(raw(client, "/none"))
    assert (answer.status_code, answer.json()["code"]) == (500, "invalid_http_response")


@embedded_only("an engine that does not stream has seen nothing of the answer, and gives another one")
async def test_an_answer_that_fails_halfway_is_broken_off(client: RawClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.http.get(raw(client, "/half"))


async def test_an_actor_that_does_not_exist_is_a_gateways_answer(client: RawClient) -> None:
    answer = await client.http.get(client.url(by_key("site", "nobody", create=False), "/request/echo"))
    assert (answer.status_code, answer.headers["x-rivet-error"]) == (404, "actor.not_found")


# --- life ---------------------------------------------------------------------------------------------


async def test_a_request_under_way_is_answered_before_its_actor_stops(
    host: Serving, client: RawClient, probe: Probe
) -> None:
    asking = asyncio.create_task(client.http.get(raw(client, "/hold")))
    await probe.entered.wait()
    stopping = host.begin_stop()
    probe.gate.set()
    answer = await asking
    await stopping
    assert (answer.status_code, answer.text) == (200, "held")


async def test_work_behind_an_answer_is_finished(client: RawClient, probe: Probe) -> None:
    answer = await client.http.get(raw(client, "/behind"))
    assert answer.text == "now"
    await probe.entered.wait()
    probe.gate.set()
    while await client.call(SITE, "visits") != 101:
        pass


@embedded_only("an engine tells of clients that left only where it streams")
async def test_a_handler_ends_with_its_client(client: RawClient, probe: Probe) -> None:
    async with client.http.stream("GET", raw(client, "/stream")) as answer:
        await anext(answer.aiter_bytes())
    await asyncio.wait_for(probe.ended.wait(), 10)


# --- applications -------------------------------------------------------------------------------------


async def test_an_application_answers_for_its_actor(client: RawClient, probe: Probe) -> None:
    item = {"name": "tea", "price": 2.5}
    put = await client.http.put(client.url(SHOP, "/request/items/tea"), json=item)
    assert (put.status_code, put.json()) == (200, item)
    assert (await client.http.get(client.url(SHOP, "/request/items/tea"))).json() == item
    missing = await client.http.get(client.url(SHOP, "/request/items/milk"))
    assert (missing.status_code, missing.json()) == (404, {"detail": "no such item"})
    invalid = await client.http.put(client.url(SHOP, "/request/items/tea"), json={"name": "tea"})
    assert invalid.status_code == 422
    assert await client.call(SHOP, "names") == ["tea"]
    assert probe.starts == 1


async def test_a_failure_of_an_application_is_its_own_answer(client: RawClient) -> None:
    answer = await client.http.get(client.url(SHOP, "/request/crash"))
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


async def test_a_handle_by_id_reaches_the_same_code(client: RawClient) -> None:
    target = by_id(await client.id_of(SITE))
    answer = await client.http.get(client.url(target, "/request/echo"))
    assert answer.json()["path"] == "/echo"
