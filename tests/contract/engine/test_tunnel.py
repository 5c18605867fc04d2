"""Requests and websockets of clients (envoy-protocol 6)."""

from __future__ import annotations

import pytest

from rivetkit_core.testing import SentFrame
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    HostWebSocketOpen,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    StartActor,
    StopCode,
    Stopped,
    WebSocketMessage,
    WebSocketMessageAck,
)
from tests.contract.engine.puppet import Puppet
from tests.contract.engine.side import ClientSocket, Side

MEBIBYTE = 1024 * 1024


async def accepted(side: Side, envoy: Puppet, place: Checkpoint, *, hibernates: bool = False) -> ClientSocket:
    socket = await side.websocket(place.actor_id)
    message_id, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(message_id, HostWebSocketOpen(hibernates))
    return socket


async def test_a_request_arrives_whole(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    side.request(place.actor_id, "/a?b=1", body=b"hello")
    message_id, start = await envoy.tunnel(RequestStart)
    assert (start.method, start.path, start.body, start.stream) == ("POST", "/a?b=1", b"hello", False)
    assert (message_id.message_index, start.actor_generation, start.response_stream) == (0, None, False)


async def test_an_empty_body_is_none(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    side.request(place.actor_id)
    _, start = await envoy.tunnel(RequestStart)
    assert start.body is None


async def test_a_response_reaches_the_client(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    asked = side.request(place.actor_id)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.respond(message_id, b"body", 418, {"x-a": "b"})
    answer = await asked
    assert (answer.status, answer.headers["x-a"], answer.body) == (418, "b", b"body")


async def test_a_request_waits_until_the_actor_runs(side: Side, envoy: Puppet) -> None:
    actor_id = await side.create()
    side.request(actor_id)
    await envoy.start()
    await envoy.tunnel(RequestStart)


async def test_an_aborted_request_comes_again(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    side.request(place.actor_id)
    first, _ = await envoy.tunnel(RequestStart)
    envoy.reply(first, ResponseAbort())
    assert (await envoy.tunnel(RequestStart))[0] == first


async def test_a_request_follows_the_actor_to_its_next_generation(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    side.request(place.actor_id)
    first, _ = await envoy.tunnel(RequestStart)
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    assert (await envoy.start()).generation == 2
    assert (await envoy.tunnel(RequestStart))[0] == first


async def test_the_default_gateway_drops_chunks(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    asked = side.request(place.actor_id)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, ResponseStart(200, stream=True))
    envoy.reply(message_id, ResponseChunk(b"lost", True))
    assert (await asked).body == b""


async def test_a_start_that_keeps_failing_is_given_up(side: Side, envoy: Puppet) -> None:
    asked = side.request(await side.create())
    starts = 0
    while not asked.done():
        entry = await envoy.command()
        assert isinstance(entry.command, StartActor)
        starts += 1
        envoy.event(entry.checkpoint, Stopped(StopCode.ERROR, "no"))
        await envoy.kv_barrier(entry.checkpoint.actor_id)
    answer = await asked
    assert (answer.status, answer.headers["x-rivet-error"]) == (503, "guard.actor_wake_retries_exceeded")
    assert starts == 9


async def test_a_streamed_request_names_its_generation(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    side.request(place.actor_id, streaming=True)
    _, start = await envoy.tunnel(RequestStart)
    assert (start.actor_generation, start.stream, start.response_stream) == (1, False, True)


async def test_even_a_small_body_comes_in_chunks(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    side.request(place.actor_id, body=b"x", streaming=True)
    _, start = await envoy.tunnel(RequestStart)
    assert (start.stream, start.body) == (True, None)
    received = b""
    last = False
    while not last:
        _, chunk = await envoy.tunnel(RequestChunk)
        received, last = received + chunk.body, chunk.finish
    assert received == b"x"


async def test_a_body_stops_without_credit_and_goes_on_with_it(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    side.request(place.actor_id, body=b"x" * (2 * MEBIBYTE), streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    received = 0
    while received < MEBIBYTE:
        received += len((await envoy.tunnel(RequestChunk))[1].body)
    await envoy.kv_barrier(place.actor_id)
    assert (received, await envoy.quiet()) == (MEBIBYTE, [])
    envoy.reply(message_id, RequestBodyWindowUpdate(received))
    last = False
    while not last:
        _, chunk = await envoy.tunnel(RequestChunk)
        received, last = received + len(chunk.body), chunk.finish
    assert received == 2 * MEBIBYTE


async def test_a_cancelled_body_is_confirmed(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    asked = side.request(place.actor_id, body=b"x" * (2 * MEBIBYTE), streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, RequestBodyCancel())
    while (await envoy.tunnel(object))[1] != RequestBodyCancel():
        pass
    envoy.respond(message_id, b"enough")
    assert (await asked).body == b"enough"


async def test_a_streamed_response_is_put_together(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    asked = side.request(place.actor_id, streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, ResponseStart(200, body=b"a", stream=True))
    envoy.reply(message_id, ResponseChunk(b"b", False))
    envoy.reply(message_id, ResponseChunk(b"c", True))
    assert (await asked).body == b"abc"


async def test_credit_for_a_response_is_what_the_client_took(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    side.request(place.actor_id, streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, ResponseStart(200, stream=True))
    envoy.reply(message_id, ResponseChunk(b"abc", False))
    assert (await envoy.tunnel(ResponseBodyWindowUpdate))[1].consumed_bytes == 3


async def test_aborting_a_streamed_request_is_final(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    asked = side.request(place.actor_id, streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, ResponseAbort())
    answer = await asked
    assert (answer.status, answer.headers["x-rivet-error"]) == (503, "guard.tunnel_request_aborted")


async def test_a_streamed_request_ends_with_its_generation(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    asked = side.request(place.actor_id, streaming=True)
    await envoy.tunnel(RequestStart)
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    answer = await asked
    assert (answer.status, answer.headers["x-rivet-error"]) == (503, "guard.actor_stopped_while_waiting")


async def test_frames_flow_once_the_host_accepted(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await side.websocket(place.actor_id, "/ws")
    socket.send("é")
    socket.send(b"\0")
    message_id, opened = await envoy.tunnel(EngineWebSocketOpen)
    assert (opened.path, opened.actor_generation) == ("/ws", None)
    envoy.reply(message_id, HostWebSocketOpen(False))
    received = [await envoy.tunnel(WebSocketMessage) for _ in range(2)]
    assert [message for _, message in received] == [
        WebSocketMessage("é".encode(), False),
        WebSocketMessage(b"\0", True),
    ]
    assert [to.message_index for to, _ in received] == [1, 2]


async def test_frames_of_the_actor_reach_the_client(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await side.websocket(place.actor_id)
    message_id, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(message_id, HostWebSocketOpen(False))
    envoy.reply(message_id, WebSocketMessage(b"hi", False))
    assert await socket.receive() == SentFrame(b"hi", True)


async def test_the_client_is_closed_as_the_actor_said(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await side.websocket(place.actor_id)
    message_id, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(message_id, HostWebSocketOpen(False))
    envoy.reply(message_id, HostWebSocketClose(4001, "enough"))
    assert await socket.receive() is None
    assert socket.closed == (4001, "enough")
    assert (await envoy.tunnel(EngineWebSocketClose))[1].code == 1000


async def test_the_actor_hears_how_the_client_closed(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await accepted(side, envoy, place)
    socket.send("last")
    await envoy.tunnel(WebSocketMessage)
    socket.close(4002, "bye")
    assert (await envoy.tunnel(EngineWebSocketClose))[1] == EngineWebSocketClose(4002, "bye")


async def test_a_close_before_the_open_is_tried_again(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    await side.websocket(place.actor_id)
    first, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(first, HostWebSocketClose(4001, "no"))
    assert (await envoy.tunnel(EngineWebSocketOpen))[0] == first


async def test_a_plain_socket_ends_with_its_actor(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await accepted(side, envoy, place)
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    assert await socket.receive() is None
    assert socket.closed == (1000, "actor.stopped")


async def test_a_message_wakes_a_hibernating_socket(side: Side, envoy: Puppet, place: Checkpoint) -> None:
    socket = await side.websocket(place.actor_id)
    opened, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(opened, HostWebSocketOpen(True))
    socket.send("one")
    await envoy.tunnel(WebSocketMessage)
    envoy.reply(opened, WebSocketMessageAck(1))
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    socket.send("two")
    entry = await envoy.command()
    assert isinstance(entry.command, StartActor)
    [kept] = entry.command.hibernating_requests
    assert (kept.gateway_id, kept.request_id) == (opened.gateway_id, opened.request_id)
    envoy.run(entry)
    to, message = await envoy.tunnel(WebSocketMessage)
    assert (to.message_index, message.data) == (2, b"two")


async def test_unacknowledged_messages_come_again_after_a_wake(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    socket = await accepted(side, envoy, place, hibernates=True)
    socket.send("one")
    await envoy.tunnel(WebSocketMessage)
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    await envoy.start()
    to, message = await envoy.tunnel(WebSocketMessage)
    assert (to.message_index, message.data) == (1, b"one")


async def test_a_client_that_closes_while_the_actor_sleeps_is_opened_and_closed(
    side: Side, envoy: Puppet, place: Checkpoint
) -> None:
    socket = await accepted(side, envoy, place, hibernates=True)
    socket.send("one")
    message_id, _ = await envoy.tunnel(WebSocketMessage)
    envoy.reply(message_id, WebSocketMessageAck(1))
    await side.sleep(place.actor_id)
    await envoy.stop(place)
    socket.close(4003, "gone")
    entry = await envoy.command()
    assert isinstance(entry.command, StartActor)
    assert entry.command.hibernating_requests == ()
    envoy.run(entry)
    again, _ = await envoy.tunnel(EngineWebSocketOpen)
    assert again.message_index == 0
    envoy.reply(again, HostWebSocketOpen(True))
    to, close = await envoy.tunnel(EngineWebSocketClose)
    assert (to.message_index, close) == (1, EngineWebSocketClose(4003, "gone"))


@pytest.mark.parametrize("size", [20_971_521])
async def test_a_frame_beyond_the_limit_closes_the_client(
    side: Side, envoy: Puppet, place: Checkpoint, size: int
) -> None:
    socket = await side.websocket(place.actor_id)
    message_id, _ = await envoy.tunnel(EngineWebSocketOpen)
    envoy.reply(message_id, HostWebSocketOpen(False))
    envoy.reply(message_id, WebSocketMessage(bytes(size), True))
    assert await socket.receive() is None
    assert socket.closed is not None
    assert socket.closed[0] == 1009
