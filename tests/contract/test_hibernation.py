"""Connections that outlive the sleep of their actor, on every host (actor-runtime 9.5)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rivetkit_core.clock import SystemClock, time_ms
from rivetkit_core.wire.messages import Encoding
from tests.contract.actors import Probe
from tests.contract.client import RawClient, RawSocket, by_key
from tests.contract.hosts import embedded_only, engine_only
from tests.contract.serving import Serving

_SETTLED_MS = 100


async def asleep(client: RawClient, name: str, probe: Probe) -> None:
    """Wait until an actor sleeps for a moment, without asking it, which would wake it.

    The engine needs that moment: it changes over to what it does for sleepers after it says that one sleeps.
    """
    await probe.asleep.wait()
    since = None
    while not isinstance(since, int) or time_ms(SystemClock()) < since + _SETTLED_MS:
        since = (await client.actors(name=name))[0].get("sleep_ts")
    probe.asleep.clear()


async def put_to_sleep(client: RawClient, probe: Probe, name: str = "den") -> None:
    await client.call(by_key(name, "a"), "nap")
    await asleep(client, name, probe)


async def visit(socket: RawSocket, id: int) -> list[object]:
    return cast("list[object]", await socket.call(id, "visit"))


async def test_an_idle_actor_sleeps_although_a_client_is_connected(client: RawClient, probe: Probe) -> None:
    async with client.connect(by_key("lounge", "a"), params="ada") as socket:
        init = await socket.init()
        await asleep(client, "lounge", probe)
        assert (await visit(socket, 0))[0] == init.connection_id


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_message_wakes_the_actor_and_its_connection_goes_on(
    client: RawClient, probe: Probe, encoding: Encoding
) -> None:
    async with client.connect(by_key("den", "a"), params="ada", encoding=encoding) as socket:
        init = await socket.init()
        assert await visit(socket, 0) == [init.connection_id, "ada", 1, 1]
        for life in (2, 3):
            await put_to_sleep(client, probe)
            assert await visit(socket, life) == [init.connection_id, "ada", life, life]
        assert await socket.call(9, "book") == [1, []]


async def test_a_sleeping_actor_that_is_woken_by_others_still_speaks_to_its_connections(
    client: RawClient, probe: Probe
) -> None:
    target = by_key("den", "a")
    async with client.connect(target, params="ada") as socket, client.connect(target, params="bo") as mute:
        await socket.init()
        await mute.init()
        await socket.subscribe("news")
        await socket.call(0, "present")
        await put_to_sleep(client, probe)
        await client.call(target, "say", "hello")
        assert await socket.event() == ("news", ["life 2"])
        assert await socket.event() == ("news", ["hello"])
        assert await client.call(target, "present") == ["ada", "bo"]
        assert await mute.call(0, "present") == ["ada", "bo"]
        await socket.subscribe("news", on=False)
        await socket.call(1, "present")
        await put_to_sleep(client, probe)
        await client.call(target, "say", "unheard")
        assert await socket.call(2, "present") == ["ada", "bo"]


async def test_what_is_said_while_the_actor_sleeps_is_answered_in_its_order(
    client: RawClient, probe: Probe
) -> None:
    async with client.connect(by_key("den", "a"), params="ada") as socket:
        init = await socket.init()
        await put_to_sleep(client, probe)
        await socket.subscribe("news")
        for id in range(5):
            await socket.request(id, "visit")
        await socket.request(5, "say", "done")
        answers = [await socket.answer(id) for id in range(5)]
        assert answers == [[init.connection_id, "ada", calls, 2] for calls in range(1, 6)]
        assert await socket.event() == ("news", ["done"])
        assert await socket.answer(5) is None


async def test_a_client_that_leaves_while_the_actor_sleeps_is_parted_with(
    client: RawClient, probe: Probe
) -> None:
    target = by_key("den", "a")
    async with client.connect(target, params="ada") as stays:
        await stays.init()
        async with client.connect(target, params="bo") as leaves:
            await leaves.init()
            await visit(leaves, 0)
            await put_to_sleep(client, probe)
        await probe.disconnected.wait()
        assert await stays.call(0, "book") == [2, ["bo after 1"]]
        assert await stays.call(1, "present") == ["ada"]


async def test_an_action_that_sleep_cut_short_is_run_again_and_those_behind_it_are_not(
    client: RawClient, probe: Probe
) -> None:
    async with client.connect(by_key("den", "a"), params="ada") as socket:
        await socket.init()
        await socket.request(0, "hold", "slow")
        await probe.entered.wait()
        assert (await visit(socket, 1))[2:] == [1, 1]
        await client.call(by_key("den", "a"), "nap")
        assert await socket.answer(0) == "slow"
        assert await socket.call(2, "log") == ["slow 1", "slow 2"]
        assert (await visit(socket, 3))[2:] == [2, 2]


@embedded_only("the engine leaves the websockets of a destroyed sleeper open, and tells no host of it")
async def test_destroying_a_sleeping_actor_closes_its_connections(client: RawClient, probe: Probe) -> None:
    target = by_key("den", "a")
    async with client.connect(target, params="ada") as socket:
        await socket.init()
        [row] = await client.actors(name="den")
        await put_to_sleep(client, probe)
        await client.manage("DELETE", f"/actors/{row['actor_id']}")
        code, _ = await socket.ended()
        assert code == 1000


async def test_destroying_an_awake_actor_parts_with_everybody(client: RawClient, probe: Probe) -> None:
    target = by_key("den", "a")
    async with client.connect(target, params="ada") as socket:
        await socket.init()
        await client.call(target, "bye")
        assert await socket.ended() == (1000, "")
        await probe.disconnected.wait()


@engine_only("the embedded gateway ends with its process, and so do its websockets")
async def test_a_connection_outlasts_the_process_of_its_actor(host: Serving) -> None:
    async with host.client.connect(by_key("den", "a"), params="ada") as socket:
        init = await socket.init()
        assert await visit(socket, 0) == [init.connection_id, "ada", 1, 1]
        await host.restart()
        assert (await visit(socket, 1))[:3] == [init.connection_id, "ada", 2]


async def test_an_actor_without_its_clients_host_learns_that_they_left(host: Serving, probe: Probe) -> None:
    async with host.client.connect(by_key("den", "a"), params="ada") as socket:
        await socket.init()
        await visit(socket, 0)
        await put_to_sleep(host.client, probe)
        begun = host.begin_stop()
        await asyncio.wait([begun])
    await host.start()
    assert await host.client.call(by_key("den", "a"), "book") == [1, ["ada after 1"]]
