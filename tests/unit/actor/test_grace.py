"""Between the word that an actor ends and its end (actor-runtime 4.8, 5.4 to 5.8 and 5.10)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.factory import QueueSpec
from rivetkit_core.actor.task import ActorTask, Lifecycle, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call, failure_of

HOOK_OF = {StopKind.SLEEP: "on_sleep", StopKind.DESTROY: "on_destroy"}
KINDS = list(StopKind)


async def never(_: Scripted, _args: list[object] | None = None) -> object:
    await asyncio.Event().wait()
    return None


async def hang(_: Scripted) -> None:
    await asyncio.Event().wait()


async def ping(_: Scripted, _args: list[object]) -> object:
    return "pong"


def stopping(task: ActorTask, kind: StopKind) -> asyncio.Task[None]:
    return asyncio.create_task(task.stop(kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_hook_sees_the_abort_signal(kind: StopKind) -> None:
    seen: list[tuple[bool, Lifecycle]] = []

    async def look(instance: Scripted) -> None:
        seen.append((instance.context.aborted, task.lifecycle))

    task = await World(Script(hooks={HOOK_OF[kind]: look})).started()
    assert not task.context.aborted
    await task.stop(kind)
    grace = Lifecycle.SLEEP_GRACE if kind is StopKind.SLEEP else Lifecycle.DESTROY_GRACE
    assert seen == [(True, grace)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failing_hook_keeps_no_later_step_from_happening(
    kind: StopKind, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(instance: Scripted) -> None:
        instance.state = "changed"
        raise RuntimeError("farewell broke")

    world = World(Script(hooks={HOOK_OF[kind]: fail}))
    task = await world.started()
    sink = RecordingSink()
    await task.open_connection(None, sink)
    await task.stop(kind)
    assert f"{HOOK_OF[kind]} failed" in caplog.text
    assert "farewell broke" in caplog.text
    assert sink.closed is not None
    assert task.lifecycle is Lifecycle.TERMINATED
    if kind is StopKind.SLEEP:
        assert await world.stored_state() == "changed"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hook_without_a_budget_has_the_grace_period(kind: StopKind) -> None:
    world = World(Script(hooks={HOOK_OF[kind]: hang}, config=ActorConfig(sleep_grace_period=3.0)))
    task = await world.started()
    end = stopping(task, kind)
    await world.clock.advance(2.9)
    assert not end.done()
    await world.clock.advance(0.2)
    assert end.done()


async def test_the_older_budget_of_on_sleep_holds(caplog: pytest.LogCaptureFixture) -> None:
    config = ActorConfig(on_sleep_timeout=2.0, sleep_grace_period=10.0)
    world = World(Script(hooks={"on_sleep": hang}, config=config))
    task = await world.started()
    end = stopping(task, StopKind.SLEEP)
    await world.clock.advance(1.9)
    assert not end.done()
    await world.clock.advance(0.2)
    assert end.done()
    assert "callback_timed_out" in caplog.text


async def test_the_budget_of_on_destroy_is_not_cut_short_by_the_grace_period() -> None:
    async def slow(instance: Scripted) -> None:
        await instance.context.clock.sleep(8)
        instance.log.append("cleaned up")

    config = ActorConfig(on_destroy_timeout=9.0, sleep_grace_period=2.0)
    world = World(Script(hooks={"on_destroy": slow}, config=config))
    task = await world.started()
    end = stopping(task, StopKind.DESTROY)
    await world.clock.advance(7.9)
    assert not end.done()
    await world.clock.advance(0.2)
    assert end.done()
    assert world.log[-1] == "cleaned up"


async def test_a_scheduled_action_ends_with_the_grace_period() -> None:
    async def ring(instance: Scripted, _args: list[object]) -> object:
        instance.log.append("ringing")
        await asyncio.Event().wait()
        return None

    world = World(Script(actions={"ring": ring}, config=ActorConfig(sleep_grace_period=3.0)))
    task = await world.started()
    await task.schedule.after(1000, "ring")
    await world.clock.advance(1)
    assert "ringing" in world.log
    end = stopping(task, StopKind.SLEEP)
    await world.clock.advance(2.9)
    assert not end.done()
    await world.clock.advance(0.2)
    assert end.done()


async def test_everything_an_actor_does_still_works_in_on_sleep() -> None:
    async def on_sleep(instance: Scripted) -> None:
        context = instance.context
        instance.state = "slept"
        context.broadcast("news", cbor.encode(["bye"]))
        await context.queue.send("jobs", cbor.encode("later"))
        await context.kv.put({b"a": b"1"})
        await context.schedule.after(60_000, "ping")
        await context.save_state()
        context.wait_until(remember(instance))
        async with context.keep_awake():
            instance.log.append("kept awake")

    async def remember(instance: Scripted) -> None:
        instance.log.append("remembered")

    script = Script(actions={"ping": ping}, hooks={"on_sleep": on_sleep}, queues={"jobs": QueueSpec()})
    world = World(script)
    task = await world.started()
    sink = RecordingSink()
    conn = await task.open_connection(None, sink)
    task.connections.subscribe(conn, "news")
    await task.stop(StopKind.SLEEP)
    assert sink.events == [("news", ["bye"])]
    assert {"kept awake", "remembered"} <= set(world.log)
    assert world.alarm.pushes[-1] == int(world.clock.now() * 1000) + 60_000
    task = await world.started()
    assert world.instance.state == "slept"
    assert await task.context.kv.get([b"a"]) == [b"1"]
    assert await task.context.queue.size() == 1
    assert [event.action for event in task.schedule.list()] == ["ping"]


async def test_what_is_due_is_not_claimed_any_more() -> None:
    async def wait(instance: Scripted) -> None:
        await instance.context.clock.sleep(5)

    world = World(Script(actions={"ping": ping}, hooks={"on_sleep": wait}))
    task = await world.started()
    await task.schedule.after(1000, "ping")
    end = stopping(task, StopKind.SLEEP)
    await world.clock.advance(6)
    await end
    stored = await world.stored()
    assert stored is not None
    assert [event.action for event in stored.scheduled_events] == ["ping"]


@pytest.mark.parametrize("keep", ["keep_awake", "register_task"])
async def test_failing_work_is_logged_and_nothing_else(keep: str, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("work broke")

    async def run(instance: Scripted) -> None:
        if keep == "keep_awake":
            await instance.context.keep_awake().over(fail())
        else:
            instance.context.register_task(fail())

    task = await World(Script(hooks={"run": run})).started()
    await settle()
    assert "work broke" in caplog.text
    assert task.lifecycle is Lifecycle.STARTED
    await task.stop(StopKind.SLEEP)


async def test_destroying_in_on_sleep_asks_the_host() -> None:
    async def on_sleep(instance: Scripted) -> None:
        await instance.context.destroy()

    world = World(Script(actions={"ping": ping}, hooks={"on_sleep": on_sleep}))
    task = await world.started()
    await task.stop(StopKind.SLEEP)
    assert world.host.destroy_requests == 1
    assert (await failure_of(call(task, "ping"))).code == "destroying"


@pytest.mark.parametrize(("kind", "code"), [(StopKind.SLEEP, "stopping"), (StopKind.DESTROY, "destroying")])
async def test_nothing_is_taken_while_the_end_is_written(kind: StopKind, code: str) -> None:
    world = World(Script(actions={"ping": ping}))
    task = await world.started()
    await task.schedule.after(60_000, "ping")
    world.instance.state = "changed"
    world.alarm.gate.clear()  # both kinds of end wait for the alarm, at the latest
    await task.schedule.cancel("nothing")
    world.store.hold_writes()
    end = stopping(task, kind)
    await settle()
    if task.lifecycle is not Lifecycle.TERMINATED:
        expected = Lifecycle.SLEEP_FINALIZE if kind is StopKind.SLEEP else Lifecycle.DESTROYING
        assert task.lifecycle is expected
    assert (await failure_of(call(task, "ping"))).code == code
    assert (await failure_of(task.open_connection(None, None))).code == code
    world.store.release_writes()
    world.alarm.gate.set()
    await end


async def test_what_is_cut_short_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Script(actions={"slow": never}))
    task = await world.started()
    running = asyncio.create_task(failure_of(call(task, "slow")))
    await settle()
    end = stopping(task, StopKind.SLEEP)
    await world.clock.advance(15)
    await asyncio.gather(running, end)
    record = next(record for record in caplog.records if "grace period is over" in record.message)
    assert vars(record)["actor_id"] == World.ACTOR_ID
    assert vars(record)["work"] == {"action": 1}


async def test_the_state_of_a_connection_can_be_read_when_it_is_gone() -> None:
    seen: list[tuple[bool, bytes]] = []

    async def leave(instance: Scripted, conn: Connection) -> None:
        seen.append((conn.id in instance.context.connections, conn.params))

    world = World(Script(conn_hooks={"on_disconnect": leave}))
    task = await world.started()
    await task.open_connection(cbor.encode("ada"), RecordingSink())
    await task.stop(StopKind.SLEEP)
    assert seen == [(False, cbor.encode("ada"))]
