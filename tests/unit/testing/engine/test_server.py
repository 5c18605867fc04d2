"""The scripted engine behind real sockets: its HTTP endpoints, its handshake, and what it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.testing.engine import EngineSettings, ScriptedEngine, ScriptedEngineServer
from rivetkit_core.wire.envoy.messages import KvPut, RequestStart
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.socket_link import SocketLink

CONFIG: dict[str, object] = {"datacenters": {"default": {"normal": {}}}}
POOL = "/runner-configs/default?namespace=default"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedEngineServer]:
    engine = ScriptedEngine(SystemClock(), EngineSettings(recording=False))
    async with ScriptedEngineServer(engine, token="secret") as serving:
        yield serving
    engine.close()


@pytest.fixture
async def api(server: ScriptedEngineServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer secret"}
    async with httpx.AsyncClient(base_url=server.endpoint, headers=headers, trust_env=False) as client:
        yield client


async def refusal(link: SocketLink) -> tuple[int, str]:
    with pytest.raises(LinkLost) as ended:
        await link.receive()
    await link.close(1000, "")
    return ended.value.code, ended.value.reason


async def test_a_host_finds_its_way_and_is_counted(
    server: ScriptedEngineServer, api: httpx.AsyncClient
) -> None:
    assert (await api.get("/metadata")).json()["envoy_protocol_version"] == 8
    assert (await api.get("/datacenters")).json()["datacenters"][0]["name"] == "default"
    assert (await api.put(POOL, json=CONFIG)).json() == {"endpoint_config_changed": True}
    link = await SocketLink.open(server.port, token="secret")
    envoy = Puppet(link)
    await envoy.ready()
    listed = (await api.get("/runner-configs?namespace=default")).json()["runner_configs"]
    assert listed["default"]["datacenters"]["default"]["protocol_version"] == 8
    before = server.traffic.copy()
    await envoy.kv("0" * 30, KvPut((b"a",), (b"1",)))
    seen = server.traffic.since(before)
    assert (seen.to_engine.messages, seen.to_host.messages) == ({"KvPut": 1}, {"KvResponse": 1})
    assert (seen.round_trips, seen.to_host.bytes["KvResponse"] > 5) == (1, True)
    await link.close(1000, "envoy.shutdown")


async def test_a_pool_is_put_once(api: httpx.AsyncClient) -> None:
    await api.put(POOL, json=CONFIG)
    assert (await api.put(POOL, json=CONFIG)).json() == {"endpoint_config_changed": False}


async def test_health_needs_no_token(server: ScriptedEngineServer) -> None:
    async with httpx.AsyncClient(base_url=server.endpoint, trust_env=False) as client:
        assert (await client.get("/health")).json()["runtime"] == "engine"
        assert (await client.get("/datacenters")).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        pytest.param("/runner-configs/default?namespace=other", CONFIG, "not_found", id="namespace"),
        pytest.param(POOL, {"datacenters": {"moon": None}}, "not_found", id="datacenter"),
        pytest.param(POOL, "text", "bad_request", id="body"),
    ],
)
async def test_a_bad_config_is_refused(api: httpx.AsyncClient, path: str, body: object, code: str) -> None:
    answer = await api.put(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_pool_without_a_config_is_refused(server: ScriptedEngineServer) -> None:
    link = await SocketLink.open(server.port, token="secret")
    assert await refusal(link) == (1011, "ws.no_runner_config#ray")


async def test_a_wrong_token_is_refused_after_the_upgrade(server: ScriptedEngineServer) -> None:
    link = await SocketLink.open(server.port, token="wrong")
    assert await refusal(link) == (1011, "api.forbidden#ray")


@pytest.mark.parametrize("envoy_key", ["ab", "-abc", "abc-", "a b", "é" * 4, "a" * 129])
async def test_a_malformed_key_is_refused(server: ScriptedEngineServer, envoy_key: str) -> None:
    link = await SocketLink.open(server.port, token="secret", envoy_key=envoy_key)
    assert await refusal(link) == (1011, "ws.invalid_request#ray")


async def test_a_request_reaches_an_envoy_of_the_older_protocol(
    server: ScriptedEngineServer, api: httpx.AsyncClient
) -> None:
    await api.put(POOL, json=CONFIG)
    link = await SocketLink.open(server.port, token="secret", protocol=6)
    envoy = Puppet(link)
    await envoy.ready()
    actor_id = server.engine.create_actor("counter")
    await envoy.start()
    response = server.engine.request(actor_id, "GET", "/", streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.respond(message_id, b"hi")
    assert await (await response).read() == b"hi"
    await link.close(1000, "envoy.shutdown")
