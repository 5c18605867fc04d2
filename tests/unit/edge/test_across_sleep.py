"""Connections from one generation of their actor to the next (actor-runtime 9.5)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.sleep import SleepBlocker
from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.replay import Replay
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionResponse, ErrorMessage, Event, Init
from rivetkit_core.wire.persisted import ConnRecord, conn_key, encode_conn
from tests.unit.actor.scripted import Script, Scripted, World
from tests.unit.edge.guests import Guest, records, sleep, wake

SHORT = ActorConfig(sleep_timeout=10.0, sleep_grace_period=2.0)


class Bench:
    """Actions that are finished by the test, in the generation it says."""

    def __init__(self) -> None:
        self.gates: dict[object, asyncio.Event] = {}
        self.ran: list[object] = []

    async def work(self, instance: Scripted, args: list[object]) -> object:
        self.ran.append((args[0], instance.context.generation))
        await self.gates.setdefault(args[0], asyncio.Event()).wait()
        return args[0]

    def finish(self, name: object) -> None:
        self.gates.setdefault(name, asyncio.Event()).set()


async def echo(_: Scripted, args: list[object]) -> object:
    return args[0]


async def shout(instance: Scripted, args: list[object]) -> object:
    instance.context.broadcast("news", cbor.encode(args))
    return None


async def remember(instance: Scripted, args: list[object]) -> object:
    (conn,) = instance.context.connections.values()
    conn.attachment = args[0]
    conn.lend_state()
    return None


async def doze(instance: Scripted, _: list[object]) -> object:
    instance.context.sleep()
    return None


def world_of(bench: Bench | None = None, config: ActorConfig = SHORT) -> World:
    actions = {"echo": echo, "shout": shout, "remember": remember, "doze": doze}
    if bench is not None:
        actions["work"] = bench.work
    return World(Script(actions=actions, config=config))


def answer(id: int, output: object) -> ActionResponse:
    return ActionResponse(id, cbor.encode(output))


async def test_a_connection_is_the_same_in_the_next_generation() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    (conn,) = task.connections.values()
    await guest.request(0, "remember", {"seat": 4})
    await sleep(task, guest)
    world.log.clear()
    task = await wake(world, guest)
    (restored,) = task.connections.values()
    assert (restored.id, restored.params, restored.attachment) == (conn.id, cbor.NULL, {"seat": 4})
    assert "restore_conn" in world.log
    assert not {"before_connect", "create_conn_state", "on_connect", "on_disconnect"} & set(world.log)


async def test_init_is_said_once() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await sleep(task, guest)
    task = await wake(world, guest)
    await guest.request(0, "echo", "still there")
    assert [type(message) for message in guest.news()] == [Init, ActionResponse]


async def test_subscriptions_last_and_so_does_taking_them_back() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    for event in ("news", "old"):
        await guest.subscribe(event)
    await guest.subscribe("old", on=False)
    await sleep(task, guest)
    guest.news()
    task = await wake(world, guest)
    task.connections.broadcast("old", cbor.encode([]))
    task.connections.broadcast("news", cbor.encode([1]))
    assert guest.news() == [Event("news", cbor.encode([1]))]


async def test_events_before_the_websocket_is_back_wait_for_it() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.subscribe("news")
    await sleep(task, guest)
    guest.news()
    task = world.task()
    await task.start(None, live=[guest.id])
    task.connections.broadcast("news", cbor.encode([1]))
    assert task.sleep.blocker() is SleepBlocker.ACTIVE_CONNECTIONS
    await guest.visit(task, resumed=True)
    assert task.sleep.blocker() is None
    assert guest.news() == [Event("news", cbor.encode([1]))]


async def test_too_many_events_for_an_absent_websocket_close_it() -> None:
    world = world_of(config=ActorConfig(connection_backlog=3))
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.subscribe("news")
    await sleep(task, guest)
    task = world.task()
    await task.start(None, live=[guest.id])
    for number in range(4):
        task.connections.broadcast("news", cbor.encode([number]))
    await guest.visit(task, resumed=True)
    assert guest.pipe.closed == (1011, "actor.overloaded")
    await settle()
    assert len(task.connections) == 0


async def test_a_kept_connection_is_no_reason_to_stay_awake() -> None:
    world = world_of()
    task = await world.started()
    await Guest(world).visit(task)
    await world.clock.advance(11)
    assert world.host.sleep_requests == 1


async def test_an_option_lets_kept_connections_hold_their_actor_awake() -> None:
    world = world_of(config=ActorConfig(sleep_timeout=10.0, hibernatable_conns_block_sleep=True))
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await world.clock.advance(11)
    assert world.host.sleep_requests == 0
    await guest.leave()
    await world.clock.advance(11)
    assert world.host.sleep_requests == 1


async def test_others_are_parted_with_when_the_actor_sleeps() -> None:
    world = world_of()
    task = await world.started()
    guest, stays = Guest(world), Guest(world)
    serving = asyncio.create_task(Session(task, guest.channel).run(None))
    await stays.visit(task)
    await sleep(task, stays)
    assert not await serving
    assert guest.pipe.closed == (1001, "ws.going_away")
    assert world.log.count("on_disconnect") == 1


async def test_where_websockets_cannot_stay_everybody_is_parted_with() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await world.clock.advance(2)
    assert len(await records(world)) == 1
    await task.stop(StopKind.SLEEP, sockets_stay=False)
    assert guest.pipe.closed == (1001, "ws.going_away")
    assert world.log.count("on_disconnect") == 1
    assert await records(world) == []


async def test_destroying_parts_with_everybody() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await task.stop(StopKind.DESTROY)
    assert guest.pipe.closed == (1000, "")
    assert world.log.count("on_disconnect") == 1


async def test_who_left_meanwhile_is_parted_with_at_the_next_start() -> None:
    left: list[object] = []

    async def leave(_: Scripted, conn: Connection) -> None:
        left.append(conn.attachment)

    world = World(Script(actions={"remember": remember}, conn_hooks={"on_disconnect": leave}))
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "remember", "by the window")
    await sleep(task, guest)
    task = world.task()
    await task.start(None)
    assert len(task.connections) == 0
    await settle()
    assert left == ["by the window"]
    assert list(task.left_sockets) == [guest.id]
    await world.clock.advance(2)
    assert await records(world) == []


async def test_a_websocket_that_nobody_knows_is_closed() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task, resumed=True)
    assert guest.pipe.closed == (1011, "connection.restore_not_found")


async def test_a_record_that_cannot_be_read_keeps_nobody_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = world_of()
    await (await world.started()).stop(StopKind.SLEEP)
    await world.storage.apply({conn_key("c"): b"\x09\x00"})
    task = await world.started()
    assert len(task.connections) == 0
    assert "cannot be read" in caplog.text


async def test_a_connection_that_no_longer_fits_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    world = world_of()
    await (await world.started()).stop(StopKind.SLEEP)
    guest = Guest(world)
    record = ConnRecord("c", cbor.NULL, b"\xff", (), *guest.id, 0, 0, "/connect")
    await world.storage.apply({conn_key("c"): encode_conn(record)})
    task = await wake(world, guest)
    assert guest.pipe.closed == (1011, "connection.restore_not_found")
    assert "no longer fits" in caplog.text
    await task.stop(StopKind.SLEEP)
    assert await records(world) == []


async def test_a_state_that_cannot_be_stored_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    (conn,) = task.connections.values()
    conn.attachment = object()
    conn.lend_state()
    await world.clock.advance(2)
    assert guest.pipe.closed == (1011, "actor.hibernation_persist_failed")
    assert "state of a connection cannot be stored" in caplog.text


# Records and acknowledgements


async def test_a_short_visit_costs_no_write() -> None:
    world = world_of()
    task = await world.started()
    await Guest(world).visit(task)
    await world.clock.advance(5)
    await Guest(world).visit(task)
    before = world.store.writes
    guest = Guest(world)
    await guest.visit(task)
    await guest.leave()
    await world.clock.advance(5)
    assert world.store.writes == before


async def test_a_message_is_acknowledged_when_its_effects_are_stored() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.subscribe("news")
    await guest.request(0, "echo", 1)
    assert guest.channel.acked == []
    await world.clock.advance(2)
    assert guest.channel.acked == [2]
    (record,) = await records(world)
    assert (record.server_message_index, record.subscriptions) == (2, ("news",))
    assert (record.request_path, record.request_headers) == ("/connect", {"a": "b"})


async def test_nothing_is_acknowledged_while_storage_fails() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await world.clock.advance(2)
    world.store.fail_next(StorageError("storage", "unavailable"))
    await guest.request(0, "echo", 1)
    assert guest.channel.acked == []
    await world.clock.advance(2)
    assert guest.channel.acked == [1]


async def test_an_unfinished_action_holds_back_those_behind_it() -> None:
    bench = Bench()
    world = world_of(bench)
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "work", "slow")
    await guest.request(1, "echo", 1)
    await world.clock.advance(2)
    assert guest.channel.acked == []
    bench.finish("slow")
    await world.clock.advance(2)
    assert guest.channel.acked == [2]


async def test_what_sleep_cuts_short_is_done_again_and_nothing_else() -> None:
    bench = Bench()
    world = world_of(bench)
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "work", "slow")
    bench.finish("quick")
    await guest.request(1, "work", "quick")
    assert guest.news()[1:] == [answer(1, "quick")]
    stopping = asyncio.create_task(sleep(task, guest))
    await world.clock.advance(3)
    await stopping
    assert guest.news() == []
    bench.finish("slow")
    await wake(world, guest)
    assert guest.news() == [answer(0, "slow")]
    assert bench.ran == [("slow", 1), ("quick", 1), ("slow", 2)]
    await world.clock.advance(2)
    assert guest.channel.acked[-1] == 2


async def test_what_comes_after_sleep_was_asked_for_is_left_to_the_next_generation() -> None:
    bench = Bench()
    world = world_of(bench)
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "doze")
    await guest.request(1, "work", "late")
    bench.finish("late")
    await settle()
    assert bench.ran == []
    await sleep(task, guest)
    guest.news()
    await wake(world, guest)
    assert bench.ran == [("late", 2)]
    assert guest.news() == [answer(1, "late")]


async def test_what_is_cut_short_by_destroying_is_answered() -> None:
    bench = Bench()
    world = world_of(bench)
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "work", "slow")
    stopping = asyncio.create_task(task.stop(StopKind.DESTROY))
    await world.clock.advance(3)
    await stopping
    (_, said) = guest.news()
    assert isinstance(said, ErrorMessage)
    assert said.code == "aborted"


async def test_numbers_wrap_around() -> None:
    bench = Bench()
    world = world_of(bench)
    await (await world.started()).stop(StopKind.SLEEP)
    guest = Guest(world, last=65_533)
    record = ConnRecord("c", cbor.NULL, cbor.NULL, (), *guest.id, 65_533, 7, "/connect")
    await world.storage.apply({conn_key("c"): encode_conn(record)})
    task = await wake(world, guest)
    await guest.request(0, "work", "slow")
    for id in range(1, 5):
        await guest.request(id, "echo", id)
    stopping = asyncio.create_task(sleep(task, guest))
    await world.clock.advance(3)
    await stopping
    bench.finish("slow")
    await wake(world, guest)
    await guest.request(5, "echo", 5)
    assert guest.news() == [answer(id, id) for id in range(1, 5)] + [answer(0, "slow"), answer(5, 5)]
    await world.clock.advance(2)
    assert guest.channel.acked[-1] == 3


async def test_a_crash_forgets_neither_a_message_nor_its_effect_alone() -> None:
    async def add(instance: Scripted, args: list[object]) -> object:
        assert isinstance(instance.state, int)
        instance.state += 1
        return instance.state

    world = World(Script(actions={"add": add}))
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await world.clock.advance(2)
    await guest.request(0, "add")
    await guest.request(1, "add")
    await task.kill()
    await settle()
    assert await world.stored_state() == 1
    guest.news()
    await wake(world, guest)
    assert guest.news() == [answer(1, 2)]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_strict_code_has_answered_is_not_done_again_after_a_crash(fails: bool) -> None:
    async def add(instance: Scripted, _: list[object]) -> object:
        assert isinstance(instance.state, int)
        instance.state += 1
        if fails:
            raise ValueError("on purpose")
        return instance.state

    world = World(Script(actions={"add": add}, config=ActorConfig(durability="strict")))
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await guest.request(0, "add")
    assert len(guest.news()) == 2
    await task.kill()
    await settle()
    await wake(world, guest)
    await guest.request(1, "add")
    assert len(guest.news()) == 1
    await world.clock.advance(2)
    assert await world.stored_state() == 2


async def test_more_connections_than_fit_into_one_write_are_all_stored() -> None:
    world = world_of()
    task = await world.started()
    guests = [Guest(world) for _ in range(300)]
    for guest in guests:
        await guest.visit(task)
    await sleep(task, *guests)
    task = await wake(world, *guests)
    assert len(task.connections) == 300


async def test_a_connection_that_leaves_takes_its_record_along() -> None:
    world = world_of()
    task = await world.started()
    guest = Guest(world)
    await guest.visit(task)
    await world.clock.advance(2)
    assert len(await records(world)) == 1
    await guest.leave()
    await world.clock.advance(2)
    assert await records(world) == []


def test_what_was_acknowledged_is_not_told_again() -> None:
    said: Replay[str] = Replay(65_534)
    for message in ("a", "b", "c"):
        said.add(message)
    assert [said.take(), said.received_index, said.take(), said.received_index] == ["a", 65_535, "b", 0]
    said.ack(65_535)
    said.rewind()
    assert [said.take(), said.take()] == ["b", "c"]
