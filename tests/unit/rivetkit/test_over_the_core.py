"""Declared actors on the real core, through the port a client uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, RivetError, UserError, ValidationError, action, actor, create_state
from rivetkit._compiler import compile_actor
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey
from rivetkit_core.testing import FakeClock, MemoryStore
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Event as EventMessage
from rivetkit_core.wire.messages import SubscriptionRequest


class Member(BaseModel):
    name: str


class RoomState(BaseModel):
    title: str
    changes: int = 0


@actor(name="chatRoom")
class Room(Actor):
    state: RoomState
    conn: Conn[Member, None]
    posted = Event[tuple[str, str]]()

    @create_state
    def initial(self, title: str) -> RoomState:
        return RoomState(title=title)

    @action(durability="strict")
    async def post(self, text: str) -> str:
        if not text:
            raise UserError("say something", code="empty_message", metadata=Member(name="x"))
        self.state.changes += 1
        self.posted.broadcast((self.conn.params.name, text))
        return f"{self.conn.params.name} in {self.state.title}: {text}"

    @action
    def changes(self) -> int:
        return self.state.changes


ADA = cbor.encode({"name": "Ada"})
ROOM = ByKey("chatRoom", ("a",), create=True, input=Room.initial("General").encode())


def host_over(store: MemoryStore) -> EmbeddedHost:
    return EmbeddedHost([compile_actor(Room)], store=store, clock=FakeClock(), entropy=SeededEntropy(1))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def host(store: MemoryStore) -> AsyncIterator[EmbeddedHost]:
    host = host_over(store)
    await host.open()
    yield host
    await host.close()


async def test_a_call_by_reference_goes_there_and_back(host: EmbeddedHost) -> None:
    output = await host.access.call(ROOM, "post", Room.post.encode_args(text="hi"), params=ADA)
    assert Room.post.decode_output(output) == "Ada in General: hi"


async def test_a_user_error_reaches_the_caller_whole(host: EmbeddedHost) -> None:
    with pytest.raises(UserError) as caught:
        await host.access.call(ROOM, "post", Room.post.encode_args(""), params=ADA)
    assert (caught.value.code, caught.value.metadata) == ("empty_message", {"name": "x"})


async def test_bad_parameters_refuse_the_connection(host: EmbeddedHost) -> None:
    with pytest.raises(ValidationError, match="connection params"):
        await host.access.call(ROOM, "changes", b"\x80", params=None)


async def test_bad_arguments_are_the_callers_error(host: EmbeddedHost) -> None:
    with pytest.raises(ValidationError) as caught:
        await host.access.call(ROOM, "post", cbor.encode([1]), params=ADA)
    assert caught.value.issues[0].path == ("text",)


async def test_a_missing_input_fails_the_start(host: EmbeddedHost) -> None:
    with pytest.raises(RivetError, match=r"actor\.missing_input"):
        await host.access.call(ByKey("chatRoom", ("b",), create=True), "changes", b"\x80", params=ADA)


async def test_state_survives_a_restart(host: EmbeddedHost, store: MemoryStore) -> None:
    await host.access.call(ROOM, "post", Room.post.encode_args("hi"), params=ADA)
    await host.close()
    again = host_over(store)
    await again.open()
    output = await again.access.call(ROOM, "changes", Room.changes.encode_args(), params=ADA)
    assert Room.changes.decode_output(output) == 1
    await again.close()


async def test_a_subscriber_receives_the_payload(host: EmbeddedHost) -> None:
    link = await host.access.connect(ROOM, params=ADA)
    await link.receive()
    link.send(SubscriptionRequest(Room.posted.name, subscribe=True))
    await host.access.call(ROOM, "post", Room.post.encode_args("hi"), params=ADA)
    message = await link.receive()
    assert isinstance(message, EventMessage)
    assert Room.posted.decode_args(message.args) == ("Ada", "hi")
    await link.close()
