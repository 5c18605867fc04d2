"""Dispatch: admission, concurrency, budgets and what callers see (actor-runtime 4 and 12)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.factory import ActionSpec
from rivetkit_core.actor.task import StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, StorageError, UserError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import Script, Scripted, World, call, failure_of

NO_ARGUMENTS = cbor.EMPTY_ARRAY


async def echo(_: Scripted, args: list[object]) -> object:
    return args


async def never(_: Scripted, _args: list[object]) -> object:
    await asyncio.Event().wait()
    return None


async def test_an_action_may_release_another_one() -> None:
    released = asyncio.Event()

    async def wait(_: Scripted, _args: list[object]) -> object:
        await released.wait()
        return "waited"

    async def release(_: Scripted, _args: list[object]) -> object:
        released.set()
        return "released"

    task = await World(Script(actions={"wait": wait, "release": release})).started()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(call(task, "wait"))
        await settle()
        assert await call(task, "release") == "released"
        assert await waiting == "waited"


async def test_arguments_and_output_pass_unchanged() -> None:
    task = await World(Script(actions={"echo": echo})).started()
    assert await call(task, "echo", 1, "two", None) == [1, "two", None]


async def test_an_action_that_takes_too_long_is_cancelled() -> None:
    ended: list[str] = []

    async def slow(_: Scripted, _args: list[object]) -> object:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return None

    world = World(Script(actions={"slow": slow}))
    task = await world.started()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(failure_of(call(task, "slow")))
        await world.clock.advance(59.9)
        assert not running.done()
        await world.clock.advance(0.2)
        failure = await running
    assert (failure.group, failure.code) == ("actor", "action_timed_out")
    assert ended == ["cancelled"]


async def test_an_action_may_have_a_budget_of_its_own() -> None:
    world = World(Script(actions={"slow": never}, specs={"slow": ActionSpec(timeout=2.0)}))
    task = await world.started()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(failure_of(call(task, "slow")))
        await world.clock.advance(2.1)
        assert (await running).code == "action_timed_out"


async def test_a_timeout_error_of_the_handler_is_not_taken_for_the_budget() -> None:
    async def fails(_: Scripted, _args: list[object]) -> object:
        raise TimeoutError

    task = await World(Script(actions={"fails": fails})).started()
    assert (await failure_of(call(task, "fails"))).code == "internal_error"


async def test_an_unknown_action_is_named() -> None:
    task = await World(Script()).started()
    failure = await failure_of(call(task, "nope"))
    assert (failure.group, failure.code, failure.metadata) == ("actor", "action_not_found", {"name": "nope"})


async def test_a_plain_exception_is_masked_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def crash(_: Scripted, _args: list[object]) -> object:
        raise RuntimeError("secret dsn")

    task = await World(Script(actions={"crash": crash})).started()
    failure = await failure_of(call(task, "crash"))
    assert (failure.group, failure.code, failure.metadata) == ("rivetkit", "internal_error", None)
    assert "secret" not in str(failure)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "secret dsn" in str(record.exc_info[1] if record.exc_info else None)


async def test_a_user_error_keeps_everything_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_: Scripted, _args: list[object]) -> object:
        raise UserError("too many", code="quota", metadata={"limit": 3})

    task = await World(Script(actions={"refuse": refuse})).started()
    failure = await failure_of(call(task, "refuse"))
    assert (failure.code, failure.message, failure.metadata) == ("quota", "too many", {"limit": 3})
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_user_error_behind_another_exception_is_found() -> None:
    async def refuse(_: Scripted, _args: list[object]) -> object:
        raise RuntimeError("wrapped") from UserError("no", code="quota")

    task = await World(Script(actions={"refuse": refuse})).started()
    assert (await failure_of(call(task, "refuse"))).code == "quota"


async def test_an_error_that_is_not_public_keeps_its_identity_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(_: Scripted, _args: list[object]) -> object:
        raise RivetError("billing", "broken", "secret text")

    task = await World(Script(actions={"refuse": refuse})).started()
    failure = await failure_of(call(task, "refuse"))
    assert (failure.group, failure.code) == ("billing", "broken")
    assert "secret" not in str(failure)
    assert any(record.exc_info for record in caplog.records)


async def test_errors_carry_the_actor() -> None:
    task = await World(Script(actions={"slow": never})).started()
    failure = await failure_of(call(task, "nope"))
    assert failure.actor == task.identity.specifier


async def test_an_error_of_another_actor_keeps_its_origin() -> None:
    other = World(Script())
    origin = (await other.started()).identity.specifier

    async def relay(_: Scripted, _args: list[object]) -> object:
        raise UserError("from afar", actor=origin)

    task = await World(Script(actions={"relay": relay})).started()
    assert (await failure_of(call(task, "relay"))).actor is origin


async def test_a_full_actor_refuses_and_runs_nothing() -> None:
    world = World(Script(actions={"wait": never}, config=ActorConfig(dispatch_inbox_capacity=2)))
    task = await world.started()
    running = [asyncio.create_task(failure_of(call(task, "wait"))) for _ in range(2)]
    await settle()
    world.log.clear()
    failure = await failure_of(call(task, "wait"))
    assert failure.code == "overloaded"
    assert failure.metadata == {"channel": "dispatch_inbox", "capacity": 2, "operation": "wait"}
    assert failure.actor == task.identity.specifier
    assert world.log == []
    await world.clock.advance(61)
    await asyncio.gather(*running)


async def test_an_answered_call_makes_room_for_the_next() -> None:
    task = await World(
        Script(actions={"echo": echo}, config=ActorConfig(dispatch_inbox_capacity=1))
    ).started()
    for _ in range(3):
        assert await call(task, "echo") == []


async def test_cancelling_a_detached_caller_does_not_stop_the_action() -> None:
    release = asyncio.Event()

    async def slow(instance: Scripted, _args: list[object]) -> object:
        await release.wait()
        instance.state = "done"
        return None

    world = World(Script(actions={"slow": slow}))
    task = await world.started()
    caller = asyncio.create_task(task.call_detached("slow", NO_ARGUMENTS, None))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await settle()
    assert world.instance.state == "done"


async def test_cancelling_a_direct_caller_stops_the_action() -> None:
    world = World(Script(actions={"slow": never}))
    task = await world.started()
    caller = asyncio.create_task(call(task, "slow"))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await settle()
    assert task.work.active == 0


async def test_cancelling_a_caller_is_not_hidden_by_a_failing_save() -> None:
    world = World(Script(actions={"slow": never}, config=ActorConfig(durability="strict")))
    task = await world.started()
    caller = asyncio.create_task(call(task, "slow"))
    await settle()
    world.instance.state = "changed"
    world.store.fail_next(StorageError("storage", "unavailable"))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_detached_call_returns_output_and_errors() -> None:
    task = await World(Script(actions={"echo": echo})).started()
    output = await task.call_detached("echo", cbor.encode([5]), None)
    assert cbor.decode(output) == [5]
    assert (await failure_of(task.call_detached("nope", NO_ARGUMENTS, None))).code == "action_not_found"


async def test_a_detached_call_to_a_stopped_actor_says_which() -> None:
    task = await World(Script(actions={"echo": echo})).started()
    await task.stop(StopKind.SLEEP)
    failure = await failure_of(task.call_detached("echo", NO_ARGUMENTS, None))
    assert (failure.code, failure.actor) == ("stopping", task.identity.specifier)


async def test_a_cancellation_that_nobody_asked_for_is_an_internal_error() -> None:
    async def confused(_: Scripted, _args: list[object]) -> object:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner
        return None

    task = await World(Script(actions={"confused": confused})).started()
    assert (await failure_of(call(task, "confused"))).code == "internal_error"


async def test_a_call_runs_over_a_connection_of_its_own() -> None:
    seen: list[int] = []

    async def count(instance: Scripted, _args: list[object]) -> object:
        seen.append(len(instance.context.connections))
        return None

    world = World(Script(actions={"count": count}))
    task = await world.started()
    world.log.clear()
    await call(task, "count")
    await settle()
    assert seen == [1]
    assert world.log == ["before_connect", "create_conn_state", "on_connect", "on_disconnect"]
    assert len(task.connections) == 0


async def test_a_refused_connection_answers_the_call() -> None:
    async def refuse(_: Scripted, conn: Connection) -> None:
        raise UserError("no entry", code="banned")

    world = World(Script(actions={"echo": echo}, conn_hooks={"before_connect": refuse}))
    task = await world.started()
    assert (await failure_of(call(task, "echo"))).code == "banned"
    assert "on_disconnect" not in world.log


async def test_a_call_accepted_before_a_stop_is_not_refused_halfway() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Scripted, conn: Connection) -> None:
        entered.set()
        await release.wait()

    task = await World(Script(actions={"echo": echo}, conn_hooks={"on_connect": slow})).started()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(call(task, "echo", 1))
        await entered.wait()
        stopping = tasks.create_task(task.stop(StopKind.SLEEP))
        await settle()
        release.set()
        assert await running == [1]
        await stopping
