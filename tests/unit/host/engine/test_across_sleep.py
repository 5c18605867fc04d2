"""Websockets that a scripted engine keeps while their actor sleeps (envoy-protocol 6.5)."""

from __future__ import annotations

from rivetkit_core.errors import UserError
from rivetkit_core.testing import settle
from rivetkit_core.testing.engine import ActorState
from rivetkit_core.testing.engine.client_sockets import ScriptedClientSocket
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Encoding, Event, Init, ToClient
from rivetkit_core.wire.persisted import CONN_PREFIX
from tests.unit.actor.scripted import Script, Scripted
from tests.unit.host.engine.world import World, running

_OFFER = {"sec-websocket-protocol": "rivet, rivet_encoding.bare"}
_CODEC = Codec(Encoding.BARE)


async def echo(_: Scripted, args: list[object]) -> object:
    return args[0]


async def shout(instance: Scripted, args: list[object]) -> object:
    for conn in instance.context.connections.values():
        conn.send("news", cbor.encode(args))
    return None


TALKING = Script(actions={"echo": echo, "shout": shout})


async def opened(world: World, actor_id: str) -> ScriptedClientSocket:
    socket = world.engine.websocket(actor_id, "/connect", _OFFER)
    await socket.opened()
    assert isinstance(await said(socket), Init)
    return socket


async def said(socket: ScriptedClientSocket) -> ToClient:
    frame = await socket.receive()
    assert frame is not None
    return _CODEC.decode_to_client(frame.data)


def ask(socket: ScriptedClientSocket, id: int, text: str) -> None:
    socket.send(_CODEC.encode_to_server(ActionRequest(id, "echo", cbor.encode([text]))))


async def asleep(world: World, actor_id: str) -> None:
    world.engine.sleep_actor(actor_id)
    await world.engine.reached(actor_id, ActorState.ASLEEP)


def records(world: World, actor_id: str) -> int:
    return sum(key.startswith(CONN_PREFIX) for key in world.engine.actors[actor_id].kv.records)


async def test_a_message_wakes_the_actor_and_is_answered() -> None:
    async with running(TALKING) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        await asleep(world, actor_id)
        assert records(world, actor_id) == 1
        ask(socket, 0, "hello")
        assert await said(socket) == ActionResponse(0, cbor.encode("hello"))
        assert world.log.count("on_connect") == 1
        await world.clock.advance(2)
        assert socket.unacked == []


async def test_what_was_acknowledged_before_sleep_is_not_delivered_again() -> None:
    async with running(TALKING) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        ask(socket, 0, "hello")
        await said(socket)
        await asleep(world, actor_id)
        assert socket.unacked == []


async def test_an_actor_that_others_wake_reaches_its_clients() -> None:
    async with running(TALKING) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        await asleep(world, actor_id)
        await world.call(actor_id, "shout", "hey")
        assert await said(socket) == Event("news", cbor.encode(["hey"]))


async def test_a_client_that_leaves_a_sleeping_actor_is_parted_with_once() -> None:
    async with running(TALKING) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        await asleep(world, actor_id)
        await world.clock.advance(20)  # long enough that its websocket is not remembered for a while
        socket.close()
        await world.engine.reached(actor_id, ActorState.RUNNING)
        await settle()
        assert world.log.count("on_connect") == world.log.count("on_disconnect") == 1
        await world.clock.advance(2)
        assert records(world, actor_id) == 0


async def test_a_websocket_that_is_not_listed_yet_goes_on_and_is_spoken_to_a_little_later() -> None:
    async with running(TALKING) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        await asleep(world, actor_id)
        listed = world.engine.actors[actor_id].hibernating
        (id,) = listed
        listed.clear()
        await world.call(actor_id, "shout", "hey")
        assert world.log.count("on_disconnect") == 1  # that of the call
        listed.append(id)
        await world.clock.advance(0.3)
        assert await said(socket) == Event("news", cbor.encode(["hey"]))


async def test_clients_of_an_actor_that_cannot_start_are_told_why() -> None:
    broken = False

    async def wake(_: Scripted) -> None:
        if broken:
            raise UserError("not today", code="closed")

    async with running(Script(actions={"echo": echo}, hooks={"on_wake": wake})) as world:
        actor_id = await world.create()
        socket = await opened(world, actor_id)
        await asleep(world, actor_id)
        broken = True
        ask(socket, 0, "hello")
        assert await socket.receive() is None
        assert socket.closed == (1011, "user.closed")
        await world.clock.advance(10)
