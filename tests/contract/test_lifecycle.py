"""Actors that start, end and come back (client-protocol 9)."""

from __future__ import annotations

import asyncio
import base64
from typing import cast

import pytest

from rivetkit_core.wire import cbor
from tests.contract.actors import Probe
from tests.contract.client import (
    RawClient,
    by_id,
    by_key,
    error_of,
    gateway_error,
)
from tests.contract.hosts import Differences, embedded_only
from tests.contract.serving import Serving


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


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
    body = {"name": "counter", "key": "a", "runner_name_selector": "default", "crash_policy": "sleep"}
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(client.settled("PUT", "/actors", body)) for _ in range(8)]
    assert sorted(answer.result().json()["created"] for answer in answers) == [False] * 7 + [True]


async def test_a_failed_first_start_leaves_nothing_behind(client: RawClient, probe: Probe) -> None:
    probe.failing_starts = 1
    target = by_key("broken", "a")
    failed = await client.post(target, "ping")
    assert (failed.status_code, error_of(failed)) == (500, "user.broken")
    await client.gone("broken")
    assert await client.call(target, "ping") == "pong"
    assert probe.starts == 2


@embedded_only("the engine answers a creation before the actor starts")
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_creation_answers_with_the_failure_of_the_start(
    client: RawClient, probe: Probe, method: str
) -> None:
    probe.failing_starts = 1
    body = {"name": "broken", "key": "a", "runner_name_selector": "default"}
    failed = await client.manage(method, "/actors", body)
    assert (failed.status_code, error_of(failed)) == (500, "user.broken")
    assert await client.actors(name="broken") == []
    assert await client.call(by_key("broken", "a"), "ping") == "pong"


async def test_a_start_that_fails_while_nobody_asks_leaves_the_key_free(
    client: RawClient, probe: Probe
) -> None:
    probe.failing_starts = 1
    body = {"name": "broken", "key": "a", "runner_name_selector": "default", "crash_policy": "sleep"}
    made = await client.manage("PUT", "/actors", body)
    if made.status_code == 200:
        await client.manage("DELETE", f"/actors/{made.json()['actor']['actor_id']}")
    assert await client.call(by_key("broken", "a"), "ping") == "pong"
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


@embedded_only("a request that crosses the end of an actor may hang in the engine for half a minute")
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


async def test_a_call_by_id_during_destroy_finds_nobody(
    client: RawClient, probe: Probe, differences: Differences
) -> None:
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
    answer = late.result()
    assert (answer.status_code, error_of(answer)) == differences.call_during_destroy


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


@embedded_only("on an engine another process answers it: connections outlast the process of their actor")
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
