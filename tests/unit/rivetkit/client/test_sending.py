"""Messages to queues from handles and connections, over a scripted transport."""

from __future__ import annotations

import math

import pytest
from live_world import World, begin, failure_of, identity

from rivetkit import Contract, Queue, SyncClient
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ByKey
from rivetkit_core.testing.links import ScriptedAccess
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse


class Shop(Contract):
    __rivet_name__ = "shop"

    orders = Queue[str, int]()


@pytest.fixture
def world() -> World:
    return World()


async def test_a_message_goes_to_the_actor_with_its_parameters(world: World) -> None:
    shop = world.client.get_or_create(Shop, "a", params="Ada")
    await shop.send(Shop.orders, "tea")
    [sent] = world.access.sends
    assert (sent.target, sent.queue) == (ByKey("shop", ("a",), create=True), "orders")
    assert sent.request == QueueSendRequest(cbor.encode("tea"))
    assert sent.params == cbor.encode("Ada")


async def test_a_timeout_travels_in_milliseconds(world: World) -> None:
    world.access.next_send(QueueSendResponse("completed", cbor.encode(3)))
    shop = world.client.get_or_create(Shop, "a")
    assert await shop.send_and_wait(Shop.orders, "tea", timeout=1.5) == 3
    [sent] = world.access.sends
    assert sent.request == QueueSendRequest(cbor.encode("tea"), wait=True, timeout=1500)


async def test_no_reply_in_time_is_an_error(world: World) -> None:
    world.access.next_send(QueueSendResponse("timedOut"))
    with pytest.raises(RivetError) as failure:
        await world.client.get_or_create(Shop, "a").send_and_wait(Shop.orders, "tea", timeout=0.5)
    assert (failure.value.group, failure.value.code) == ("queue", "timed_out")


async def test_a_missing_reply_is_an_error_where_none_is_no_reply(world: World) -> None:
    world.access.next_send(QueueSendResponse("completed"))
    with pytest.raises(RivetError, match="`orders` was completed without a reply"):
        await world.client.get_or_create(Shop, "a").send_and_wait(Shop.orders, "tea")


async def test_a_send_with_no_room_at_the_door_is_repeated(world: World) -> None:
    full = error("actor.overloaded", channel="dispatch_inbox", capacity=1, operation="dispatch_queue_send")
    world.access.next_send(full, error("actor.starting"), QueueSendResponse("completed"))
    sending = await begin(world.client.get_or_create(Shop, "a").send(Shop.orders, "tea"))
    await world.clock.advance(2.0)
    assert sending.done()
    assert len(world.access.sends) == 3


async def test_a_full_queue_is_the_callers_to_handle(world: World) -> None:
    world.access.next_send(error("queue.full", limit=3))
    failure = await failure_of(world.client.get_or_create(Shop, "a").send(Shop.orders, "tea"))
    assert identity(failure) == "queue.full"
    assert len(world.access.sends) == 1


@pytest.mark.parametrize("timeout", [-1.0, math.inf, math.nan])
async def test_a_timeout_that_cannot_travel_is_refused(world: World, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout is a number of seconds"):
        await world.client.get_or_create(Shop, "a").send_and_wait(Shop.orders, "tea", timeout=timeout)
    assert world.access.sends == []


async def test_a_closed_client_sends_nothing(world: World) -> None:
    shop = world.client.get_or_create(Shop, "a")
    await world.client.aclose()
    assert identity(await failure_of(shop.send(Shop.orders, "tea"))) == "client.disposed"


def test_a_blocking_handle_sends() -> None:
    access = ScriptedAccess()
    access.next_send(QueueSendResponse("completed"), QueueSendResponse("completed", cbor.encode(3)))
    with SyncClient(transport=access) as client:
        shop = client.get_or_create(Shop, "a")
        shop.send(Shop.orders, "tea")
        assert shop.send_and_wait(Shop.orders, "tea", timeout=1.0) == 3
        shop.send_by_name("orders", "tea")
    assert [sent.request.wait for sent in access.sends] == [False, True, False]
