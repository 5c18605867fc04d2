"""Connections and events (actor-runtime 9)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import UserError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, failure_of


async def refuse(_: Scripted, conn: Connection) -> None:
    raise UserError("no", code="refused")


async def hang(_: Scripted, conn: Connection) -> None:
    await asyncio.Event().wait()


def payload(*args: object) -> bytes:
    return cbor.encode(list(args))


async def opened(task: ActorTask, *events: str) -> tuple[Connection, RecordingSink]:
    sink = RecordingSink()
    conn = await task.open_connection(None, sink)
    for event in events:
        task.connections.subscribe(conn, event)
    return conn, sink


async def test_hooks_run_in_order() -> None:
    world = World(Script())
    task = await world.started()
    world.log.clear()
    conn, _ = await opened(task)
    assert world.log == ["before_connect", "create_conn_state", "on_connect"]
    task.close_connection(conn)
    await settle()
    assert world.log[3:] == ["on_disconnect"]


async def test_parameters_reach_the_hooks() -> None:
    task = await World(Script()).started()
    assert (await task.open_connection(cbor.encode({"a": 1}), None)).params == cbor.encode({"a": 1})
    assert (await task.open_connection(None, None)).params == cbor.NULL


async def test_ids_differ() -> None:
    task = await World(Script()).started()
    first, _ = await opened(task)
    second, _ = await opened(task)
    assert first.id != second.id
    assert set(task.connections) == {first.id, second.id}


@pytest.mark.parametrize("hook", ["before_connect", "create_conn_state", "on_connect"])
async def test_a_refused_connection_is_gone_and_sees_no_disconnect(hook: str) -> None:
    world = World(Script(conn_hooks={hook: refuse}))
    task = await world.started()
    assert (await failure_of(task.open_connection(None, None))).code == "refused"
    await settle()
    assert len(task.connections) == 0
    assert "on_disconnect" not in world.log


@pytest.mark.parametrize(
    ("hook", "seconds", "callback"),
    [
        ("before_connect", 10, "on_before_connect"),
        ("create_conn_state", 10, "on_before_connect"),
        ("on_connect", 5, "on_connect"),
    ],
)
async def test_a_connect_hook_has_a_budget(hook: str, seconds: float, callback: str) -> None:
    world = World(Script(conn_hooks={hook: hang}))
    task = await world.started()
    opening = asyncio.create_task(failure_of(task.open_connection(None, None)))
    await world.clock.advance(seconds - 0.1)
    assert not opening.done()
    await world.clock.advance(0.2)
    failure = await opening
    assert failure.code == "callback_timed_out"
    assert len(task.connections) == 0


async def test_the_preflight_budget_is_shared_by_both_hooks() -> None:
    async def slow(instance: Scripted, conn: Connection) -> None:
        await instance.context.clock.sleep(2.5)

    config = ActorConfig(on_before_connect_timeout=1.0, create_conn_state_timeout=4.1)
    world = World(Script(conn_hooks={"before_connect": slow, "create_conn_state": slow}, config=config))
    task = await world.started()
    opening = asyncio.create_task(task.open_connection(None, None))
    await world.clock.advance(5.01)
    assert (await opening).is_open


async def test_a_connection_is_visible_only_after_preflight() -> None:
    seen: dict[str, bool] = {}

    def look(name: str) -> None:
        async def hook(instance: Scripted, conn: Connection) -> None:
            seen[name] = conn.id in instance.context.connections

        hooks[name] = hook

    hooks: dict[str, object] = {}
    for name in ("before_connect", "create_conn_state", "on_connect", "on_disconnect"):
        look(name)
    world = World(Script(conn_hooks=hooks))  # pyright: ignore[reportArgumentType]  # built in a loop
    task = await world.started()
    conn, _ = await opened(task)
    task.close_connection(conn)
    await settle()
    assert seen == {
        "before_connect": False,
        "create_conn_state": False,
        "on_connect": True,
        "on_disconnect": False,
    }


async def test_on_disconnect_runs_once_however_often_it_ends() -> None:
    world = World(Script())
    task = await world.started()
    conn, sink = await opened(task)
    await conn.disconnect("bye")
    await conn.disconnect("again")
    task.close_connection(conn)
    await settle()
    assert world.log.count("on_disconnect") == 1
    assert not conn.is_open
    assert sink.closed is not None


async def test_disconnect_closes_the_transport_with_1000() -> None:
    task = await World(Script()).started()
    conn, sink = await opened(task)
    await conn.disconnect("you are done")
    assert sink.closed == (1000, "you are done")


async def test_a_failing_on_disconnect_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Scripted, conn: Connection) -> None:
        raise RuntimeError("cleanup broke")

    task = await World(Script(conn_hooks={"on_disconnect": fail})).started()
    conn, _ = await opened(task)
    task.close_connection(conn)
    await settle()
    assert "cleanup broke" in caplog.text


async def test_closing_a_connection_that_is_being_set_up_fails_it() -> None:
    async def close(_: Scripted, conn: Connection) -> None:
        conn.close(1000, "changed my mind")

    world = World(Script(conn_hooks={"on_connect": close}))
    task = await world.started()
    assert (await failure_of(task.open_connection(None, RecordingSink()))).code == "aborted"
    assert len(task.connections) == 0


async def test_a_broadcast_reaches_subscribers_only() -> None:
    task = await World(Script()).started()
    _, listening = await opened(task, "news")
    _, elsewhere = await opened(task, "weather")
    task.context.broadcast("news", payload(1))
    assert listening.events == [("news", [1])]
    assert elsewhere.events == []


async def test_unsubscribing_ends_broadcasts() -> None:
    task = await World(Script()).started()
    conn, sink = await opened(task, "news")
    task.connections.unsubscribe(conn, "news")
    task.connections.unsubscribe(conn, "never subscribed")
    task.context.broadcast("news", payload(1))
    assert sink.events == []


async def test_subscribing_twice_delivers_once() -> None:
    task = await World(Script()).started()
    _, sink = await opened(task, "news", "news")
    task.context.broadcast("news", payload(1))
    assert sink.events == [("news", [1])]


async def test_a_direct_event_needs_no_subscription() -> None:
    task = await World(Script()).started()
    conn, sink = await opened(task)
    conn.send("hello", payload("you"))
    assert sink.events == [("hello", ["you"])]


async def test_a_direct_event_to_a_connection_without_a_socket_is_ignored() -> None:
    task = await World(Script()).started()
    conn = await task.open_connection(None, None)
    conn.send("hello", payload("you"))


async def test_direct_and_broadcast_events_keep_their_order() -> None:
    task = await World(Script()).started()
    conn, sink = await opened(task, "news")
    task.context.broadcast("news", payload(1))
    conn.send("hello", payload(2))
    task.context.broadcast("news", payload(3))
    assert [args for _, args in sink.events] == [[1], [2], [3]]


async def test_a_closed_connection_hears_no_broadcasts() -> None:
    task = await World(Script()).started()
    conn, sink = await opened(task, "news")
    task.close_connection(conn)
    task.context.broadcast("news", payload(1))
    assert sink.events == []


async def test_the_map_can_be_walked_while_connections_close() -> None:
    task = await World(Script()).started()
    for _ in range(3):
        await opened(task)
    for conn_id in task.connections:
        task.close_connection(task.connections[conn_id])
    assert len(task.connections) == 0


async def test_state_changed_by_a_hook_is_saved() -> None:
    async def count(instance: Scripted, conn: Connection) -> None:
        instance.state = "gone"

    world = World(Script(conn_hooks={"on_disconnect": count}))
    task = await world.started()
    conn, _ = await opened(task)
    task.close_connection(conn)
    await world.clock.advance(3)
    assert await world.stored_state() == "gone"
