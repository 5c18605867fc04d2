"""Actors that sleep and are woken, on every host (actor-runtime 5, envoy-protocol 5.4 and 5.5)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tests.contract.actors import Probe
from tests.contract.client import RawClient, Target, by_key
from tests.contract.serving import Serving


async def life(client: RawClient, target: Target, generation: int) -> object:
    """Generation and number of sleeps, from that generation on: actors answer on their way to sleep too."""
    while cast("list[int]", answer := await client.call(target, "lives"))[0] < generation:
        pass
    return answer


async def test_an_idle_actor_sleeps_and_a_call_wakes_it_with_its_state(
    client: RawClient, probe: Probe
) -> None:
    target = by_key("sleepy", "a")
    assert await client.call(target, "increment") == 1
    actor_id = await client.id_of(target)
    await probe.asleep.wait()
    await life(client, target, 2)
    assert await client.call(target, "increment") == 2
    assert await client.id_of(target) == actor_id
    assert probe.woken[:2] == [1, 2]


async def test_an_actor_sleeps_when_it_says_so(client: RawClient, probe: Probe) -> None:
    target = by_key("wakeful", "a")
    await client.call(target, "increment")
    await client.call(target, "nap")
    await probe.asleep.wait()
    assert await life(client, target, 2) == [2, 1]


async def test_an_alarm_wakes_a_sleeping_actor_once(client: RawClient, probe: Probe) -> None:
    target = by_key("wakeful", "a")
    await client.call(target, "nap_until", 300)
    await probe.awake.wait()
    assert probe.woken == [1, 2]
    probe.asleep.clear()
    await client.call(target, "nap")
    await probe.asleep.wait()
    assert await life(client, target, 3) == [3, 2]


async def test_an_alarm_that_came_due_while_the_host_was_down_wakes_its_actor(
    host: Serving, probe: Probe
) -> None:
    await host.client.call(by_key("wakeful", "a"), "nap_until", 300)
    await probe.asleep.wait()
    await host.restart()
    await probe.awake.wait()


@pytest.mark.parametrize(
    "action", ["plan_and_nap", "plan_strictly_and_nap", "send_and_nap", "send_strictly_and_nap"]
)
async def test_what_was_planned_or_sent_for_later_wakes_a_sleeping_actor(
    client: RawClient, probe: Probe, action: str
) -> None:
    await client.call(by_key("riser", "a"), action, 0.5, "hello")
    await probe.asleep.wait()
    assert await probe.rang.get() == "hello in 2"
    assert probe.woken == [1, 2]


async def test_an_actor_that_slept_can_be_destroyed_and_its_key_is_free(
    client: RawClient, probe: Probe
) -> None:
    target = by_key("sleepy", "a")
    await client.call(target, "increment")
    actor_id = await client.id_of(target)
    await probe.asleep.wait()
    await client.call(target, "bye")
    await client.gone("sleepy")
    assert probe.destroyed == [actor_id]
    assert await client.call(target, "increment") == 1
    assert await client.id_of(target) != actor_id


async def test_a_call_in_flight_keeps_an_actor_awake(client: RawClient, probe: Probe) -> None:
    target = by_key("sleepy", "a")
    held = asyncio.create_task(client.call(target, "hold"))
    await probe.entered.wait()
    await asyncio.wait([held], timeout=0.4)
    assert probe.slept == []
    probe.gate.set()
    assert await held == "held"
    await probe.asleep.wait()
