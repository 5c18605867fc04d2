"""What scrapers read, on every host (actor-runtime 13.1 and 13.2)."""

from __future__ import annotations

import base64
import re

import httpx
import pytest

from tests.contract.client import RawClient, Target, by_key
from tests.contract.hosts import EMBEDDED, HOSTS, embedded_only
from tests.contract.serving import METRICS_TOKEN


async def scrape(client: RawClient, target: Target, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    return await client.http.get(client.url(target, "/metrics"), headers=headers)


def sample(text: str, name: str, **labels: str) -> float | None:
    """The value of the first series of a metric that has these labels."""
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
            return float(found[2])
    return None


async def test_an_actor_shows_its_numbers_to_who_has_a_token(client: RawClient) -> None:
    target = by_key("counter", "a")
    for _ in range(3):
        await client.call(target, "increment")
    await client.post(target, "refuse")
    answer = await scrape(client, target, f"Bearer {METRICS_TOKEN}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert sample(answer.text, "action_call_total", actor_name="counter", action="increment") == 3
    assert sample(answer.text, "action_duration_seconds_count", action="increment") == 3
    assert sample(answer.text, "action_error_total", action="increment") == 0
    assert sample(answer.text, "action_error_total", action="refuse") == 1
    assert sample(answer.text, "connections_total") == 4
    assert sample(answer.text, "active_connections") == 0
    assert sample(answer.text, "total_startup_ms") is not None


async def test_an_actor_shows_its_numbers_to_nobody_else(client: RawClient) -> None:
    target = by_key("counter", "a")
    for authorization in (None, "Bearer wrong", METRICS_TOKEN, f"Basic {METRICS_TOKEN}"):
        answer = await scrape(client, target, authorization)
        assert answer.status_code == 401
        failure = answer.json()
        assert (failure["group"], failure["code"]) == ("inspector", "unauthorized")


async def test_metrics_can_only_be_read(client: RawClient) -> None:
    target = by_key("counter", "a")
    headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
    answer = await client.http.post(client.url(target, "/metrics"), headers=headers)
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"


async def test_an_action_nobody_declared_makes_no_series(client: RawClient) -> None:
    target = by_key("counter", "a")
    await client.post(target, "no_such_action")
    answer = await scrape(client, target, f"bearer \t{METRICS_TOKEN}")
    assert "no_such_action" not in answer.text


@embedded_only("on an engine the program's own port serves them, which the suite does not open")
async def test_the_process_shows_the_numbers_of_all_its_actors(client: RawClient) -> None:
    for key in ("a", "b"):
        await client.call(by_key("counter", key), "increment")
    answer = await client.http.get("/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200
    prefix = "rivet_rivetkit_actor"
    assert sample(answer.text, f"{prefix}_active_count", actor_name="counter") == 2
    assert sample(answer.text, f"{prefix}_started_total", actor_name="counter") == 2
    calls = sample(answer.text, f"{prefix}_action_call_total", actor_name="counter", action="increment")
    assert calls == 2
    assert (await client.http.get("/metrics")).status_code == 401


async def test_what_an_actor_stored_is_counted(client: RawClient) -> None:
    target = by_key("counter", "a")
    await client.call(target, "increment")
    answer = await scrape(client, target, f"Bearer {METRICS_TOKEN}")
    saves = sample(answer.text, "state_save_duration_seconds_count", outcome="success")
    assert saves is not None
    assert saves >= 2
    assert sample(answer.text, "state_mutation_total", reason="has_initialized") == 1
    assert sample(answer.text, "user_tasks_active", kind="http") == 1
    assert sample(answer.text, "http_requests_active") == 1


async def test_an_open_socket_is_counted(client: RawClient) -> None:
    target = by_key("counter", "a")
    async with client.connect(target) as socket:
        await socket.init()
        answer = await scrape(client, target, f"Bearer {METRICS_TOKEN}")
        assert sample(answer.text, "active_connections") == 1
        assert sample(answer.text, "user_tasks_active", kind="websocket_lifetime") == 1


@pytest.mark.parametrize("host", HOSTS[len(EMBEDDED) :], indirect=True)
async def test_an_engine_gives_out_the_token_that_opens_an_actor(client: RawClient) -> None:
    target = by_key("counter", "a")
    actor_id = await client.id_of(target)
    found = await client.manage("GET", f"/actors/{actor_id}/kv/keys/Aw==")
    assert found.status_code == 200, found.text
    token = base64.b64decode(found.json()["value"]).decode()
    assert (await scrape(client, target, f"Bearer {token}")).status_code == 200
    assert (await scrape(client, by_key("counter", "b"), f"Bearer {token}")).status_code == 401
