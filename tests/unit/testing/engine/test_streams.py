"""How the scripted engine holds a host to the rules of the streaming gateway."""

from __future__ import annotations

import pytest

from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine import ProtocolViolation, ResponseCut, ScriptedEngine
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    Checkpoint,
    HostWebSocketClose,
    RequestAbort,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    ToRivetTunnelKind,
)
from tests.contract.engine.puppet import Puppet
from tests.unit.testing.engine.conftest import connected

MEBIBYTE = 1024 * 1024
HEAD = ResponseStart(200, stream=True)


@pytest.mark.parametrize(
    ("kinds", "rule"),
    [
        pytest.param([ResponseChunk(b"", True)], "before the ResponseStart", id="chunk-first"),
        pytest.param([HEAD, HEAD], "a second ResponseStart", id="two-heads"),
        pytest.param([RequestBodyWindowUpdate(1)], "credit for 1 bytes", id="credit-for-nothing"),
        pytest.param([HostWebSocketClose()], "HostWebSocketClose", id="websocket-message"),
        pytest.param(
            [HEAD, ResponseChunk(bytes(MEBIBYTE), False), ResponseChunk(b"x", False)],
            "without credit",
            id="overrun",
        ),
    ],
)
async def test_a_broken_rule_fails_the_response(
    clock: FakeClock, kinds: list[ToRivetTunnelKind], rule: str
) -> None:
    engine = ScriptedEngine(clock)
    envoy = await connected(engine)
    actor_id = engine.create_actor("counter")
    await envoy.start()
    response = engine.request(actor_id, "GET", "/", streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    for kind in kinds:
        envoy.reply(message_id, kind)
    _, abort = await envoy.tunnel(RequestAbort)
    assert abort.reason.kind is AbortKind.INTERNAL_ERROR
    with pytest.raises(ProtocolViolation, match=rule):
        await (await response).read()
    with pytest.raises(ProtocolViolation, match=rule):
        engine.close()


@pytest.mark.parametrize("index", [0, 2])
async def test_an_index_out_of_order_fails_the_response(clock: FakeClock, index: int) -> None:
    engine = ScriptedEngine(clock)
    envoy = await connected(engine)
    response = engine.request(engine.create_actor("counter"), "GET", "/", streaming=True)
    await envoy.start()
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, HEAD, index=0)
    envoy.reply(message_id, ResponseChunk(b"", True), index=index)
    with pytest.raises(ProtocolViolation, match=f"index {index} came instead of 1"):
        await (await response).read()
    with pytest.raises(ProtocolViolation):
        engine.close()


async def test_the_default_gateway_takes_any_index(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/")
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, ResponseStart(200), index=99)
    assert (await response).status == 200


async def test_only_what_the_client_reads_gives_credit(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/", streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, HEAD)
    envoy.reply(message_id, ResponseChunk(b"abc", False))
    await response
    await envoy.kv_barrier(place.actor_id)
    assert await envoy.quiet() == []
    assert await response.chunk() == b"abc"
    assert (await envoy.tunnel(ResponseBodyWindowUpdate))[1] == ResponseBodyWindowUpdate(3)


async def test_a_client_that_leaves_cancels_the_request(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/", streaming=True)
    await envoy.tunnel(RequestStart)
    response.leave()
    _, abort = await envoy.tunnel(RequestAbort)
    assert (abort.actor_generation, abort.reason.kind) == (1, AbortKind.CANCELLED)
    with pytest.raises(ResponseCut):
        await response


async def test_the_default_gateway_does_not_say_that_the_client_left(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/")
    await envoy.tunnel(RequestStart)
    response.leave()
    await envoy.kv_barrier(place.actor_id)
    assert await envoy.quiet() == []


async def test_an_abort_after_the_head_cuts_the_response(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/", streaming=True)
    message_id, _ = await envoy.tunnel(RequestStart)
    envoy.reply(message_id, HEAD)
    envoy.reply(message_id, ResponseAbort())
    with pytest.raises(ResponseCut):
        await (await response).read()


async def test_a_body_can_be_sent_piece_by_piece(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "POST", "/", streaming=True, uploading=True)
    await envoy.tunnel(RequestStart)
    response.upload(b"a")
    assert (await envoy.tunnel(RequestChunk))[1] == RequestChunk(b"a", False)
    response.upload(b"b", last=True)
    assert (await envoy.tunnel(RequestChunk))[1] == RequestChunk(b"b", True)


async def test_an_old_envoy_gets_the_default_gateway(engine: ScriptedEngine) -> None:
    envoy = await connected(engine, protocol=6)
    actor_id = engine.create_actor("counter")
    await envoy.start()
    engine.request(actor_id, "POST", "/", body=b"x", streaming=True)
    _, start = await envoy.tunnel(RequestStart)
    assert (start.body, start.actor_generation) == (b"x", None)


async def test_a_request_without_an_answer_times_out(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.pings = False
    response = engine.request(place.actor_id, "GET", "/", streaming=True)
    await envoy.tunnel(RequestStart)
    await clock.advance(300)
    assert (await response).headers["x-rivet-error"] == "guard.gateway_response_start_timeout"
    await envoy.tunnel(RequestAbort)


async def test_aborting_again_and_again_gives_up_the_default_gateway(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint, clock: FakeClock
) -> None:
    engine.faults.pings = False
    response = engine.request(place.actor_id, "GET", "/")
    for _ in range(7):
        message_id, _ = await envoy.tunnel(RequestStart)
        envoy.reply(message_id, ResponseAbort())
        await clock.advance(10)
    answer = await response
    assert (answer.status, answer.headers["x-rivet-error"]) == (502, "guard.retry_attempts_exceeded")
