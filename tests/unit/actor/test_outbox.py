"""The output gate: what strict actors hold back, and in which order it leaves (design: durability)."""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.access import GatedAccess
from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.factory import ActionSpec
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError, UserError
from rivetkit_core.host.port import ActorKey, ById, Target
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse, ToClient, ToServer
from tests.unit.actor.scripted import NoAccess, RecordingSink, Script, Scripted, World, call, failure_of

STRICT = ActorConfig(durability="strict")


async def put(instance: Scripted, args: list[object]) -> object:
    instance.state = args[0]
    instance.context.broadcast("changed", cbor.encode(args))
    return args[0]


async def tell(instance: Scripted, args: list[object]) -> object:
    instance.context.broadcast("changed", cbor.encode(args))
    return args[0]


async def read(instance: Scripted, _args: list[object]) -> object:
    return instance.state


async def listening(task: ActorTask) -> tuple[Connection, RecordingSink]:
    sink = RecordingSink()
    conn = await task.open_connection(None, sink)
    task.connections.subscribe(conn, "changed")
    return conn, sink


async def test_a_strict_reply_waits_for_the_write() -> None:
    world = World(Script(actions={"put": put}, config=STRICT))
    task = await world.started()
    world.store.hold_writes()
    running = asyncio.create_task(call(task, "put", 1))
    await settle()
    assert not running.done()
    world.store.release_writes()
    assert await running == 1
    assert await world.stored_state() == 1


async def test_a_strict_event_waits_for_the_write() -> None:
    world = World(Script(actions={"put": put}, config=STRICT))
    task = await world.started()
    _, sink = await listening(task)
    world.store.hold_writes()
    running = asyncio.create_task(call(task, "put", 1))
    await settle()
    assert sink.events == []
    world.store.release_writes()
    await running
    assert sink.events == [("changed", [1])]


async def test_a_strict_read_of_unsaved_state_waits_too() -> None:
    world = World(Script(actions={"put": put, "read": read}, config=STRICT))
    task = await world.started()
    world.store.hold_writes()
    writing = asyncio.create_task(call(task, "put", 1))
    await settle()
    reading = asyncio.create_task(call(task, "read"))
    await settle()
    assert not reading.done()
    world.store.release_writes()
    assert await reading == 1
    await writing


async def test_a_strict_failure_that_tells_of_state_waits_too() -> None:
    async def fail(instance: Scripted, _args: list[object]) -> object:
        instance.state = 9
        raise UserError("nine", code="nine")

    world = World(Script(actions={"fail": fail}, config=STRICT))
    task = await world.started()
    world.store.hold_writes()
    running = asyncio.create_task(failure_of(call(task, "fail")))
    await settle()
    assert not running.done()
    world.store.release_writes()
    assert (await running).code == "nine"
    assert await world.stored_state() == 9


async def test_a_strict_refusal_of_a_connection_waits_too() -> None:
    async def refuse(instance: Scripted, conn: Connection) -> None:
        instance.state = "counted"
        raise UserError("you are number 1", code="refused")

    world = World(Script(conn_hooks={"before_connect": refuse}, config=STRICT))
    task = await world.started()
    world.store.hold_writes()
    running = asyncio.create_task(failure_of(task.open_connection(None, None)))
    await settle()
    assert not running.done()
    world.store.release_writes()
    assert (await running).code == "refused"


async def test_a_connection_whose_state_cannot_be_stored_does_not_stay() -> None:
    async def admit(instance: Scripted, conn: Connection) -> None:
        instance.state = "admitted"

    world = World(Script(conn_hooks={"on_connect": admit}, config=STRICT))
    task = await world.started()
    world.store.fail_next(StorageError("storage", "unavailable"))
    assert (await failure_of(task.open_connection(None, None))).code == "unavailable"
    await settle()
    assert len(task.connections) == 0
    assert world.log.count("on_disconnect") == 1


async def test_a_throttled_reply_and_event_are_not_held() -> None:
    world = World(Script(actions={"put": put}))
    task = await world.started()
    _, sink = await listening(task)
    world.store.hold_writes()
    assert await call(task, "put", 1) == 1
    assert sink.events == [("changed", [1])]
    world.store.release_writes()


async def test_one_action_of_a_throttled_actor_can_be_strict() -> None:
    specs = {"put": ActionSpec(durability="strict")}
    world = World(Script(actions={"put": put, "read": read}, specs=specs))
    task = await world.started()
    world.store.hold_writes()
    running = asyncio.create_task(call(task, "put", 1))
    await settle()
    assert not running.done()
    world.store.release_writes()
    assert await running == 1


async def test_one_action_of_a_strict_actor_can_be_throttled() -> None:
    specs = {"put": ActionSpec(durability="throttled")}
    world = World(Script(actions={"put": put}, specs=specs, config=STRICT))
    task = await world.started()
    conn, _ = await listening(task)
    world.store.hold_writes()
    assert cbor.decode(await task.run_action("put", cbor.encode([1]), conn)) == 1
    world.store.release_writes()


async def test_events_of_one_action_leave_before_its_reply_and_in_order() -> None:
    seen: list[object] = []

    class Sink(RecordingSink):
        def send_event(self, event: object) -> None:
            seen.append("event")

    async def twice(instance: Scripted, _args: list[object]) -> object:
        instance.state = 1
        for number in (1, 2):
            instance.context.broadcast("changed", cbor.encode([number]))
        return None

    world = World(Script(actions={"twice": twice}, config=STRICT))
    task = await world.started()
    conn = await task.open_connection(None, Sink())
    task.connections.subscribe(conn, "changed")
    await task.run_action("twice", cbor.EMPTY_ARRAY, conn)
    seen.append("reply")
    assert seen == ["event", "event", "reply"]


async def test_output_that_need_not_wait_stays_behind_output_that_must() -> None:
    specs = {"put": ActionSpec(durability="strict")}
    world = World(Script(actions={"put": put, "tell": tell}, specs=specs))
    task = await world.started()
    conn, sink = await listening(task)
    world.store.hold_writes()
    strict = asyncio.create_task(task.run_action("put", cbor.encode([1]), conn))
    await settle()
    throttled = asyncio.create_task(task.run_action("tell", cbor.encode([2]), conn))
    await settle()
    assert sink.events == []
    assert not throttled.done()
    world.store.release_writes()
    await strict
    await throttled
    assert sink.events == [("changed", [1]), ("changed", [2])]


async def test_a_failed_write_fails_the_reply_and_delays_the_events() -> None:
    world = World(Script(actions={"put": put}, config=STRICT))
    task = await world.started()
    _, sink = await listening(task)
    world.store.fail_next(StorageError("storage", "unavailable"))
    conn, _ = await listening(task)
    failure = await failure_of(task.run_action("put", cbor.encode([1]), conn))
    assert isinstance(failure, StorageError)
    assert failure.actor == task.identity.specifier
    assert sink.events == []
    await world.clock.advance(0.2)
    assert sink.events == [("changed", [1])]
    assert await world.stored_state() == 1


async def test_a_broken_transport_does_not_hold_back_the_others() -> None:
    class Broken(RecordingSink):
        def send_event(self, event: object) -> None:
            raise RuntimeError("gone")

    task = await World(Script(actions={"put": put})).started()
    broken = await task.open_connection(None, Broken())
    task.connections.subscribe(broken, "changed")
    _, sink = await listening(task)
    await call(task, "put", 1)
    assert sink.events == [("changed", [1])]


async def test_the_choice_of_one_action_does_not_reach_the_disconnect_hook() -> None:
    async def say(instance: Scripted, conn: Connection) -> None:
        instance.state = "left"
        instance.context.broadcast("changed", cbor.EMPTY_ARRAY)

    async def leave(instance: Scripted, _args: list[object]) -> object:
        for conn in tuple(instance.context.connections.values()):
            conn.close(1000, "")
        return None

    world = World(
        Script(
            actions={"leave": leave},
            specs={"leave": ActionSpec(durability="throttled")},
            conn_hooks={"on_disconnect": say},
            config=STRICT,
        )
    )
    task = await world.started()
    leaver = await task.open_connection(None, None)
    world.store.hold_writes()
    await task.run_action("leave", cbor.EMPTY_ARRAY, leaver)
    await settle()
    assert task.outbox.discard() == 1
    world.store.release_writes()


class RecordingAccess(NoAccess):
    """Notes calls and opens links that note what is sent."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        self.log.append(f"call {action}")
        return cbor.NULL

    async def resolve(self, target: Target) -> str:
        self.log.append("resolve")
        return "x"

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        self.log.append("create")
        return "x"

    async def connect(self, target: Target, *, params: bytes | None) -> RecordingLink:
        self.log.append("connect")
        return RecordingLink(self.log)


class RecordingLink:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def send(self, message: ToServer) -> None:
        self.log.append("send")

    async def receive(self) -> ToClient:
        return ActionResponse(1, cbor.NULL)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.log.append("close")


async def test_calls_to_other_actors_wait_for_the_write() -> None:
    world = World(Script(config=STRICT))
    task = await world.started()
    log: list[str] = []
    access = GatedAccess(RecordingAccess(log), task.outbox)
    world.instance.state = 1
    world.store.hold_writes()
    waiting: list[asyncio.Task[object]] = [
        asyncio.create_task(access.call(ById("x"), "go", cbor.EMPTY_ARRAY, params=None)),
        asyncio.create_task(access.resolve(ById("x"))),
        asyncio.create_task(access.create("x", (), input=None, region=None)),
    ]
    await settle()
    assert log == []
    world.store.release_writes()
    await asyncio.gather(*waiting)
    assert sorted(log) == ["call go", "create", "resolve"]


async def test_what_a_strict_actor_sends_over_a_link_waits_and_the_close_stays_behind_it() -> None:
    world = World(Script(config=STRICT))
    task = await world.started()
    log: list[str] = []
    link = await GatedAccess(RecordingAccess(log), task.outbox).connect(ById("x"), params=None)
    world.instance.state = 1
    world.store.hold_writes()
    link.send(ActionRequest(1, "go", cbor.EMPTY_ARRAY))
    closing = asyncio.create_task(link.close())
    await settle()
    assert log == ["connect"]
    world.store.release_writes()
    await closing
    assert log == ["connect", "send", "close"]
