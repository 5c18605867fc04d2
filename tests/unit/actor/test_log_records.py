"""Log records say which actor they are about, and tell no secrets (actor-runtime 13.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import pytest

from rivetkit_core.actor.inspector_token import INSPECTOR_TOKEN_KEY
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call, failure_of

SECRET = "correct horse battery staple"
FIELDS = {"actor_id": World.ACTOR_ID, "actor_name": "scripted", "actor_key": ["a", "b/c"], "generation": 1}


async def everything(actor: Scripted, args: list[object]) -> object:
    """Touch every subsystem with the secret."""
    context, secret = actor.context, cbor.encode(args[0])
    actor.state = args[0]
    await context.kv.put({secret: secret})
    await context.kv.get([secret])
    await context.queue.send("jobs", secret)
    await context.queue.next(timeout=1.0)
    context.broadcast("told", secret)
    await context.set_alarm(10**13)
    await context.save_state()
    return args[0]


async def fail(_actor: Scripted, _args: list[object]) -> object:
    raise RuntimeError("broken")


def shown(records: Iterable[logging.LogRecord]) -> str:
    """Everything that a formatter could show of these records."""
    return "\n".join(f"{record.getMessage()} {record.__dict__!r}" for record in records)


def messages(records: Iterable[logging.LogRecord], **fields: object) -> list[str]:
    return [
        record.getMessage()
        for record in records
        if all(record.__dict__.get(name) == value for name, value in fields.items())
    ]


async def busy_life(world: World) -> None:
    task = await world.started(input=SECRET)
    conn = await task.open_connection(cbor.encode({"password": SECRET}), RecordingSink())
    task.connections.subscribe(conn, "told")
    await task.run_action("everything", cbor.encode([SECRET]), conn)
    await failure_of(call(task, "fail", SECRET))
    await failure_of(call(task, "unknown", SECRET))
    task.close_connection(conn)
    await task.stop(StopKind.SLEEP)
    await failure_of(call(task, "everything", SECRET))


async def test_every_record_carries_the_actors_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await busy_life(World(Script(actions={"everything": everything, "fail": fail})))
    assert len(caplog.records) > 20
    for record in caplog.records:
        if record.name.startswith("rivetkit"):
            assert {name: record.__dict__.get(name) for name in FIELDS} == FIELDS, record.getMessage()


async def test_no_record_holds_a_payload_or_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(Script(actions={"everything": everything, "fail": fail}))
    await busy_life(world)
    token = (await world.storage.load([INSPECTOR_TOKEN_KEY]))[INSPECTOR_TOKEN_KEY].decode()
    text = shown(caplog.records)
    assert SECRET not in text
    assert SECRET.encode().hex() not in text
    assert token not in text


async def test_the_log_tells_an_actors_life(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await busy_life(World(Script(actions={"everything": everything, "fail": fail})))
    records = caplog.records
    assert [
        (record.__dict__["old"], record.__dict__["new"]) for record in records if "old" in record.__dict__
    ] == [
        ("loading", "started"),
        ("started", "sleep_grace"),
        ("sleep_grace", "sleep_finalize"),
        ("sleep_finalize", "terminated"),
    ]
    assert messages(records, command="start", outcome="ok") == ["lifecycle command replied"]
    assert messages(records, command="stop", reason="sleep", outcome="ok") == ["lifecycle command replied"]
    assert "dispatch command received" in messages(records, operation="everything", outcome="enqueued")
    assert messages(records, outcome="rejected_lifecycle", reason="actor.stopping") != []
    assert messages(records, operation="fail", outcome="error") == ["action ended"]
    for message in ("connection added", "connection removed", "state saved", "alarm set", "grace started"):
        assert message in messages(records), message
    assert all("elapsed_us" in record.__dict__ for record in records if record.msg == "state saved")


async def test_a_failure_is_an_error_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    task = await World(Script(actions={"fail": fail})).started()
    await failure_of(call(task, "fail"))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["operation"] == "fail"
    assert record.exc_info is not None


async def test_a_long_end_is_a_warning_that_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script(config=ActorConfig(sleep_grace_period=4.0)))
    task = await world.started()
    task.context.wait_until(asyncio.Event().wait())
    await settle()
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    await world.clock.advance(4.0)
    await stopping
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "the actor takes long to finish its work",
        "shutdown grace period is over, cancelled 1 tasks",
    ]
    for record in warnings:
        assert record.__dict__["reason"] == "sleep"
        assert record.__dict__["work"]["wait_until"] == 1


async def test_a_quick_end_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    task = await World(Script()).started()
    await task.stop(StopKind.SLEEP)
    assert caplog.records == []


def test_fields_of_a_call_are_added_and_win(caplog: pytest.LogCaptureFixture) -> None:
    log = ActorLog(logging.getLogger("rivetkit.actor"), {"actor_id": "a", "reason": "none"})
    log.warning("hello", extra={"room": 3, "reason": "some"})
    (record,) = caplog.records
    assert [record.__dict__[name] for name in ("actor_id", "room", "reason")] == ["a", 3, "some"]
