"""Clients that the embedded host keeps while their actor sleeps."""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.factory import ActionSpec, ActorFactory
from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.actor.sleep import SleepBlocker
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import error
from rivetkit_core.host.embedded.gateway.kept_socket import KeptSocket
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey, Link, LinkClosed
from rivetkit_core.testing import FakeClock, MemoryStore, ScriptedSocket, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Init
from tests.unit.actor.scripted import RecordingSink, Script, Scripted

A = ByKey("scripted", ("a",), create=True)


class Place:
    """A host with one actor, and a client of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.broken = False
        self.sleepy = False
        self.gate = asyncio.Event()
        self.gate.set()
        script = Script(actions={"echo": self._echo}, hooks={"on_wake": self._wake, "run": self._run})
        factory = ActorFactory(
            "scripted", lambda context: Scripted(script, context, self.log), {"echo": ActionSpec()}
        )
        self.host = EmbeddedHost([factory], store=MemoryStore(), clock=FakeClock(), entropy=SeededEntropy(1))

    async def connected(self) -> Link:
        if not self.host.is_open:
            await self.host.open()
        link = await self.host.access.connect(A, params=None)
        assert isinstance(await link.receive(), Init)
        return link

    async def asleep(self) -> str:
        actor = await self.host.reach(A)
        await self.host.registry.stop(actor.identity.actor_id, StopKind.SLEEP)
        await settle()
        assert self.host.registry.running_count == 0
        return actor.identity.actor_id

    async def _echo(self, _: Scripted, args: list[object]) -> object:
        return args[0]

    async def _run(self, instance: Scripted) -> None:
        if self.sleepy:
            instance.context.sleep()

    async def _wake(self, _: Scripted) -> None:
        await self.gate.wait()
        if self.broken:
            raise error("actor.invalid_operation", operation="waking", reason="it is a test")


def ask(link: Link, id: int) -> None:
    link.send(ActionRequest(id, "echo", cbor.encode([id])))


async def ended(link: Link) -> tuple[int, str]:
    try:
        await link.receive()
    except LinkClosed as closed:
        return closed.code, closed.reason
    raise AssertionError("it is still open")


async def test_a_message_wakes_the_actor() -> None:
    place = Place()
    link = await place.connected()
    await place.asleep()
    ask(link, 0)
    assert await link.receive() == ActionResponse(0, cbor.encode(0))
    assert place.log.count("on_connect") == 1
    await place.host.close()


async def test_a_client_goes_back_to_an_actor_that_others_woke_and_does_not_wake_it_again() -> None:
    place = Place()
    link = await place.connected()
    await place.asleep()
    actor = await place.host.reach(A)
    await settle()
    assert len(actor.connections) == 1
    assert not actor.kept_sockets
    await place.asleep()
    await settle()
    assert place.host.registry.running_count == 0
    ask(link, 0)
    assert await link.receive() == ActionResponse(0, cbor.encode(0))
    await place.host.close()


async def test_a_client_that_leaves_wakes_the_actor_to_part_with_it() -> None:
    place = Place()
    link = await place.connected()
    await place.asleep()
    await link.close()
    while "on_disconnect" not in place.log:
        await asyncio.wait([asyncio.create_task(settle())])
    assert not place.host.kept.of((await place.host.reach(A)).identity.actor_id)
    await place.host.close()


async def test_destroying_a_sleeping_actor_closes_its_clients() -> None:
    place = Place()
    link = await place.connected()
    await place.host.destroy(await place.asleep())
    assert await ended(link) == (1000, "")
    await place.host.close()


async def test_closing_the_host_closes_the_clients_of_sleeping_actors() -> None:
    place = Place()
    link = await place.connected()
    await place.asleep()
    await place.host.close()
    assert await ended(link) == (1001, "ws.going_away")


async def test_closing_the_host_parts_with_the_clients_of_awake_actors() -> None:
    place = Place()
    link = await place.connected()
    await place.host.close()
    assert await ended(link) == (1001, "ws.going_away")
    assert place.log.count("on_disconnect") == 1


async def test_who_wakes_an_actor_that_cannot_start_is_told_so() -> None:
    place = Place()
    link = await place.connected()
    await place.asleep()
    place.broken = True
    ask(link, 0)
    assert await ended(link) == (1011, "actor.invalid_operation")
    await place.host.close()


async def test_an_actor_that_goes_back_to_sleep_at_once_is_left_alone_by_silent_clients() -> None:
    place = Place()
    await place.connected()
    await place.asleep()
    place.sleepy = True
    woken = place.log.count("on_wake")
    await place.host.reach(A)
    for _ in range(10):
        await settle()
    assert place.host.registry.running_count == 0
    assert place.log.count("on_wake") == woken + 1
    await place.host.close()


async def test_more_clients_than_may_wait_for_a_start_wake_their_actor_together() -> None:
    place = Place()
    links = [await place.connected() for _ in range(1030)]
    await place.asleep()
    place.gate.clear()
    for link in links:
        ask(link, 0)
    await settle()
    place.gate.set()
    for link in links:
        assert await link.receive() == ActionResponse(0, cbor.encode(0))
    await place.host.close()


async def test_an_actor_that_goes_back_to_sleep_at_once_answers_who_woke_it() -> None:
    place = Place()
    await place.connected()
    await place.asleep()
    place.sleepy = True
    woken = place.log.count("on_wake")
    answer = await place.host.access.call(A, "echo", cbor.encode([3]), params=None)
    assert cbor.decode(answer) == 3
    assert place.log.count("on_wake") == woken + 1
    await place.host.close()


async def test_a_client_that_is_given_up_after_its_actor_woke_is_parted_with() -> None:
    place = Place()
    await place.host.open()
    actor, sink, given_up = await place.host.reach(A), RecordingSink(), asyncio.Event()
    client = KeptSocket(ScriptedSocket(), SocketOrigin(place.host.kept.new_id(), "/connect", {}))

    async def serve(actor: ActorTask, _resumed: bool) -> bool:
        await actor.open_connection(None, sink, client)
        await given_up.wait()
        return False

    keeping = asyncio.create_task(place.host.kept.keep(actor, client, serve))
    await settle()
    await place.asleep()
    assert sink.released
    actor = await place.host.reach(A)
    assert actor.sleep.blocker() is SleepBlocker.ACTIVE_CONNECTIONS
    given_up.set()
    await keeping
    await settle()
    assert (actor.sleep.blocker(), len(actor.connections)) == (None, 0)
    assert place.log.count("on_disconnect") == 1
    await place.host.close()


async def test_a_client_that_is_given_up_while_its_actor_starts_is_parted_with() -> None:
    place = Place()
    await place.host.open()
    actor, given_up = await place.host.reach(A), asyncio.Event()
    client = KeptSocket(ScriptedSocket(), SocketOrigin(place.host.kept.new_id(), "/connect", {}))

    async def serve(actor: ActorTask, _resumed: bool) -> bool:
        await actor.open_connection(None, RecordingSink(), client)
        await given_up.wait()
        return False

    keeping = asyncio.create_task(place.host.kept.keep(actor, client, serve))
    await settle()
    await place.asleep()
    place.gate.clear()
    reaching = asyncio.create_task(place.host.reach(A))
    await settle()
    given_up.set()
    await keeping
    place.gate.set()
    actor = await reaching
    await settle()
    assert (actor.sleep.blocker(), len(actor.connections)) == (None, 0)
    assert place.log.count("on_disconnect") == 1
    await place.host.close()


async def test_a_client_that_nobody_acknowledges_is_not_read_for_ever() -> None:
    socket = ScriptedSocket([b"x"] * 20_001)
    client = KeptSocket(socket, SocketOrigin(SocketId(b"gate", b"0001"), "/connect", {}))
    for _ in range(20_000):
        await client.receive()
    receiving = asyncio.create_task(client.receive())
    await settle()
    assert (receiving.done(), socket.unread) == (False, 1)
    client.ack(1)
    assert await receiving == b"x"


async def test_a_client_whose_large_messages_nobody_acknowledges_is_not_read_for_ever() -> None:
    socket = ScriptedSocket([bytes(1024 * 1024)] * 49)
    client = KeptSocket(socket, SocketOrigin(SocketId(b"gate", b"0001"), "/connect", {}))
    for _ in range(48):
        await client.receive()
    receiving = asyncio.create_task(client.receive())
    await settle()
    assert socket.unread == 1
    receiving.cancel()
    await asyncio.wait([receiving])
    client.hibernate()
    assert len(await client.receive()) == 1024 * 1024
