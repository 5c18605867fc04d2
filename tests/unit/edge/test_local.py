"""The connection inside one process."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import OutgoingEvent
from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.connect import ChannelClosed
from rivetkit_core.edge.local import LocalChannel, LocalLink, LocalPipe
from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import LinkClosed
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Event, Init, SubscriptionRequest

INIT = Init("a", "c")


def pipe(
    *, backlog: int = 1024, incoming: int = 65_536, outgoing: int = 65_536
) -> tuple[LocalChannel, LocalLink]:
    config = ActorConfig(
        connection_backlog=backlog, max_incoming_message_size=incoming, max_outgoing_message_size=outgoing
    )
    shared = LocalPipe(config)
    origin = SocketOrigin(SocketId(bytes(4), bytes(4)), "/connect", {})
    return LocalChannel(shared, origin), LocalLink(shared)


def request(id: int, size: int = 0) -> ActionRequest:
    return ActionRequest(id, "go", cbor.encode(["x" * size]))


async def test_messages_arrive_in_order_both_ways() -> None:
    channel, link = pipe()
    link.send(SubscriptionRequest("news", True))
    link.send(request(1))
    channel.send(INIT)
    channel.send_event(OutgoingEvent(Event("news", cbor.EMPTY_ARRAY)))
    assert await channel.receive() == SubscriptionRequest("news", True)
    assert await channel.receive() == request(1)
    assert await link.receive() == INIT
    assert await link.receive() == Event("news", cbor.EMPTY_ARRAY)


async def test_a_waiting_end_is_woken() -> None:
    channel, link = pipe()
    receiving = asyncio.create_task(link.receive())
    await settle()
    channel.send(INIT)
    assert await receiving == INIT


async def test_what_was_sent_before_a_close_is_received() -> None:
    channel, link = pipe()
    channel.send(INIT)
    channel.close(1000, "bye")
    assert await link.receive() == INIT
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert (caught.value.code, caught.value.reason) == (1000, "bye")


async def test_the_first_reason_wins() -> None:
    channel, link = pipe()
    channel.close(1000, "first")
    channel.close(1011, "second")
    with pytest.raises(LinkClosed, match="first"):
        link.send(request(1))


async def test_closing_the_link_ends_the_channel() -> None:
    channel, link = pipe()
    receiving = asyncio.create_task(channel.receive())
    await settle()
    await link.close()
    with pytest.raises(ChannelClosed):
        await receiving
    channel.send(INIT)


async def test_arguments_over_the_limit_are_refused() -> None:
    channel, link = pipe(incoming=50)
    link.send(request(1, size=60))
    with pytest.raises(RivetError) as caught:
        await channel.receive()
    assert caught.value.code == "incoming_too_long"


async def test_output_over_the_limit_is_refused() -> None:
    channel, _ = pipe(outgoing=50)
    with pytest.raises(RivetError) as caught:
        channel.send(ActionResponse(1, cbor.encode("x" * 60)))
    assert caught.value.code == "outgoing_too_long"


async def test_a_client_that_does_not_read_is_closed() -> None:
    channel, link = pipe(backlog=2)
    for _ in range(3):
        channel.send(INIT)
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert (caught.value.code, caught.value.reason) == (1011, "actor.overloaded")


async def test_an_action_beyond_the_backlog_is_refused_and_the_connection_stays() -> None:
    channel, link = pipe(backlog=1)
    link.send(request(1))
    with pytest.raises(RivetError) as caught:
        link.send(request(2))
    assert caught.value.code == "overloaded"
    assert await channel.receive() == request(1)
    link.send(request(3))


async def test_a_subscription_beyond_the_backlog_closes() -> None:
    _, link = pipe(backlog=1)
    link.send(request(1))
    with pytest.raises(LinkClosed):
        link.send(SubscriptionRequest("news", True))
