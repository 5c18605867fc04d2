"""Raw websockets over a socket without a network (actor-runtime 10.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.actor.sleep import SleepBlocker
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.asgi import AsgiApp, Message, Receive, Scope, Send
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.raw_socket import serve_raw_socket
from rivetkit_core.edge.websocket import Frame
from rivetkit_core.errors import UserError
from rivetkit_core.testing import ScriptedSocket, SentFrame, settle
from tests.unit.actor.scripted import Script, Scripted, World

HEAD = RawHead(
    "GET", "/websocket/a", "q=1", [(b"sec-websocket-protocol", b"rivet, chat, rivet_encoding.bare")]
)


def text(message: str) -> Message:
    return {"type": "websocket.send", "text": message}


class Handler:
    """An ASGI application that keeps what it hears and does what the test says for each message."""

    def __init__(self, answer: Callable[[Message], Message | None] = lambda _message: None) -> None:
        self.answer = answer
        self.heard: list[Message] = []
        self.scopes: list[Scope] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            self.heard.append(message)
            await self.gate.wait()
            if message["type"] == "websocket.disconnect":
                return
            answer = self.answer(message)
            if answer is not None:
                await send(answer)

    @property
    def end(self) -> tuple[int, str]:
        last = self.heard[-1]
        assert last["type"] == "websocket.disconnect"
        return last["code"], last["reason"]


def echo(message: Message) -> Message:
    return {**message, "type": "websocket.send"}


@dataclass
class Open:
    world: World
    task: ActorTask
    socket: ScriptedSocket
    serving: asyncio.Task[bool]

    async def say(self, *frames: bytes | str) -> None:
        for frame in frames:
            self.socket.push(frame)
        await settle()


@asynccontextmanager
async def opened(world: World, head: RawHead = HEAD) -> AsyncGenerator[Open]:
    task, socket = await world.started(), ScriptedSocket()
    serving = asyncio.create_task(serve_raw_socket(task, head, None, socket, world.clock))
    await settle()
    try:
        yield Open(world, task, socket, serving)
    finally:
        socket.drop()
        await settle()
        await world.clock.advance(10)
        await asyncio.wait([serving])


def world_of(app: AsgiApp | None, **config: object) -> World:
    return World(Script(on_websocket=app, config=ActorConfig.from_input(config)))


async def test_frames_go_both_ways_as_what_they_are() -> None:
    handler = Handler(echo)
    async with opened(world_of(handler)) as raw:
        await raw.say("hello", b"\x00")
        assert raw.socket.sent == [SentFrame(b"hello", text=True), SentFrame(b"\x00", text=False)]


async def test_a_handler_sees_where_it_is_mounted_and_what_was_offered() -> None:
    handler = Handler()
    async with opened(world_of(handler)):
        scope = handler.scopes[0]
        assert (scope["path"], scope["root_path"], scope["query_string"]) == (
            "/websocket/a",
            "/websocket",
            b"q=1",
        )
        assert scope["subprotocols"] == ["chat"]


@pytest.mark.parametrize(
    ("path", "seen", "root"),
    [
        ("/websocket", "/websocket/", "/websocket"),
        ("/other", "/other", ""),
        ("/websockets/a", "/websockets/a", ""),
    ],
)
async def test_every_path_but_connect_is_raw(path: str, seen: str, root: str) -> None:
    handler = Handler()
    async with opened(world_of(handler), RawHead("GET", path)):
        assert (handler.scopes[0]["path"], handler.scopes[0]["root_path"]) == (seen, root)


async def test_text_that_is_not_utf_8_ends_the_websocket() -> None:
    handler = Handler(echo)
    async with opened(world_of(handler)) as raw:
        raw.socket.push_text(b"\xff")
        await settle()
        assert raw.socket.closed == (1007, "message.invalid_utf8")
        assert handler.end == (1007, "message.invalid_utf8")


async def test_a_handler_hears_what_came_before_its_client_left() -> None:
    handler = Handler()
    handler.gate.clear()
    async with opened(world_of(handler)) as raw:
        await raw.say("one", "two")
        raw.socket.drop(4000, "bye")
        await settle()
        handler.gate.set()
        await settle()
        assert [message.get("text") for message in handler.heard] == ["one", "two", None]
        assert handler.end == (4000, "bye")
        assert raw.socket.closed is None


async def test_answers_to_a_client_that_has_left_keep_nobody_from_what_it_said() -> None:
    handler = Handler(echo)
    handler.gate.clear()
    async with opened(world_of(handler)) as raw:
        await raw.say("one", "two", "three")
        raw.socket.drop()
        await settle()
        handler.gate.set()
        await settle()
        assert [message.get("text") for message in handler.heard[:3]] == ["one", "two", "three"]
        assert raw.socket.sent == []


async def test_a_handler_that_returns_closes_normally() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return None

    async with opened(world_of(app)) as raw:
        assert raw.socket.closed == (1000, "")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(UserError("no", code="no"), "user.no"), (RuntimeError("secret"), "rivetkit.internal_error")],
)
async def test_a_handler_that_raises_closes_with_its_error(failure: Exception, reason: str) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise failure

    async with opened(world_of(app)) as raw:
        assert raw.socket.closed == (1011, reason)


async def test_the_first_close_counts() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4001, "reason": "first"})
        await send({"type": "websocket.close", "code": 4002, "reason": "second"})
        raise RuntimeError("secret")

    async with opened(world_of(app)) as raw:
        assert raw.socket.closed == (4001, "first")


async def test_sending_after_the_end_fails_as_servers_say_it() -> None:
    raised: list[OSError] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        try:
            await send(text("too late"))
        except OSError as failure:
            raised.append(failure)

    async with opened(world_of(app)):
        assert len(raised) == 1


async def test_a_missing_handler_closes_and_runs_no_hook() -> None:
    world = world_of(None)
    async with opened(world) as raw:
        assert raw.socket.closed == (1000, "")
        assert "before_connect" not in world.log


async def test_a_refused_connection_never_reaches_the_handler() -> None:
    async def refuse(_: Scripted, _conn: Connection) -> None:
        raise UserError("members only", code="rejected")

    world = World(Script(on_websocket=Handler(), conn_hooks={"before_connect": refuse}))
    async with opened(world) as raw:
        assert raw.socket.closed == (1011, "user.rejected")
        assert "on_websocket" not in world.log


# --- connections --------------------------------------------------------------------------------------


async def test_an_open_websocket_is_a_connection_until_its_handler_has_ended() -> None:
    handler = Handler()
    async with opened(world_of(handler)) as raw:
        assert len(raw.task.connections) == 1
        handler.gate.clear()
        raw.socket.drop()
        await settle()
        assert len(raw.task.connections) == 1
        handler.gate.set()
        await settle()
        assert len(raw.task.connections) == 0
        assert raw.world.log[-1] == "on_disconnect"


async def test_metrics_tell_open_websockets_from_handlers_at_work() -> None:
    handler = Handler()
    async with opened(world_of(handler)) as raw:
        handler.gate.clear()
        await raw.say("think")
        assert _active(raw, "websocket_callback", "websocket_lifetime") == (1, 1)
        await raw.world.clock.advance(2.0)
        handler.gate.set()
        await settle()
        assert _active(raw, "websocket_callback", "websocket_lifetime") == (0, 1)
        took = raw.task.metrics.histogram("user_task_duration_seconds", "websocket_callback")
        assert (took.count, took.total) == (2, 2.0)  # the first time it began to listen


def _active(raw: Open, *kinds: str) -> tuple[float, ...]:
    gauges = raw.task.metrics.gauges()
    return tuple(gauges["user_tasks_active", kind] for kind in kinds)


async def test_a_connection_that_is_closed_by_the_actor_ends_the_websocket() -> None:
    handler = Handler()
    async with opened(world_of(handler)) as raw:
        (conn,) = raw.task.connections.values()
        await conn.disconnect("enough")
        await settle()
        assert (raw.socket.closed, handler.end) == ((1000, "enough"), (1000, "enough"))


async def test_an_event_to_a_raw_websocket_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(world_of(Handler())) as raw:
        (conn,) = raw.task.connections.values()
        conn.send("news", b"\x80")
        assert "event news cannot be sent" in caplog.text
        assert raw.socket.sent == []


# --- sleep --------------------------------------------------------------------------------------------


async def test_an_open_websocket_keeps_its_actor_awake() -> None:
    async with opened(world_of(Handler(), sleep_timeout=10.0)) as raw:
        assert raw.task.sleep.blocker() is SleepBlocker.ACTIVE_CONNECTIONS
        await raw.world.clock.advance(100)
        assert raw.world.host.sleep_requests == 0


async def test_work_on_a_message_keeps_an_actor_awake_without_its_connection() -> None:
    handler = Handler()
    async with opened(world_of(handler)) as raw:
        handler.gate.clear()
        await raw.say("one")
        (conn,) = raw.task.connections.values()
        await conn.disconnect()
        await settle()
        assert raw.task.sleep.blocker() is SleepBlocker.ACTIVE_WEBSOCKET_CALLBACKS
        handler.gate.set()
        await settle()
        assert raw.task.sleep.blocker() is None


async def test_the_end_of_an_actor_waits_for_the_message_in_work_and_for_good_byes() -> None:
    state: list[object] = []
    handler = Handler(echo)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await handler(scope, receive, send)
        raw.world.instance.state = "said good-bye"
        state.append(raw.task.lifecycle)

    async with opened(world_of(app)) as raw:
        handler.gate.clear()
        await raw.say("one")
        stopping = asyncio.create_task(raw.task.stop(StopKind.SLEEP))
        await settle()
        assert raw.socket.closed is None
        handler.gate.set()
        await stopping
        assert raw.socket.sent == [SentFrame(b"one", text=True)]
        assert raw.socket.closed == (1000, "actor.stopped")
        assert await raw.world.stored_state() == "said good-bye"


async def test_a_handler_is_cancelled_at_the_end_of_the_grace_period() -> None:
    handler = Handler()
    async with opened(world_of(handler, sleep_grace_period=5.0)) as raw:
        handler.gate.clear()
        await raw.say("one")
        stopping = asyncio.create_task(raw.task.stop(StopKind.SLEEP))
        await raw.world.clock.advance(5)
        await stopping
        await settle()
        assert raw.socket.closed == (1011, "actor.aborted")


async def test_a_handler_that_does_not_listen_is_cancelled_after_its_client_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    forever = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await forever.wait()

    async with opened(world_of(app, on_connect_timeout=3.0)) as raw:
        raw.socket.drop()
        await raw.world.clock.advance(2.9)
        assert not raw.serving.done()
        await raw.world.clock.advance(0.1)
        assert raw.serving.done()
        assert len(raw.task.connections) == 0
    assert "was cancelled" in caplog.text


async def test_a_client_that_does_not_take_its_close_frame_is_not_waited_for() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return None

    world = world_of(app)
    task, socket = await world.started(), _Stubborn()
    serving = asyncio.create_task(serve_raw_socket(task, HEAD, None, socket, world.clock))
    await settle()
    assert not serving.done()
    await world.clock.advance(5)
    assert serving.done()


class _Stubborn(ScriptedSocket):
    async def close(self, code: int, reason: str) -> None:
        await asyncio.Event().wait()


async def test_cancelling_ends_handler_and_connection() -> None:
    handler = Handler()
    async with opened(world_of(handler)) as raw:
        handler.gate.clear()
        await raw.say("one")
        raw.serving.cancel()
        await settle()
        assert raw.serving.cancelled()
        assert (len(raw.task.connections), raw.task.sleep.blocker()) == (0, None)


async def test_a_client_that_is_far_ahead_waits() -> None:
    handler = Handler()
    handler.gate.clear()
    async with opened(world_of(handler)) as raw:
        await raw.say(*[str(number) for number in range(100)])
        assert 0 < raw.socket.unread < 100
        handler.gate.set()
        await settle()
        assert raw.socket.unread == 0
        assert [message["text"] for message in handler.heard] == [str(number) for number in range(100)]


async def test_a_strict_message_waits_for_the_state_it_tells_of() -> None:
    def count(_message: Message) -> Message:
        world.instance.state = 7
        return text("7")

    world = World(Script(on_websocket=Handler(count), config=ActorConfig(durability="strict")))
    async with opened(world) as raw:
        world.store.hold_writes()
        await raw.say("go")
        assert raw.socket.sent == []
        world.store.release_writes()
        await settle()
        assert raw.socket.sent == [SentFrame(b"7", text=True)]
        assert await world.stored_state() == 7


async def test_what_a_message_changed_is_saved_while_the_websocket_is_open() -> None:
    def count(_message: Message) -> None:
        world.instance.state = 7

    world = world_of(Handler(count))
    async with opened(world) as raw:
        await raw.say("go")
        await world.clock.advance(1)
        assert await world.stored_state() == 7


# --- hibernation --------------------------------------------------------------------------------------


class Keeper(ScriptedSocket):
    """A websocket that its gateway keeps; what was not acknowledged is told again by the next one."""

    def __init__(self, frames: Iterable[bytes | str] = ()) -> None:
        super().__init__(frames)
        self.origin = SocketOrigin(SocketId(b"gate", b"sock"), "/websocket/a?q=1", {})
        self.received_index = 0
        self.next_index = 0
        self.acked: list[int] = []
        self.kept = 0

    async def receive_frame(self) -> Frame:
        frame = await super().receive_frame()
        self.received_index += 1
        return frame

    def ack(self, index: int) -> None:
        self.acked.append(index)

    def hibernate(self) -> None:
        self.kept += 1


async def serve_kept(task: ActorTask, keeper: Keeper, *, resumed: bool = False) -> asyncio.Task[bool]:
    clock = task.context.clock
    serving = asyncio.create_task(
        serve_raw_socket(task, HEAD, None, keeper, clock, keeper, resumed=resumed), name="serving"
    )
    await settle()
    return serving


def hibernating(handler: AsgiApp, **config: object) -> World:
    return world_of(handler, can_hibernate_websocket=True, state_save_interval=0.01, **config)


async def test_a_kept_websocket_lets_its_actor_sleep_and_is_not_closed() -> None:
    handler = Handler()
    world = hibernating(handler, sleep_timeout=10.0)
    task, keeper = await world.started(), Keeper()
    serving = await serve_kept(task, keeper)
    assert task.sleep.blocker() is None
    await world.clock.advance(10)
    assert world.host.sleep_requests == 1
    await task.stop(StopKind.SLEEP)
    assert await serving is True
    assert (keeper.closed, keeper.kept, handler.heard) == (None, 1, [])
    assert "on_disconnect" not in world.log


async def test_a_handler_is_called_again_for_a_websocket_that_stayed() -> None:
    handler = Handler(echo)
    world = hibernating(handler)
    first, keeper = await world.started(), Keeper()
    serving = await serve_kept(first, keeper)
    (conn,) = first.connections.values()
    await first.stop(StopKind.SLEEP)
    await serving
    second = world.task()
    await second.start(None, live=[keeper.origin.id])
    serving = await serve_kept(second, keeper, resumed=True)
    keeper.push("hello")
    await settle()
    assert keeper.sent == [SentFrame(b"hello", text=True)]
    assert [scope["state"]["restored"] for scope in handler.scopes] == [False, True]
    assert list(second.connections) == [conn.id]
    assert world.log.count("on_connect") == 1
    keeper.drop()
    await settle()
    assert await serving is False


async def test_a_frame_is_acknowledged_when_its_handler_asks_for_the_next_one() -> None:
    handler = Handler()
    handler.gate.clear()
    world = hibernating(handler)
    task, keeper = await world.started(), Keeper(["one", "two"])
    serving = await serve_kept(task, keeper)
    await world.clock.advance(1)
    assert set(keeper.acked) <= {0}  # which stands for its opening
    handler.gate.set()
    await settle()
    await world.clock.advance(1)
    assert keeper.acked[-1] == 2
    await task.stop(StopKind.SLEEP)
    assert await serving is True


async def test_what_was_not_begun_when_the_actor_went_to_sleep_is_not_acknowledged() -> None:
    handler = Handler()
    handler.gate.clear()
    world = hibernating(handler)
    task, keeper = await world.started(), Keeper(["one", "two"])
    serving = await serve_kept(task, keeper)
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    handler.gate.set()
    await stopping
    assert await serving is True
    assert [message["text"] for message in handler.heard] == ["one"]
    assert keeper.acked[-1] == 1


async def test_a_message_that_the_deadline_cuts_short_is_left_to_the_next_generation() -> None:
    handler = Handler()
    handler.gate.clear()
    world = hibernating(handler, sleep_grace_period=5.0)
    task, keeper = await world.started(), Keeper(["one"])
    serving = await serve_kept(task, keeper)
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(5)
    await stopping
    assert await serving is True
    assert (set(keeper.acked) <= {0}, keeper.closed) == (True, None)


async def test_what_a_handler_does_when_it_is_cancelled_for_sleep_is_saved() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await handler(scope, receive, send)
        finally:
            world.instance.state = "put away"

    handler = Handler()
    world = hibernating(app)
    task, keeper = await world.started(), Keeper()
    serving = await serve_kept(task, keeper)
    await task.stop(StopKind.SLEEP)
    assert await serving is True
    assert await world.stored_state() == "put away"


async def test_a_kept_websocket_of_a_destroyed_actor_is_closed() -> None:
    handler = Handler()
    world = hibernating(handler)
    task, keeper = await world.started(), Keeper()
    serving = await serve_kept(task, keeper)
    await task.stop(StopKind.DESTROY)
    assert await serving is False
    assert (keeper.closed, handler.end) == ((1000, ""), (1000, ""))


async def test_a_websocket_whose_connection_is_not_known_any_more_is_closed() -> None:
    world = hibernating(Handler())
    task, keeper = await world.started(), Keeper()
    serving = await serve_kept(task, keeper, resumed=True)
    assert await serving is False
    assert keeper.closed == (1011, "connection.restore_not_found")


async def test_a_websocket_that_comes_back_too_late_waits_for_the_generation_after() -> None:
    world = hibernating(Handler())
    task, keeper = await world.started(), Keeper()
    await task.stop(StopKind.SLEEP)
    serving = await serve_kept(task, keeper, resumed=True)
    assert await serving is True
    assert (keeper.closed, keeper.kept) == (None, 1)
