"""One connection over a websocket without a network (client-protocol 4.2 to 4.4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from rivetkit_core.actor.connections import Connection, OutgoingEvent
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.websocket import WebSocketChannel
from rivetkit_core.errors import UserError
from rivetkit_core.testing import ScriptedSocket, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    ErrorMessage,
    Event,
    Init,
    SubscriptionRequest,
    ToClient,
    ToServer,
)
from tests.unit.actor.scripted import Script, Scripted, World, call


@dataclass
class Client:
    """The other end of a session under test."""

    socket: ScriptedSocket
    codec: Codec
    channel: WebSocketChannel
    session: asyncio.Task[bool]

    async def send(self, *messages: ToServer) -> None:
        for message in messages:
            self.socket.push(self.codec.encode_to_server(message))
        await settle()

    @property
    def received(self) -> list[ToClient]:
        return [self.codec.decode_to_client(frame.data) for frame in self.socket.sent]


@contextlib.asynccontextmanager
async def connected(task: ActorTask, encoding: Encoding = Encoding.BARE) -> AsyncGenerator[Client]:
    """A client whose session began; both of its tasks have ended on leaving."""
    socket, codec = ScriptedSocket(), Codec(encoding)
    channel = WebSocketChannel(socket, codec, task.factory.config)
    session = asyncio.create_task(Session(task, channel).run(None))
    writer = asyncio.create_task(channel.write())
    await settle()
    try:
        yield Client(socket, Codec(encoding), channel, session)
    finally:
        socket.drop()
        channel.close(1000, "")
        await asyncio.gather(session, writer)


async def echo(_: Scripted, args: list[object]) -> object:
    return args


async def shout(instance: Scripted, args: list[object]) -> object:
    instance.context.broadcast("news", cbor.encode(args))
    return "shouted"


def request(id: int, name: str, *args: object) -> ActionRequest:
    return ActionRequest(id, name, cbor.encode(list(args)))


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_init_comes_first(encoding: Encoding) -> None:
    task = await World(Script()).started()
    async with connected(task, encoding) as client:
        (conn_id,) = task.connections
        assert client.received == [Init("actor1", conn_id)]
        assert client.socket.sent[0].text == (encoding is Encoding.JSON)


async def test_events_before_init_are_held_back() -> None:
    async def greet(_: Scripted, conn: Connection) -> None:
        conn.send("hello", cbor.encode([1]))

    task = await World(Script(conn_hooks={"on_connect": greet})).started()
    async with connected(task) as client:
        assert isinstance(client.received[0], Init)
        assert client.received[1:] == [Event("hello", cbor.encode([1]))]


async def test_frames_sent_before_init_are_served_after_it() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, conn: Connection) -> None:
        await release.wait()

    task = await World(Script(actions={"echo": echo}, conn_hooks={"on_connect": slow})).started()
    async with connected(task) as client:
        await client.send(request(0, "echo", 1))
        assert client.received == []
        release.set()
        await settle()
        assert isinstance(client.received[0], Init)
        assert client.received[1:] == [ActionResponse(0, cbor.encode([1]))]


async def test_a_refusal_is_said_and_closes() -> None:
    async def refuse(_: Scripted, conn: Connection) -> None:
        raise UserError("members only", code="rejected", metadata={"try": "later"})

    task = await World(Script(conn_hooks={"before_connect": refuse})).started()
    async with connected(task) as client:
        refusal = ErrorMessage("user", "rejected", "members only", cbor.encode({"try": "later"}))
        assert client.received == [refusal]
        assert client.socket.closed == (1011, "user.rejected")
        assert client.session.done()


async def test_a_plain_exception_of_a_connect_hook_is_masked() -> None:
    async def crash(_: Scripted, conn: Connection) -> None:
        raise RuntimeError("secret dsn")

    task = await World(Script(conn_hooks={"before_connect": crash})).started()
    async with connected(task) as client:
        assert client.socket.closed == (1011, "rivetkit.internal_error")
        assert b"secret" not in client.socket.sent[0].data


async def test_a_refusal_too_long_to_be_sent_still_closes_with_its_reason() -> None:
    async def refuse(_: Scripted, conn: Connection) -> None:
        raise UserError("x" * 500, code="rejected")

    config = ActorConfig(max_outgoing_message_size=200)
    task = await World(Script(conn_hooks={"before_connect": refuse}, config=config)).started()
    async with connected(task) as client:
        assert client.socket.closed == (1011, "user.rejected")


async def test_connect_hooks_that_take_too_long_refuse() -> None:
    async def hang(_: Scripted, conn: Connection) -> None:
        await asyncio.Event().wait()

    world = World(Script(conn_hooks={"on_connect": hang}))
    task = await world.started()
    async with connected(task) as client:
        await world.clock.advance(5.1)
        assert client.socket.closed == (1011, "actor.callback_timed_out")


async def test_replies_come_in_the_order_actions_finish() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return "slow"

    task = await World(Script(actions={"slow": slow, "echo": echo})).started()
    async with connected(task) as client:
        await client.send(request(1, "slow"), request(2, "echo", "x"))
        release.set()
        await settle()
        answers = client.received[1:]
    assert answers == [ActionResponse(2, cbor.encode(["x"])), ActionResponse(1, cbor.encode("slow"))]


async def test_repeated_ids_are_all_answered() -> None:
    task = await World(Script(actions={"echo": echo})).started()
    async with connected(task) as client:
        await client.send(request(7, "echo", 1), request(7, "echo", 2))
        assert [answer for answer in client.received if isinstance(answer, ActionResponse)] == [
            ActionResponse(7, cbor.encode([1])),
            ActionResponse(7, cbor.encode([2])),
        ]


async def test_a_failed_action_is_answered_with_its_id_and_actor() -> None:
    task = await World(Script()).started()
    async with connected(task) as client:
        await client.send(request(3, "nope"))
        answer = client.received[-1]
    assert isinstance(answer, ErrorMessage)
    assert (answer.code, answer.action_id, answer.actor) == (
        "action_not_found",
        3,
        task.identity.specifier,
    )


async def test_the_events_of_an_action_come_before_its_answer() -> None:
    task = await World(Script(actions={"shout": shout})).started()
    async with connected(task) as client:
        await client.send(SubscriptionRequest("news", True), request(1, "shout", "hi"))
        assert client.received[1:] == [
            Event("news", cbor.encode(["hi"])),
            ActionResponse(1, cbor.encode("shouted")),
        ]


async def test_any_event_name_may_be_subscribed_to_and_is_not_acknowledged() -> None:
    task = await World(Script()).started()
    async with connected(task) as client:
        await client.send(SubscriptionRequest("never declared", True), SubscriptionRequest("x", False))
        assert len(client.received) == 1
        assert client.socket.closed is None


async def test_an_unsubscribed_event_does_not_arrive() -> None:
    task = await World(Script(actions={"shout": shout})).started()
    async with connected(task) as client:
        await client.send(SubscriptionRequest("news", True), SubscriptionRequest("news", False))
        await call(task, "shout", 1)
        await settle()
        assert len(client.received) == 1


@pytest.mark.parametrize("frame", [b"", b"\xff\xff\xff", b"\x04\x00\x09garbage"])
async def test_a_malformed_frame_closes(frame: bytes) -> None:
    world = World(Script())
    task = await world.started()
    async with connected(task) as client:
        client.socket.push(frame)
        await settle()
        assert client.socket.closed == (1011, "actor.invalid_request")
        assert len(task.connections) == 0
    assert world.log.count("on_disconnect") == 1


async def test_a_frame_over_the_limit_closes_and_one_at_the_limit_does_not() -> None:
    frame = Codec(Encoding.BARE).encode_to_server(request(1, "echo", "x" * 300))
    config = ActorConfig(max_incoming_message_size=len(frame))
    task = await World(Script(actions={"echo": echo}, config=config)).started()
    async with connected(task) as client:
        client.socket.push(frame)
        await settle()
        assert isinstance(client.received[-1], ActionResponse)
        client.socket.push(frame + b"\x00")
        await settle()
        assert client.socket.closed == (1011, "message.incoming_too_long")


async def test_a_reply_over_the_limit_is_an_error_and_the_connection_survives() -> None:
    config = ActorConfig(max_outgoing_message_size=400)
    task = await World(Script(actions={"echo": echo}, config=config)).started()
    async with connected(task) as client:
        await client.send(request(1, "echo", "x" * 500), request(2, "echo", 2))
        answers = client.received[1:]
    assert isinstance(answers[0], ErrorMessage)
    assert (answers[0].group, answers[0].code, answers[0].action_id, answers[0].actor) == (
        "message",
        "outgoing_too_long",
        1,
        None,
    )
    assert answers[1] == ActionResponse(2, cbor.encode([2]))


async def test_a_channel_too_narrow_for_any_answer_is_closed() -> None:
    task = await World(Script(config=ActorConfig(max_outgoing_message_size=50))).started()
    async with connected(task) as client:
        await client.send(request(1, "nope"))
        assert client.socket.closed == (1011, "message.outgoing_too_long")


async def test_an_event_over_the_limit_closes() -> None:
    config = ActorConfig(max_outgoing_message_size=400)
    task = await World(Script(actions={"shout": shout}, config=config)).started()
    async with connected(task) as client:
        await client.send(SubscriptionRequest("news", True))
        await call(task, "shout", "x" * 500)
        await settle()
        assert client.socket.closed == (1011, "message.outgoing_too_long")
        assert len(task.connections) == 0


async def test_a_client_that_does_not_read_is_closed_and_forgotten() -> None:
    world = World(Script(actions={"shout": shout}, config=ActorConfig(connection_backlog=4)))
    task = await world.started()
    async with connected(task) as client:
        await client.send(SubscriptionRequest("news", True))
        client.socket.stop_reading()
        for number in range(7):
            await call(task, "shout", number)
            await settle()
        assert client.session.done()
        assert len(task.connections) == 0
        client.socket.resume_reading()
        await settle()
        assert client.socket.closed == (1011, "actor.overloaded")


async def test_a_large_message_fits_when_nothing_else_waits() -> None:
    size = 17 * 1024 * 1024

    async def large(_: Scripted, _args: list[object]) -> object:
        return "x" * size

    config = ActorConfig(max_outgoing_message_size=2 * size)
    task = await World(Script(actions={"large": large}, config=config)).started()
    async with connected(task) as client:
        await client.send(request(1, "large"))
        assert isinstance(client.received[-1], ActionResponse)


async def test_a_client_that_goes_away_is_disconnected() -> None:
    world = World(Script())
    task = await world.started()
    async with connected(task) as client:
        client.socket.drop()
        await settle()
        assert client.session.done()
        assert len(task.connections) == 0
    assert world.log.count("on_disconnect") == 1


async def test_an_action_outlives_its_client() -> None:
    release = asyncio.Event()

    async def slow(instance: Scripted, _args: list[object]) -> object:
        await release.wait()
        instance.state = "done"
        return None

    world = World(Script(actions={"slow": slow}))
    task = await world.started()
    async with connected(task) as client:
        await client.send(request(1, "slow"))
    release.set()
    await settle()
    assert world.instance.state == "done"


@pytest.mark.parametrize(
    ("kind", "closed"),
    [(StopKind.SLEEP, (1001, "ws.going_away")), (StopKind.DESTROY, (1000, ""))],
)
async def test_a_stopping_actor_answers_before_it_closes(kind: StopKind, closed: tuple[int, str]) -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return "late"

    task = await World(Script(actions={"slow": slow})).started()
    async with connected(task) as client:
        await client.send(request(1, "slow"))
        stopping = asyncio.create_task(task.stop(kind))
        await settle()
        await client.send(request(2, "slow"))
        release.set()
        await stopping
        await settle()
        refused, answer = client.received[1:]
        assert isinstance(refused, ErrorMessage)
        assert refused.action_id == 2
        assert answer == ActionResponse(1, cbor.encode("late"))
        assert client.socket.closed == closed


async def test_one_encoding_of_an_event_is_shared() -> None:
    socket = ScriptedSocket()
    event = OutgoingEvent(Event("news", cbor.encode([1])))
    for encoding in (Encoding.BARE, Encoding.BARE, Encoding.JSON):
        WebSocketChannel(socket, Codec(encoding), ActorConfig()).send_event(event)
    assert len(event.encoded) == 2


async def test_a_closed_channel_takes_nothing_more() -> None:
    socket = ScriptedSocket()
    channel = WebSocketChannel(socket, Codec(Encoding.BARE), ActorConfig())
    channel.send(Init("a", "c"))
    channel.close(1000, "first")
    channel.close(1011, "second")
    channel.send(Init("a", "c"))
    await channel.write()
    assert len(socket.sent) == 1
    assert socket.closed == (1000, "first")
