"""Raw websockets: an actor's own code and a client, frame by frame (client-protocol 5.2)."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager

import pytest

from tests.contract.actors import Probe
from tests.contract.client import RawClient, RawSocket, by_key
from tests.contract.serving import Serving

SOCKETEER = by_key("socketeer", "a")
MEGABYTE = 1024 * 1024


def open_raw(
    client: RawClient, path: str, *tokens: str, params: object = None, query: str = ""
) -> AbstractAsyncContextManager[RawSocket]:
    url = client.url(SOCKETEER, f"/websocket{path}") + (f"&{query}" if query else "")
    return client.connect(url, *tokens, params=params)


async def test_text_and_bytes_arrive_as_what_they_are(client: RawClient) -> None:
    async with open_raw(client, "/echo") as raw:
        for message in ("hello", "ä€😀", b"\x00\xff", "", b""):
            await raw.socket.send(message)
            assert await raw.receive_frame() == message


async def test_messages_above_the_limit_of_connections_arrive(client: RawClient) -> None:
    async with open_raw(client, "/echo") as raw:
        for message in (b"x" * 900_000, "y" * 900_000):
            await raw.socket.send(message)
            assert await raw.receive_frame() == message


async def test_many_messages_keep_their_order(client: RawClient) -> None:
    async with open_raw(client, "/echo") as raw:
        for number in range(300):
            await raw.socket.send(str(number))
        assert [await raw.receive_frame() for _ in range(300)] == [str(number) for number in range(300)]


async def test_a_handler_sees_path_query_protocols_and_its_connection(client: RawClient) -> None:
    async with open_raw(client, "/about", "chat", "v2", params={"a": 1}, query="q=1") as raw:
        about = json.loads(await raw.receive_frame())
        assert about == ["/websocket/about", {"q": "1"}, ["chat", "v2"], {"a": 1}, 1]
        assert await raw.ended() == (1000, "")


async def test_a_handler_closes_with_its_own_code(client: RawClient) -> None:
    async with open_raw(client, "/reject") as raw:
        assert await raw.ended() == (4403, "not you")


@pytest.mark.parametrize(("path", "reason"), [("/crash", "rivetkit.internal_error"), ("/refuse", "user.no")])
async def test_a_handler_that_raises_closes_with_its_error(client: RawClient, path: str, reason: str) -> None:
    async with open_raw(client, path) as raw:
        code, told = await raw.ended()
        assert (code, told) == (1011, reason)


async def test_a_connection_that_is_refused_never_reaches_the_handler(client: RawClient) -> None:
    async with open_raw(client, "/echo", params="intruder") as raw:
        assert await raw.ended() == (1011, "user.intruder")


async def test_an_actor_without_a_handler_closes(client: RawClient) -> None:
    async with client.connect(client.url(by_key("silent", "a"), "/websocket/x")) as raw:
        assert await raw.ended() == (1000, "")


async def test_a_handler_learns_how_its_client_left(client: RawClient, probe: Probe) -> None:
    async with open_raw(client, "/echo") as raw:
        await raw.socket.send("hello")
        await raw.receive_frame()
        await raw.socket.close(4001, "bye")
    await probe.ended.wait()
    await probe.disconnected.wait()
    assert await client.call(SOCKETEER, "heard") == ["4001 bye"]
    assert await client.call(SOCKETEER, "sockets") == 0


async def test_an_open_socket_is_a_connection(client: RawClient) -> None:
    async with open_raw(client, "/echo") as raw:
        await raw.socket.send("hello")
        await raw.receive_frame()
        assert await client.call(SOCKETEER, "sockets") == 1
        await client.call(SOCKETEER, "kick", "enough")
        assert await raw.ended() == (1000, "enough")
    assert await client.call(SOCKETEER, "heard") == ["1000 enough"]


async def test_a_client_may_leave_a_handler_that_does_not_listen(client: RawClient, probe: Probe) -> None:
    async with open_raw(client, "/deaf") as raw:
        await probe.entered.wait()
        await raw.socket.close()
    await asyncio.wait_for(probe.ended.wait(), 15)
    await probe.disconnected.wait()


async def test_a_stopping_actor_closes_its_sockets_and_keeps_what_they_wrote(
    host: Serving, client: RawClient, probe: Probe
) -> None:
    async with open_raw(client, "/journal") as raw:
        await raw.socket.send("one")
        assert await raw.receive_frame() == "noted 1"
        await client.call(SOCKETEER, "nap")
        assert await raw.ended() == (1000, "actor.stopped")
    await probe.ended.wait()
    assert await client.call(SOCKETEER, "heard") == ["one", "left 1000"]


async def test_a_message_in_work_is_finished_before_its_actor_sleeps(client: RawClient, probe: Probe) -> None:
    async with open_raw(client, "/journal") as raw:
        await raw.socket.send("wait")
        await probe.entered.wait()
        await client.call(SOCKETEER, "nap")
        probe.gate.set()
        assert await raw.receive_frame() == "noted 1"
        assert await raw.ended() == (1000, "actor.stopped")
    assert await client.call(SOCKETEER, "heard") == ["wait", "left 1000"]


async def test_a_destroyed_actor_closes_its_sockets(client: RawClient) -> None:
    async with open_raw(client, "/echo") as raw:
        await raw.socket.send("hello")
        await raw.receive_frame()
        await client.call(SOCKETEER, "bye")
        code, _ = await raw.ended()
        assert code == 1000


async def test_an_application_serves_websockets(client: RawClient) -> None:
    shop = by_key("shop", "a")
    item = {"name": "tea", "price": 2.5}
    await client.http.put(client.url(shop, "/request/items/tea"), json=item)
    async with client.connect(client.url(shop, "/websocket/live")) as raw:
        await raw.socket.send("tea")
        assert json.loads(await raw.receive_frame()) == {"known": True}
        await raw.socket.send("milk")
        assert json.loads(await raw.receive_frame()) == {"known": False}
