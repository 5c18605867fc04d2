"""What an actor counts while it lives (actor-runtime 13.1)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.metrics.process import actor_families
from rivetkit_core.metrics.series import Counter, Histogram
from rivetkit_core.testing import settle
from tests.unit.actor.scripted import RecordingSink, Script, Scripted, World, call, failure_of


def read(task: ActorTask, name: str, *labels: str) -> float | None:
    """The value of a series, of a histogram how much it observed; None if there is none."""
    for family in actor_families(task.metrics):
        if family.name == name:
            found = family.samples.get((World.ACTOR_ID, "scripted", *labels))
            if isinstance(found, Histogram):
                return found.count
            return found.value if isinstance(found, Counter) else found
    raise AssertionError(f"there is no metric {name}")


async def take(actor: Scripted, _args: list[object]) -> object:
    message = await actor.context.queue.next(timeout=5.0)
    return message is not None


async def send(actor: Scripted, _args: list[object]) -> object:
    await actor.context.queue.send("jobs", b"\xf6")
    return None


async def fail(_actor: Scripted, _args: list[object]) -> object:
    raise RuntimeError("broken")


async def test_calls_and_failures_are_counted_by_action() -> None:
    task = await World(Script(actions={"fail": fail, "send": send})).started()
    await failure_of(call(task, "fail"))
    await failure_of(call(task, "unknown"))
    await call(task, "send")
    assert read(task, "action_call_total", "fail") == 1
    assert read(task, "action_error_total", "fail") == 1
    assert read(task, "action_error_total", "send") == 0
    assert read(task, "action_duration_seconds", "send") == 1
    assert read(task, "action_call_total", "unknown") is None
    assert read(task, "user_task_duration_seconds", "action") == 2


async def test_an_action_that_runs_is_active_and_takes_its_time() -> None:
    world = World(Script(actions={"take": take}))
    task = await world.started()
    running = asyncio.create_task(call(task, "take"))
    await settle()
    assert read(task, "user_tasks_active", "action") == 1
    assert read(task, "user_tasks_active", "queue_wait") == 1
    assert read(task, "dispatch_inbox_depth") == 1
    await world.clock.advance(5.0)
    assert await running is False
    assert read(task, "user_tasks_active", "action") == 0
    assert read(task, "user_task_duration_seconds", "queue_wait") == 1
    duration = task.metrics.histogram("action_duration_seconds", "take")
    assert duration.total == pytest.approx(5.0)


async def test_messages_are_counted_as_they_come_and_go() -> None:
    task = await World(Script(actions={"send": send, "take": take})).started()
    for name in ("send", "send", "take"):
        await call(task, name)
    assert read(task, "queue_messages_sent_total") == 2
    assert read(task, "queue_messages_received_total") == 1
    assert read(task, "queue_depth") == 1


async def test_connections_are_counted_when_they_are_admitted() -> None:
    task = await World(Script()).started()
    conn = await task.open_connection(None, RecordingSink())
    assert (read(task, "active_connections"), read(task, "connections_total")) == (1, 1)
    task.close_connection(conn)
    assert (read(task, "active_connections"), read(task, "connections_total")) == (0, 1)


async def test_a_refused_call_counts_as_overload_without_its_name() -> None:
    world = World(Script(actions={"take": take}, config=ActorConfig(dispatch_inbox_capacity=1)))
    task = await world.started()
    running = asyncio.create_task(call(task, "take"))
    await settle()
    assert (await failure_of(call(task, "whatever"))).code == "overloaded"
    assert read(task, "dispatch_inbox_overload_total", "action") == 1
    running.cancel()
    await asyncio.wait([running])


async def test_the_hooks_of_a_start_are_timed() -> None:
    world = World(Script())

    async def slow(_: Scripted) -> None:
        await world.clock.sleep(2.0)

    world.script = Script(hooks={"on_wake": slow})
    task = world.task()
    starting = asyncio.create_task(task.start(None))
    await settle()
    await world.clock.advance(2.0)
    await starting
    assert read(task, "on_wake_ms") == pytest.approx(2000)
    assert read(task, "create_state_ms") == 0
    assert read(task, "total_startup_ms") == pytest.approx(2000)


async def test_background_work_is_timed_and_shown() -> None:
    world = World(Script())
    task = await world.started()
    task.context.wait_until(world.clock.sleep(3.0))
    await settle()
    assert read(task, "user_tasks_active", "wait_until") == 1
    assert read(task, "shutdown_tasks_active") == 1
    await world.clock.advance(3.0)
    await settle()
    assert read(task, "user_tasks_active", "wait_until") == 0
    assert read(task, "user_task_duration_seconds", "wait_until") == 1


async def test_changes_of_the_snapshot_and_saves_are_counted() -> None:
    world = World(Script())
    task = await world.started(input="hello")
    assert read(task, "state_mutation_total", "input_set") == 1
    assert read(task, "state_mutation_total", "has_initialized") == 1
    assert read(task, "state_mutation_total", "internal_replace") == 1
    world.instance.state = "changed"
    await task.context.save_state()
    saved = read(task, "state_save_duration_seconds", "success")
    assert saved is not None
    assert saved >= 2


@pytest.mark.parametrize("kind", list(StopKind))
async def test_an_end_is_counted_with_its_reason(kind: StopKind) -> None:
    world = World(Script(config=ActorConfig(sleep_grace_period=4.0)))
    task = await world.started()
    task.context.wait_until(asyncio.Event().wait())
    await settle()
    stopping = asyncio.create_task(task.stop(kind))
    await settle()
    await world.clock.advance(4.0)
    await stopping
    assert read(task, "shutdown_timeout_total", kind.value) == 1
    waited = task.metrics.histogram("shutdown_wait_seconds", kind.value)
    assert waited.total == pytest.approx(4.0)


async def test_a_generation_is_counted_while_it_lives() -> None:
    world = World(Script())
    task = await world.started()
    assert b'rivet_rivetkit_actor_active_count{actor_name="scripted"} 1\n' in world.metrics.text()
    await task.stop(StopKind.SLEEP)
    text = world.metrics.text()
    assert b'actor_active_count{actor_name="scripted"} 0\n' in text
    assert b'rivet_rivetkit_actor_stopped_total{actor_name="scripted"} 1\n' in text
    phase = b'phase="runtime_preamble",is_new="true",outcome="success"'
    assert b"startup_phase_duration_seconds_count{actor_name=" + b'"scripted",' + phase + b"} 1\n" in text


async def test_a_start_that_fails_is_timed_and_leaves_no_actor() -> None:

    async def fail_to_wake(_: Scripted) -> None:
        raise RuntimeError("no")

    world = World(Script(hooks={"on_wake": fail_to_wake}))
    await failure_of(world.task().start(None))
    text = world.metrics.text()
    assert b'phase="total",is_new="true",outcome="error"} 1\n' in text
    assert b'actor_active_count{actor_name="scripted"} 0\n' in text
    assert b'actor_started_total{actor_name="scripted"} 0\n' in text
