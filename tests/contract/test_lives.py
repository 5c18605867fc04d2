"""What wakes an actor, what works on its way to sleep, what a destroy leaves (actor-runtime 3 and 5)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tests.contract.actors import Probe
from tests.contract.client import RawClient, between_lives, by_id, by_key, error_of
from tests.contract.hosts import Differences, also_in_tables
from tests.contract.life_actors import bells
from tests.contract.serving import Serving
from tests.contract.test_queues import post

pytestmark = also_in_tables


KEEPER = by_key("keeper", "a")
NOTHING: list[object] = [[], None, [], 0, [], 0]


@pytest.fixture(autouse=True)
def rang() -> asyncio.Event:
    bells.rang = asyncio.Event()
    return bells.rang


async def asleep(client: RawClient, note: str = "") -> None:
    """Put the actor to sleep, and wait until its host says that it sleeps."""
    await client.call(KEEPER, "nap", note)
    while True:
        (seen,) = await client.actors(name="keeper")
        if seen["sleep_ts"] is not None:
            return


async def generation(client: RawClient) -> int:
    return cast("int", await client.call(KEEPER, "generation"))


# --- wake ---------------------------------------------------------------------------------------------


async def test_a_call_wakes(client: RawClient) -> None:
    assert await generation(client) == 1
    await asleep(client)
    assert await generation(client) == 2


async def test_a_message_wakes(client: RawClient) -> None:
    await generation(client)
    await asleep(client)
    answer = await post(client, "jobs", "wake up", target=KEEPER)
    assert answer.status_code == 200, answer.text
    assert await generation(client) == 2
    assert cast("list[object]", await client.call(KEEPER, "kept"))[3] == 1


async def test_a_connection_wakes(client: RawClient) -> None:
    await generation(client)
    await asleep(client)
    async with client.connect(KEEPER) as socket:
        await socket.init()
        assert await socket.call(1, "generation") == 2


async def test_a_plan_wakes(client: RawClient, rang: asyncio.Event) -> None:
    await client.call(KEEPER, "plan", 0.3)
    await asleep(client)
    await rang.wait()
    assert await generation(client) == 2


# --- on the way to sleep ------------------------------------------------------------------------------


async def test_what_on_sleep_does_is_there_in_the_next_life(client: RawClient, rang: asyncio.Event) -> None:
    await client.call(KEEPER, "nap", "late")
    await rang.wait()
    kept = cast("list[object]", await client.call(KEEPER, "kept"))
    assert kept[:4] == [["slept"], "slept", ["slept"], 1]
    assert await generation(client) == 2


async def test_an_actor_may_end_for_good_while_it_goes_to_sleep(client: RawClient) -> None:
    first = await client.id_of(KEEPER)
    await client.call(KEEPER, "nap", "doomed")
    await client.gone("keeper")
    assert await client.call(KEEPER, "kept") == NOTHING
    assert await client.id_of(KEEPER) != first


async def test_destroying_overrules_a_sleep_that_was_asked_for_first(client: RawClient) -> None:
    first = await client.id_of(KEEPER)
    await client.call(KEEPER, "nap_and_bye")
    await client.gone("keeper")
    assert await client.call(KEEPER, "kept") == NOTHING
    assert await client.id_of(KEEPER) != first


# --- destroy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sleeps", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("asked_by", ["itself", "manager"])
async def test_a_destroy_leaves_nothing_and_the_key_is_free(
    client: RawClient, rang: asyncio.Event, asked_by: str, sleeps: bool
) -> None:
    first = await client.id_of(KEEPER)
    await client.call(KEEPER, "keep", "old")
    await client.call(KEEPER, "plan", 3600.0)
    if sleeps:
        await asleep(client)
    if asked_by == "manager":
        await client.manage("DELETE", f"/actors/{first}")
    else:
        await client.call(by_id(first), "bye")
    await client.gone("keeper")
    gone = await client.post(by_id(first), "kept")
    assert (gone.status_code, error_of(gone)) == (404, "actor.not_found")
    assert await client.call(KEEPER, "kept") == NOTHING
    assert await client.id_of(KEEPER) != first
    assert await generation(client) == 1


async def test_the_plans_of_a_destroyed_actor_wake_nobody(client: RawClient, rang: asyncio.Event) -> None:
    await client.call(KEEPER, "plan", 0.3)
    await client.call(KEEPER, "bye")
    await client.gone("keeper")
    ringing = asyncio.create_task(rang.wait())
    await asyncio.wait([ringing], timeout=0.8)
    assert not ringing.done()
    ringing.cancel()
    assert await client.actors(name="keeper") == []


async def test_a_destroy_closes_connections_and_a_new_one_meets_a_new_actor(client: RawClient) -> None:
    async with client.connect(KEEPER) as socket:
        first = (await socket.init()).actor_id
        await client.manage("DELETE", f"/actors/{first}")
        assert await socket.ended() == (1000, "")
    await client.gone("keeper")
    async with client.connect(KEEPER) as socket:
        assert (await socket.init()).actor_id != first


async def test_what_a_destroyed_actor_kept_is_gone_after_a_restart(host: Serving) -> None:
    await host.client.call(KEEPER, "keep", "old")
    await host.client.call(KEEPER, "bye")
    await host.client.gone("keeper")
    await host.restart()
    assert await host.client.call(KEEPER, "kept") == NOTHING


# --- requests around the end --------------------------------------------------------------------------


async def test_calls_without_end_are_all_answered_over_many_lives(
    client: RawClient, probe: Probe, differences: Differences
) -> None:
    """Whatever phase a call meets the actor in, it is answered: by this life or by the next."""
    target = by_key("wakeful", "a")
    answers = unclear = 0

    async def call(name: str) -> bool:
        answer = await client.post(target, name)
        while answer.status_code != 200:
            if error_of(answer) == differences.unclear:
                return False
            assert between_lives(answer, missing=differences.unclear is not None), answer.text
            answer = await client.post(target, name)
        return True

    async def call_on() -> None:
        nonlocal answers, unclear
        while len(probe.slept) < 5:
            if await call("increment"):
                answers += 1
            else:
                unclear += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(call_on())
        while len(probe.slept) < 5:
            await call("nap")
    total = cast("int", await client.call(target, "increment")) - 1
    assert answers <= total <= answers + unclear
