"""What scrapers read, on every host (actor-runtime 13.1 and 13.2)."""

from __future__ import annotations

import re

import httpx

from tests.contract.client import RawClient, Target, by_key
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
