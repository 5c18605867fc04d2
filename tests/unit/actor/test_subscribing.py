"""Who may hear which event (actor-runtime 9.6)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import error
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import ConnHook, RecordingSink, Script, Scripted, World, failure_of


def guarded(hook: ConnHook, config: ActorConfig | None = None) -> World:
    return World(Script(conn_hooks={"admit_subscription": hook}, config=config or ActorConfig()))


async def agree(_: Scripted, conn: Connection) -> None: ...


async def refuse(_: Scripted, conn: Connection) -> None:
    raise error("auth.forbidden")


async def hang(_: Scripted, conn: Connection) -> None:
    await asyncio.Event().wait()


async def opened(task: ActorTask) -> tuple[Connection, RecordingSink]:
    sink = RecordingSink()
    return await task.open_connection(None, sink), sink


def heard(task: ActorTask, sink: RecordingSink) -> bool:
    task.context.broadcast("news", cbor.encode([1]))
    return sink.events == [("news", [1])]


async def test_an_actor_that_agrees_is_heard() -> None:
    world = guarded(agree)
    task = await world.started()
    conn, sink = await opened(task)
    await task.subscribe(conn, "news")
    assert world.log[-1] == "admit_subscription"
    assert heard(task, sink)


async def test_whoever_was_refused_hears_nothing() -> None:
    task = await guarded(refuse).started()
    conn, sink = await opened(task)
    failure = await failure_of(task.subscribe(conn, "news"))
    assert (failure.group, failure.code) == ("auth", "forbidden")
    assert not heard(task, sink)
    assert conn.subscriptions == set()


async def test_an_actor_that_does_not_guard_is_not_asked() -> None:
    world = World(Script())
    task = await world.started()
    conn, sink = await opened(task)
    await task.subscribe(conn, "news")
    assert "subscribe news" not in world.log
    assert heard(task, sink)


async def test_every_subscription_asks_again() -> None:
    world = guarded(agree)
    task = await world.started()
    conn, _ = await opened(task)
    await task.subscribe(conn, "news")
    await task.subscribe(conn, "news")
    assert world.log.count("subscribe news") == 2


async def test_what_a_hook_raises_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Scripted, conn: Connection) -> None:
        raise RuntimeError("secret")

    task = await guarded(fail).started()
    conn, _ = await opened(task)
    failure = await failure_of(task.subscribe(conn, "news"))
    assert (failure.group, failure.code) == ("rivetkit", "internal_error")
    assert "secret" not in failure.message
    assert "secret" in caplog.text


async def test_the_question_has_the_budget_of_on_before_connect() -> None:
    world = guarded(hang, ActorConfig(on_before_connect_timeout=2.0))
    task = await world.started()
    conn, sink = await opened(task)
    asking = asyncio.create_task(failure_of(task.subscribe(conn, "news")))
    await world.clock.advance(1.9)
    assert not asking.done()
    await world.clock.advance(0.2)
    assert (await asking).code == "callback_timed_out"
    assert not heard(task, sink)


async def test_a_connection_that_closes_meanwhile_is_not_subscribed() -> None:
    release = asyncio.Event()

    async def wait(_: Scripted, conn: Connection) -> None:
        await release.wait()

    task = await guarded(wait).started()
    conn, sink = await opened(task)
    asking = asyncio.create_task(task.subscribe(conn, "news"))
    await settle()
    task.close_connection(conn)
    release.set()
    await asking
    assert conn.subscriptions == set()
    assert not heard(task, sink)


async def test_state_changed_by_the_hook_is_saved() -> None:
    async def count(instance: Scripted, conn: Connection) -> None:
        instance.state = "asked"

    world = guarded(count)
    task = await world.started()
    conn, _ = await opened(task)
    await task.subscribe(conn, "news")
    await world.clock.advance(3)
    assert await world.stored_state() == "asked"


async def test_a_strict_refusal_is_seen_after_its_state_is_stored() -> None:
    async def count_and_refuse(instance: Scripted, conn: Connection) -> None:
        instance.state = "refused one"
        raise error("auth.forbidden")

    world = guarded(count_and_refuse, ActorConfig(durability="strict"))
    task = await world.started()
    conn, _ = await opened(task)
    await failure_of(task.subscribe(conn, "news"))
    assert await world.stored_state() == "refused one"


async def test_the_end_of_the_grace_period_ends_the_question() -> None:
    world = guarded(hang, ActorConfig(sleep_grace_period=1.0))
    task = await world.started()
    conn, _ = await opened(task)
    asking = asyncio.create_task(failure_of(task.subscribe(conn, "news")))
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await world.clock.advance(1.1)
    assert (await asking).code == "aborted"
    await stopping


async def test_a_question_asked_while_the_actor_goes_to_sleep_is_answered() -> None:
    async def wait(_: Scripted) -> None:
        await release.wait()

    release = asyncio.Event()
    script = Script(hooks={"on_sleep": wait}, conn_hooks={"admit_subscription": agree})
    task = await World(script).started()
    conn, sink = await opened(task)
    stopping = asyncio.create_task(task.stop(StopKind.SLEEP))
    await settle()
    await task.subscribe(conn, "news")
    assert heard(task, sink)
    release.set()
    await stopping
