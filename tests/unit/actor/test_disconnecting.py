"""Closing connections, one and many (actor-runtime 9.3)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rivetkit_core.actor.connections import Connection, OutgoingEvent
from rivetkit_core.actor.disconnecting import disconnect_all
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.errors import RivetError, error
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import RecordingSink, Script, World


class BrokenSink:
    """A transport that cannot be closed."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def send_event(self, event: OutgoingEvent) -> None: ...

    def close(self, code: int, reason: str) -> None:
        raise self.failure

    def release(self) -> None: ...


class CountingSink(RecordingSink):
    """Keeps every attempt to close it."""

    def __init__(self) -> None:
        super().__init__()
        self.closes: list[tuple[int, str]] = []

    def close(self, code: int, reason: str) -> None:
        super().close(code, reason)
        self.closes.append((code, reason))


async def opened(task: ActorTask, count: int) -> tuple[list[Connection], list[CountingSink]]:
    sinks = [CountingSink() for _ in range(count)]
    return [await task.open_connection(None, sink) for sink in sinks], sinks


async def test_many_are_closed_and_counted() -> None:
    world = World(Script())
    task = await world.started()
    conns, sinks = await opened(task, 3)
    assert await disconnect_all(conns[:2], "moved") == 2
    await settle()
    assert [sink.closed for sink in sinks] == [(1000, "moved"), (1000, "moved"), None]
    assert list(task.connections.values()) == conns[2:]
    assert world.log.count("on_disconnect") == 2


async def test_none_at_all_are_closed_quietly() -> None:
    assert await disconnect_all([], None) == 0


async def test_all_are_tried_before_failures_are_told_together() -> None:
    world = World(Script())
    task = await world.started()
    (first, last), sinks = await opened(task, 2)
    failures = [error("connection.not_found", conn_id="x"), RuntimeError("torn")]
    broken = [await task.open_connection(None, BrokenSink(failure)) for failure in failures]
    with pytest.raises(RivetError) as caught:
        await disconnect_all([first, *broken, last], "moved")
    assert (caught.value.group, caught.value.code) == ("connection", "disconnect_failed")
    metadata = cast("dict[str, object]", caught.value.metadata)
    assert metadata["count"] == 2
    details = cast("list[dict[str, str]]", metadata["details"])
    assert [(detail["conn_id"], detail["code"]) for detail in details] == [
        (broken[0].id, "not_found"),
        (broken[1].id, "internal_error"),
    ]
    assert [sink.closed for sink in sinks] == [(1000, "moved"), (1000, "moved")]


async def test_a_connection_whose_transport_fails_is_gone_all_the_same() -> None:
    world = World(Script())
    task = await world.started()
    conn = await task.open_connection(None, BrokenSink(RuntimeError("torn")))
    with pytest.raises(RuntimeError, match="torn"):
        await conn.disconnect()
    await settle()
    assert len(task.connections) == 0
    assert world.log.count("on_disconnect") == 1


async def test_a_transport_that_fails_keeps_no_other_from_its_end() -> None:
    world = World(Script())
    task = await world.started()
    await task.open_connection(None, BrokenSink(RuntimeError("torn")))
    _, (sink,) = await opened(task, 1)
    await task.stop(StopKind.SLEEP)
    assert sink.closed == (1001, "ws.going_away")


async def test_of_many_who_disconnect_one_wins() -> None:
    world = World(Script())
    task = await world.started()
    (conn,), (sink,) = await opened(task, 1)
    await asyncio.gather(conn.disconnect("first"), conn.disconnect("second"))
    task.close_connection(conn)
    conn.close(1011, "third")
    await settle()
    assert sink.closes == [(1000, "first")]
    assert world.log.count("on_disconnect") == 1
