from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

import httpx
import pytest

from rivetkit_core.errors import ActorNotFound, ProtocolError, RivetError
from rivetkit_core.host.engine.api import DELETE_TIMEOUT, EngineApi
from rivetkit_core.host.engine.requests import REQUEST_TIMEOUT
from rivetkit_core.host.engine.resources import (
    Datacenter,
    EngineMetadata,
    Envoy,
    Health,
    NormalPool,
    PoolStatus,
    ServerlessPool,
    StoredValue,
)
from rivetkit_core.testing import FakeClock

ENDPOINT = "http://engine.example"
ACTOR = {
    "actor_id": "abc",
    "name": "room",
    "key": None,
    "namespace_id": "ns",
    "datacenter": "eu",
    "runner_name_selector": "default",
    "crash_policy": "sleep",
    "create_ts": 1,
    "start_ts": None,
    "pending_allocation_ts": None,
    "connectable_ts": None,
    "sleep_ts": 2,
    "reschedule_ts": None,
    "destroy_ts": None,
    "error": "no_capacity",
}
NAMESPACE = {"namespace_id": "id", "name": "prod", "display_name": "Prod", "create_ts": 1}
NOT_FOUND = {"group": "api", "code": "not_found", "message": "gone"}


class ScriptedEngine:
    """Answers requests from a table of method and path; a list is used up answer by answer."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: dict[tuple[str, str], list[tuple[int, object]]] = {}

    def answer(self, method: str, path: str, *bodies: object, status: int = 200) -> None:
        self.answers.setdefault((method, path), []).extend((status, body) for body in bodies)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        known = self.answers.get((request.method, request.url.raw_path.decode().partition("?")[0]))
        if not known:
            return httpx.Response(404, json=NOT_FOUND)
        status, body = known.pop(0) if len(known) > 1 else known[0]
        return httpx.Response(status, json=body)

    @property
    def body(self) -> object:
        return json.loads(self.requests[-1].content)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.requests[-1].url.params)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(engine: ScriptedEngine, clock: FakeClock) -> EngineApi:
    return api_over(engine, clock)


def api_over(
    answer: Callable[[httpx.Request], httpx.Response], clock: FakeClock, token: str | None = None
) -> EngineApi:
    return EngineApi(
        ENDPOINT, clock=clock, namespace="prod", token=token, transport=httpx.MockTransport(answer)
    )


async def test_health_and_metadata_are_read(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/health", {"runtime": "engine", "status": "ok", "version": "2.3.19"})
    engine.answer("GET", "/metadata", {"version": "2.3.19", "envoy_protocol_version": 8, "new": 1})
    assert await api.health() == Health("engine", "2.3.19")
    assert await api.metadata() == EngineMetadata("2.3.19", 8)


async def test_the_token_travels_in_a_header_and_is_not_shown(
    engine: ScriptedEngine, clock: FakeClock
) -> None:
    engine.answer("GET", "/datacenters", {"datacenters": [{"label": 1, "name": "eu", "url": "http://eu"}]})
    api = api_over(engine, clock, token="secret")
    assert await api.datacenters() == (Datacenter(1, "eu", "http://eu"),)
    assert engine.requests[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in repr(api)


async def test_a_refusal_keeps_the_engines_words(engine: ScriptedEngine, api: EngineApi) -> None:
    refusal = {
        "group": "actor",
        "code": "duplicate_key",
        "message": "taken",
        "metadata": {"existing_actor_id": "x"},
    }
    engine.answer("POST", "/actors", refusal, status=400)
    with pytest.raises(RivetError) as refused:
        await api.create_actor("room", "lobby", pool="default")
    failure = refused.value
    assert (failure.group, failure.code, failure.message) == ("actor", "duplicate_key", "taken")
    assert failure.metadata == {"existing_actor_id": "x"}


@pytest.mark.parametrize("body", ["text", ["list"], {"group": 1, "code": "x"}])
async def test_a_refusal_without_a_reason_is_told_by_its_status(
    engine: ScriptedEngine, api: EngineApi, body: object
) -> None:
    engine.answer("GET", "/metadata", body, status=502)
    with pytest.raises(RivetError, match=r"/metadata with status 502") as refused:
        await api.metadata()
    assert refused.value.code == "unexpected_answer"


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"version": 1, "envoy_protocol_version": 8}', b"{}"])
async def test_an_answer_of_another_shape_is_a_broken_protocol(clock: FakeClock, content: bytes) -> None:
    api = api_over(lambda _request: httpx.Response(200, content=content), clock)
    with pytest.raises(ProtocolError):
        await api.metadata()


async def test_an_engine_that_cannot_be_reached_is_named(clock: FakeClock) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RivetError, match=r"engine\.example: refused") as refused:
        await api_over(refuse, clock).health()
    assert (refused.value.group, refused.value.code) == ("engine", "unreachable")


class SilentEngine(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError(request)


@pytest.mark.parametrize("deletes", [False, True], ids=["request", "deletion"])
async def test_every_request_has_a_bound(clock: FakeClock, deletes: bool) -> None:
    api = EngineApi(ENDPOINT, clock=clock, transport=SilentEngine())
    limit = DELETE_TIMEOUT if deletes else REQUEST_TIMEOUT
    asking = asyncio.ensure_future(api.delete_actor("abc") if deletes else api.sleep_actor("abc"))
    await clock.advance(limit - 1)
    assert not asking.done()
    await clock.advance(1)
    with pytest.raises(RivetError, match=f"within {limit:g} s"):
        await asking


async def test_a_namespace_that_exists_is_not_made(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/namespaces", {"namespaces": [NAMESPACE]})
    assert (await api.ensure_namespace("prod")).namespace_id == "id"
    assert [request.method for request in engine.requests] == ["GET"]


async def test_a_namespace_that_somebody_else_just_made_is_used(
    engine: ScriptedEngine, api: EngineApi
) -> None:
    engine.answer("GET", "/namespaces", {"namespaces": []}, {"namespaces": [NAMESPACE]})
    taken = {"group": "namespace", "code": "name_not_unique", "message": "taken"}
    engine.answer("POST", "/namespaces", taken, status=400)
    assert (await api.ensure_namespace("prod")).namespace_id == "id"


async def test_a_pool_is_set_in_every_datacenter(engine: ScriptedEngine, api: EngineApi) -> None:
    places = [{"label": 1, "name": "eu", "url": "u"}, {"label": 2, "name": "us", "url": "u"}]
    engine.answer("GET", "/datacenters", {"datacenters": places})
    engine.answer("PUT", "/runner-configs/my%20pool", {"endpoint_config_changed": True})
    await api.upsert_runner_config("my pool", NormalPool(drain_on_version_upgrade=False))
    config = {"normal": {"drain_on_version_upgrade": False}}
    assert engine.body == {"datacenters": {"eu": config, "us": config}}
    assert engine.query == {"namespace": "prod"}


def test_a_serverless_pool_says_how_to_reach_it_and_hides_its_headers() -> None:
    pool = ServerlessPool(
        url="http://x",
        request_lifespan=60,
        drain_grace_period=5,
        headers={"a": "secret"},
        max_concurrent_actors=7,
    )
    assert pool.to_json() == {
        "serverless": {
            "url": "http://x",
            "request_lifespan": 60,
            "drain_grace_period": 5,
            "headers": {"a": "secret"},
            "max_concurrent_actors": 7,
            "drain_on_version_upgrade": True,
        }
    }
    assert "secret" not in repr(pool)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(404, NOT_FOUND), (429, {}), (503, {}), (400, {"group": "datacenter", "code": "not_found"})],
)
async def test_a_pool_is_tried_again_while_the_engine_comes_up(
    engine: ScriptedEngine, clock: FakeClock, api: EngineApi, status: int, refusal: object
) -> None:
    engine.answer("GET", "/datacenters", refusal, status=status)
    engine.answer("GET", "/datacenters", {"datacenters": []})
    engine.answer("PUT", "/runner-configs/default", {"endpoint_config_changed": True})
    ensuring = asyncio.ensure_future(api.ensure_pool("default"))
    await clock.advance(0.4)
    assert not ensuring.done()
    await clock.advance(0.1)
    await ensuring


@pytest.mark.parametrize("code", ["not_found", "invalid"])
async def test_a_refusal_that_stays_ends_the_attempts(
    engine: ScriptedEngine, api: EngineApi, code: str
) -> None:
    engine.answer("GET", "/datacenters", {"datacenters": []})
    engine.answer("PUT", "/runner-configs/default", {"group": "namespace", "code": code}, status=400)
    with pytest.raises(RivetError) as refused:
        await api.ensure_pool("default")
    assert refused.value.code == code


async def test_a_pool_is_given_up_after_sixty_attempts(
    engine: ScriptedEngine, clock: FakeClock, api: EngineApi
) -> None:
    ensuring = asyncio.ensure_future(api.ensure_pool("default"))
    await clock.advance(30)
    with pytest.raises(RivetError, match="gone"):
        await ensuring
    assert len(engine.requests) == 60


def pool_answer(protocol_version: int | None) -> object:
    status = {"normal": {"drain_on_version_upgrade": True}, "protocol_version": protocol_version}
    return {"runner_configs": {"default": {"datacenters": {"eu": status}}}}


async def test_a_pool_is_ready_when_an_envoy_has_connected(
    engine: ScriptedEngine, clock: FakeClock, api: EngineApi
) -> None:
    engine.answer("GET", "/runner-configs", {"runner_configs": {}}, pool_answer(None), pool_answer(8))
    waiting = asyncio.ensure_future(api.wait_for_pool("default"))
    await clock.advance(1)
    assert await waiting == 8


async def test_a_pool_without_an_envoy_is_given_up_in_time(
    engine: ScriptedEngine, clock: FakeClock, api: EngineApi
) -> None:
    engine.answer("GET", "/runner-configs", pool_answer(None))
    waiting = asyncio.ensure_future(api.wait_for_pool("default", timeout=3))
    await clock.advance(3)
    with pytest.raises(RivetError, match="within 3 s") as late:
        await waiting
    assert late.value.code == "pool_not_ready"


async def test_a_pool_is_read(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/runner-configs", pool_answer(8))
    assert await api.runner_config("default") == (PoolStatus("eu", False, True, 8, None),)
    assert engine.query == {"namespace": "prod", "runner_name": "default"}


async def test_envoys_are_read(engine: ScriptedEngine, api: EngineApi) -> None:
    envoy = {
        "envoy_key": "key", "namespace_id": "ns", "datacenter": "eu", "pool_name": "default", "version": 1,
        "slots": 3, "create_ts": 1, "last_ping_ts": 2, "last_connected_ts": None, "stop_ts": None,
        "last_rtt": 4, "metadata": {"a": 1},
    }  # fmt: skip
    engine.answer("GET", "/envoys", {"envoys": [envoy]})
    assert await api.list_envoys("default") == (
        Envoy("key", "ns", "eu", "default", 1, 3, 1, 2, None, None, {"a": 1}),
    )


async def test_a_new_actor_carries_its_input(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("PUT", "/actors", {"actor": ACTOR, "created": True})
    actor, created = await api.get_or_create_actor("room", "k", pool="p", input=b"\x01", datacenter="eu")
    assert (actor.pool, actor.error, created) == ("default", "no_capacity", True)
    assert engine.body == {
        "name": "room", "key": "k", "input": base64.b64encode(b"\x01").decode(),
        "runner_name_selector": "p", "crash_policy": "sleep", "datacenter": "eu",
    }  # fmt: skip


async def test_an_unknown_actor_is_not_found(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/actors", {"actors": []})
    with pytest.raises(ActorNotFound):
        await api.get_actor("abc")


async def test_actors_are_looked_up_by_name_and_key(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/actors", {"actors": [ACTOR]})
    (actor,) = await api.list_actors("room", key="a/b")
    assert actor.actor_id == "abc"
    assert engine.query == {
        "namespace": "prod", "name": "room", "include_destroyed": "false", "limit": "1000", "key": "a/b",
    }  # fmt: skip


async def test_a_stored_value_is_read_by_its_binary_key(engine: ScriptedEngine, api: EngineApi) -> None:
    engine.answer("GET", "/actors/abc/kv/keys/%2Fw%3D%3D", {"value": "AQI=", "update_ts": 5})
    assert await api.kv_get("abc", b"\xff") == StoredValue(b"\x01\x02", 5)


async def test_a_value_that_is_not_stored_is_none(engine: ScriptedEngine, api: EngineApi) -> None:
    missing = {"group": "actor", "code": "kv_key_not_found", "message": "none"}
    engine.answer("GET", "/actors/abc/kv/keys/AQ%3D%3D", missing, status=400)
    assert await api.kv_get("abc", b"\x01") is None


@pytest.mark.parametrize("verb", ["sleep", "reschedule"])
async def test_an_actor_can_be_told_to_move(engine: ScriptedEngine, api: EngineApi, verb: str) -> None:
    engine.answer("POST", f"/actors/abc/{verb}", {})
    await {"sleep": api.sleep_actor, "reschedule": api.reschedule_actor}[verb]("abc")
    assert engine.body == {}
    assert engine.query == {"namespace": "prod"}
