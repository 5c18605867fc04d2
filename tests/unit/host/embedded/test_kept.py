"""Clients that the embedded host keeps while their actor sleeps."""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.factory import ActionSpec, ActorFactory
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import error
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey, Link, LinkClosed
from rivetkit_core.testing import FakeClock, MemoryStore, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, Init
from tests.unit.actor.scripted import Script, Scripted

A = ByKey("scripted", ("a",), create=True)


class Place:
    """A host with one actor, and a client of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.broken = False
        script = Script(actions={"echo": self._echo}, hooks={"on_wake": self._wake})
        factory = ActorFactory(
            "scripted", lambda context: Scripted(script, context, self.log), {"echo": ActionSpec()}
        )
        self.host = EmbeddedHost([factory], store=MemoryStore(), clock=FakeClock(), entropy=SeededEntropy(1))

    async def connected(self) -> Link:
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

    async def _wake(self, _: Scripted) -> None:
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
