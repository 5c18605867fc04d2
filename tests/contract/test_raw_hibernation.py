"""Raw websockets that stay open while their actor sleeps, if it opts in (actor-runtime 9.5, 10.3)."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager

from tests.contract.actors import Probe
from tests.contract.client import RawClient, RawSocket, by_key
from tests.contract.test_hibernation import put_to_sleep

PARLOUR = by_key("parlour", "a")


def entered(client: RawClient, stay: str = "yes") -> AbstractAsyncContextManager[RawSocket]:
    return client.connect(client.url(PARLOUR, "/websocket/x") + f"&stay={stay}", params="Ada")


async def said(raw: RawSocket, text: str) -> list[object]:
    await raw.socket.send(text)
    told: list[object] = json.loads(await raw.receive_frame())
    return told


async def test_a_websocket_outlives_sleep_with_its_connection(client: RawClient, probe: Probe) -> None:
    async with entered(client) as raw:
        assert await raw.receive_frame() == "welcome"
        first = await said(raw, "one")
        await put_to_sleep(client, probe, "parlour")
        second = await said(raw, "two")
        assert first[0] == "one"
        assert second == ["two", first[1], "Ada", 2, 2, "yes"]
        assert await said(raw, "three") == ["three", first[1], "Ada", 3, 2, "yes"]
        assert await client.call(PARLOUR, "log") == ["came", "handler of 1 ended"]


async def test_a_message_to_a_sleeping_actor_wakes_it(client: RawClient, probe: Probe) -> None:
    async with entered(client) as raw:
        await raw.receive_frame()
        for life in range(2, 5):
            await put_to_sleep(client, probe, "parlour")
            assert (await said(raw, "hello"))[4] == life


async def test_a_message_in_work_is_finished_and_the_next_ones_come_later(
    client: RawClient, probe: Probe
) -> None:
    async with entered(client) as raw:
        await raw.receive_frame()
        await raw.socket.send("wait")
        await probe.entered.wait()
        await client.call(PARLOUR, "nap")
        await raw.socket.send("later")
        probe.gate.set()
        first, second = [json.loads(await raw.receive_frame()) for _ in range(2)]
        assert (first[0], first[3:5], second[0], second[3:5]) == ("wait", [1, 1], "later", [2, 2])


async def test_a_client_that_leaves_a_sleeping_actor_is_missed(client: RawClient, probe: Probe) -> None:
    async with entered(client) as raw:
        await raw.receive_frame()
        await said(raw, "one")
        await put_to_sleep(client, probe, "parlour")
    while "left after 1" not in str(await client.call(PARLOUR, "log")):  # whichever life it is that is told
        pass


async def test_a_websocket_that_does_not_ask_to_stay_is_closed(client: RawClient) -> None:
    async with entered(client, stay="no") as raw:
        await raw.receive_frame()
        await client.call(PARLOUR, "nap")
        assert await raw.ended() == (1000, "actor.stopped")
