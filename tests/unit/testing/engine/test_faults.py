"""What can be made to go wrong with the scripted engine."""

from __future__ import annotations

import pytest

from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.testing.engine import ScriptedEngine
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    KvError,
    KvGet,
    KvGot,
    KvPut,
    KvRequest,
    KvResponse,
    Ping,
    RequestStart,
    Stopping,
)
from tests.contract.engine.puppet import Puppet
from tests.unit.testing.engine.conftest import connected


async def lost(envoy: Puppet) -> tuple[int, str]:
    """How the connection ended, once everything before that was received."""
    with pytest.raises(LinkLost) as ended:
        while True:
            await envoy.receive()
    return ended.value.code, ended.value.reason


async def test_a_dropped_connection_is_lost(engine: ScriptedEngine, envoy: Puppet) -> None:
    engine.faults.drop()
    assert await lost(envoy) == (1006, "")


async def test_what_was_delivered_before_a_drop_is_still_received(
    engine: ScriptedEngine, envoy: Puppet
) -> None:
    engine.create_actor("counter")
    engine.faults.drop()
    await envoy.command()
    assert await lost(envoy) == (1006, "")


async def test_what_is_sent_after_a_drop_is_lost_in_silence(engine: ScriptedEngine, envoy: Puppet) -> None:
    engine.faults.drop()
    envoy.link.send(Stopping())
    await settle()
    assert Stopping() not in engine.received


async def test_what_is_sent_before_a_close_arrives(engine: ScriptedEngine, envoy: Puppet) -> None:
    envoy.link.send(Stopping())
    await envoy.link.close(1000, "envoy.shutdown")
    assert engine.received[-1] == Stopping()


async def test_going_away_has_its_own_reason(engine: ScriptedEngine, envoy: Puppet) -> None:
    engine.faults.go_away()
    assert await lost(envoy) == (1011, "ws.going_away#ray")


async def test_an_eviction_has_its_own_reason(engine: ScriptedEngine, envoy: Puppet) -> None:
    engine.faults.evict()
    assert await lost(envoy) == (1000, "ws.eviction#ray")


async def test_handshakes_are_refused_as_often_as_asked(engine: ScriptedEngine) -> None:
    engine.faults.refuse_next(1011, "guard.missing_header#ray", times=2)
    for _ in range(2):
        assert await lost(Puppet(await engine.dialer().dial())) == (1011, "guard.missing_header#ray")
    await connected(engine)


@pytest.mark.parametrize(
    ("pool", "namespace", "reason"),
    [("other", "default", "ws.no_runner_config"), ("default", "other", "namespace.not_found")],
)
async def test_an_unknown_place_is_refused(
    engine: ScriptedEngine, pool: str, namespace: str, reason: str
) -> None:
    link = await engine.dialer(pool, namespace=namespace).dial()
    assert await lost(Puppet(link)) == (1011, f"{reason}#ray")


async def test_an_engine_that_is_down_cannot_be_dialled(engine: ScriptedEngine) -> None:
    engine.up = False
    with pytest.raises(LinkLost, match="refused"):
        await engine.dialer().dial()


async def test_a_failed_write_did_nothing(engine: ScriptedEngine, envoy: Puppet, place: Checkpoint) -> None:
    engine.faults.fail_next_kv("transaction failed")
    put = KvPut((b"a",), (b"1",))
    assert await envoy.kv(place.actor_id, put) == KvError("transaction failed")
    assert engine.actors[place.actor_id].kv.records == {}


async def test_a_held_answer_comes_when_it_is_released(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    engine.faults.hold_answers()
    envoy.link.send(KvRequest(place.actor_id, 7, KvPut((b"a",), (b"1",))))
    await settle()
    assert (engine.faults.held_answers, engine.actors[place.actor_id].kv.records) == (1, {b"a": b"1"})
    engine.faults.release_answers()
    assert (await envoy.next(KvResponse)).request_id == 7


async def test_a_held_answer_is_lost_with_its_connection(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    engine.faults.hold_answers()
    envoy.link.send(KvRequest(place.actor_id, 7, KvGet((b"a",))))
    await settle()
    again = await connected(engine)
    engine.faults.release_answers()
    assert isinstance(await again.kv(place.actor_id, KvGet((b"a",))), KvGot)


async def test_a_duplicated_command_is_the_same(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    engine.faults.duplicate_command(place.actor_id)
    assert (await envoy.command()).checkpoint == place


async def test_a_redelivered_request_has_the_same_id(
    engine: ScriptedEngine, envoy: Puppet, place: Checkpoint
) -> None:
    response = engine.request(place.actor_id, "GET", "/")
    first, _ = await envoy.tunnel(RequestStart)
    engine.faults.redeliver(response)
    assert (await envoy.tunnel(RequestStart))[0] == first


async def test_an_envoy_without_pongs_is_closed(
    engine: ScriptedEngine, envoy: Puppet, clock: FakeClock
) -> None:
    await clock.advance(15)
    assert await lost(envoy) == (1011, "ws.timed_out#ray")


async def test_an_envoy_with_pongs_stays(engine: ScriptedEngine, envoy: Puppet, clock: FakeClock) -> None:
    for _ in range(10):
        await clock.advance(3)
        await envoy.quiet()
    assert engine.connections.connected == 1
    assert sum(isinstance(message, Ping) for message in envoy.seen) == 10


async def test_an_engine_that_stopped_pinging_expects_no_pongs(
    engine: ScriptedEngine, envoy: Puppet, clock: FakeClock
) -> None:
    engine.faults.pings = False
    await clock.advance(minutes=5)
    assert await envoy.quiet() == []
