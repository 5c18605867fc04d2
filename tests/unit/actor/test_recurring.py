"""Recurring schedules: cadence, overlap, catching up, history (actor-runtime 8.2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rivetkit_core.actor import history
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import StorageError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import ACTOR_KEY
from rivetkit_core.wire.schedule_records import Job, decode_job, encode_job, job_key
from tests.unit.actor.scripted import Script, Scripted, World, failure_of

HOUR = 3_600_000


def recurring(**options: object) -> World:
    """An actor with the actions ``tick``, which logs, ``fail`` and ``slow``, which takes 12 s."""

    async def tick(actor: Scripted, args: list[object]) -> object:
        actor.log.append(f"tick {args}")
        return None

    async def fail(actor: Scripted, _: list[object]) -> object:
        raise RuntimeError("secret")

    async def slow(actor: Scripted, _: list[object]) -> object:
        actor.log.append("tick slow")
        await actor.context.clock.sleep(12)
        return None

    actions = {"tick": tick, "fail": fail, "slow": slow}
    return World(Script(actions=actions, config=ActorConfig.from_input(options)))


def ticks(world: World) -> int:
    return sum(entry.startswith("tick") for entry in world.log)


async def results(actor: ActorTask, name: str, limit: int = 20) -> list[str]:
    return [row.result for row in await actor.schedule.cron.history(name, limit)]


async def test_an_interval_ticks_first_after_one_interval() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 10_000, "tick", cbor.encode([1]))
    await world.clock.advance(9.9)
    assert ticks(world) == 0
    await world.clock.advance(0.1)
    assert world.log[-1] == "tick [1]"
    await world.clock.advance(50)
    assert ticks(world) == 6


async def test_a_month_of_hourly_runs_takes_no_time() -> None:
    world = recurring(max_schedules=10)
    actor = await world.started()
    await actor.schedule.cron.set("hourly", "0 * * * *", "tick")
    await world.clock.advance(days=30)
    assert ticks(world) == 720
    assert await results(actor, "hourly", 1000) == ["ok"] * 100


async def test_cron_follows_the_clock_of_its_time_zone() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.set("nine", "0 9 * * *", "tick", timezone="Europe/Berlin")
    job = actor.schedule.cron.get("nine")
    assert job is not None and job.next_at is not None
    assert datetime.fromtimestamp(job.next_at / 1000, UTC).isoformat() == "2026-01-01T08:00:00+00:00"


async def test_missed_ticks_are_one_run_and_the_grid_stays() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 10_000, "tick")
    job = actor.schedule.cron.get("beat")
    assert job is not None and job.next_at is not None
    first = job.next_at
    await actor.stop(StopKind.SLEEP)
    await world.clock.advance(57)
    actor = await world.started()
    await settle()
    assert ticks(world) == 1
    [row] = await actor.schedule.cron.history("beat")
    assert (row.scheduled_at, row.fired_at) == (first, first + 47_000)
    job = actor.schedule.cron.get("beat")
    assert job is not None and job.next_at == first + 50_000


async def test_a_tick_during_a_run_is_skipped() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("slow", 5000, "slow")
    await world.clock.advance(19)
    assert await results(actor, "slow") == ["skipped", "skipped", "ok"]
    await world.clock.advance(1)
    assert await results(actor, "slow") == ["running", "skipped", "skipped", "ok"]
    assert ticks(world) == 2


async def test_different_names_run_at_the_same_time() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("a", 5000, "slow")
    await actor.schedule.cron.every("b", 5000, "slow")
    await world.clock.advance(5)
    assert ticks(world) == 2


async def test_a_failed_run_says_why_as_clients_see_it() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("fail", 5000, "fail")
    await world.clock.advance(5)
    [row] = await actor.schedule.cron.history("fail")
    assert row.result == "error" and row.error is not None
    assert (row.error.group, row.error.code) == ("rivetkit", "internal_error")
    assert "secret" not in row.error.message


async def test_an_action_that_awaits_something_cancelled_does_not_block_the_next_run() -> None:
    world = recurring()

    async def cancelled(actor: Scripted, _: list[object]) -> object:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        return None

    world.script.actions = {**world.script.actions, "cancelled": cancelled}
    actor = await world.started()
    await actor.schedule.cron.every("c", 5000, "cancelled")
    await world.clock.advance(10)
    assert await results(actor, "c") == ["error", "error"]


async def test_an_unchanged_cadence_keeps_the_next_tick() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 10_000, "tick")
    await world.clock.advance(6)
    await actor.schedule.cron.every("beat", 10_000, "slow")
    await world.clock.advance(4)
    assert world.log[-1] == "tick slow"


async def test_a_changed_cadence_counts_from_now() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 10_000, "tick")
    await world.clock.advance(6)
    await actor.schedule.cron.every("beat", 20_000, "tick")
    await world.clock.advance(19.9)
    assert ticks(world) == 0
    await world.clock.advance(0.1)
    assert ticks(world) == 1


async def test_recurring_schedules_survive_the_end_of_the_generation() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.set("daily", "0 12 * * *", "tick", cbor.encode(["x"]), max_history=7)
    before = actor.schedule.cron.list()
    await actor.stop(StopKind.SLEEP)
    actor = await world.started()
    assert actor.schedule.cron.list() == before
    await world.clock.advance(days=1)
    assert world.log[-1] == "tick ['x']"


async def test_they_never_enter_the_snapshot() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 10_000, "tick")
    stored = await world.stored()
    assert stored is not None and stored.scheduled_events == ()
    private = [key for key in world.store.records[World.ACTOR_ID] if key.startswith(b"\x70\x79\x01")]
    assert len(private) == 2


async def test_deleting_removes_the_schedule_and_its_history() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 5000, "tick")
    await world.clock.advance(20)
    assert await actor.schedule.cron.delete("beat")
    assert not await actor.schedule.cron.delete("beat")
    await world.clock.advance(20)
    assert ticks(world) == 4
    assert await actor.schedule.cron.history("beat") == []
    keys = [key for key in world.store.records[World.ACTOR_ID] if key.startswith(b"\x70\x79\x01")]
    assert keys == [b"\x70\x79\x01s"]


async def test_a_run_cut_short_is_interrupted() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("slow", 5000, "slow")
    await world.clock.advance(5)
    await actor.kill()
    actor = await world.started()
    [row] = await actor.schedule.cron.history("slow")
    assert row.result == "error" and row.error is not None
    assert (row.error.group, row.error.code) == ("schedule", "interrupted")
    await world.clock.advance(5)
    assert (await results(actor, "slow"))[0] == "running"


async def test_an_interruption_that_cannot_be_noted_does_not_keep_the_actor_from_starting() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("slow", 5000, "slow")
    await world.clock.advance(5)
    await actor.kill()
    world.store.fail_next(StorageError("storage", "unavailable"))
    actor = await world.started()
    await actor.kill()
    actor = await world.started()
    [row] = await actor.schedule.cron.history("slow")
    assert row.error is not None and row.error.code == "interrupted"
    await world.clock.advance(5)
    assert (await results(actor, "slow"))[0] == "running"


async def test_a_schedule_whose_action_is_gone_ends_and_says_so() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("beat", 5000, "tick")
    await actor.stop(StopKind.SLEEP)
    world.script.actions = {"slow": world.script.actions["slow"]}
    actor = await world.started()
    await world.clock.advance(10)
    assert actor.schedule.cron.list() == []
    [row] = await actor.schedule.cron.history("beat")
    assert row.error is not None and row.error.code == "action_not_found"
    await actor.schedule.cron.every("beat", 5000, "slow")
    await world.clock.advance(5)
    assert await results(actor, "beat") == ["running", "error"]


async def test_history_is_limited_and_may_be_off() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("few", 5000, "tick", max_history=3)
    await actor.schedule.cron.every("none", 5000, "tick", max_history=0)
    await world.clock.advance(50)
    assert await results(actor, "few") == ["ok"] * 3
    assert await results(actor, "none") == []
    await actor.schedule.cron.every("few", 5000, "tick", max_history=1)
    assert await results(actor, "few") == ["ok"]
    rows = [key for key in world.store.records[World.ACTOR_ID] if key.startswith(b"\x70\x79\x01h")]
    assert len(rows) == 1


async def test_a_run_without_history_overlaps_nothing_either() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("slow", 5000, "slow", max_history=0)
    await world.clock.advance(16)
    assert ticks(world) == 1
    await world.clock.advance(4)
    assert ticks(world) == 2


async def test_all_histories_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "TOTAL_ROWS", 300)
    monkeypatch.setattr(history, "_PRUNED_ROWS", 250)
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("long", 5000, "tick", max_history=1000)
    await actor.schedule.cron.every("short", 100_000, "tick", max_history=1000)
    await world.clock.advance(2100)
    assert len(await results(actor, "short", 1000)) == 21
    rows = [key for key in world.store.records[World.ACTOR_ID] if key.startswith(b"\x70\x79\x01h")]
    assert 250 <= len(rows) <= 400


async def test_recurring_schedules_count_towards_max_schedules() -> None:
    world = recurring(max_schedules=2)
    actor = await world.started()
    await actor.schedule.cron.every("a", 5000, "tick")
    await actor.schedule.after(60_000, "tick")
    refused = await failure_of(actor.schedule.cron.every("b", 5000, "tick"))
    assert refused.code == "max_schedules_exceeded"
    await actor.schedule.cron.every("a", 6000, "tick")
    assert (await failure_of(actor.schedule.after(1, "tick"))).code == "max_schedules_exceeded"


@pytest.mark.parametrize("name", ["", "x" * 129, "ä" * 65, "\ud800"])
async def test_a_name_has_1_to_128_bytes(name: str) -> None:
    actor = await recurring().started()
    refused = await failure_of(actor.schedule.cron.every(name, 5000, "tick"))
    assert refused.code == "invalid_name"


@pytest.mark.parametrize("max_history", [-1, 1001])
async def test_a_history_has_at_most_a_thousand_rows(max_history: int) -> None:
    actor = await recurring().started()
    refused = await failure_of(actor.schedule.cron.every("a", 5000, "tick", max_history=max_history))
    assert (refused.code, refused.metadata) == (
        "invalid_max_history",
        {"max_history": max_history, "maximum": 1000},
    )


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_history_is_read_in_pages(limit: int) -> None:
    actor = await recurring().started()
    assert (await failure_of(actor.schedule.cron.history("a", limit))).code == "invalid_history_limit"


async def test_a_damaged_schedule_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.every("a", 5000, "tick")
    await actor.schedule.cron.every("b", 5000, "tick")
    await actor.stop(StopKind.SLEEP)
    world.store.records[World.ACTOR_ID][job_key(0)] = b"\x09\x00"
    actor = await world.started()
    assert [job.name for job in actor.schedule.cron.list()] == ["b"]
    assert "invalid_schedule_row" in caplog.text
    assert world.store.records[World.ACTOR_ID][job_key(0)] == b"\x09\x00"


async def test_a_time_zone_that_is_gone_ends_the_schedule_and_no_other() -> None:
    world = recurring()
    actor = await world.started()
    await actor.schedule.cron.set("a", "* * * * *", "tick")
    await actor.schedule.cron.every("b", 60_000, "tick")
    await actor.stop(StopKind.SLEEP)
    records = world.store.records[World.ACTOR_ID]
    records[job_key(0)] = encode_job(replace(decode_job(records[job_key(0)]), timezone="Gone/Away"))
    actor = await world.started()
    await world.clock.advance(60)
    assert [job.name for job in actor.schedule.cron.list()] == ["b"]
    assert ticks(world) == 1
    [row] = await actor.schedule.cron.history("a")
    assert row.error is not None and row.error.code == "invalid_timezone"


async def test_what_on_create_sets_is_stored_with_the_initialization() -> None:
    world = recurring()

    async def on_create(actor: Scripted) -> None:
        await actor.context.schedule.cron.every("beat", 5000, "tick")
        assert World.ACTOR_ID not in world.store.records

    world.script.hooks = {"on_create": on_create}
    await world.started()
    assert {ACTOR_KEY, job_key(0)} <= set(world.store.records[World.ACTOR_ID])
    await world.clock.advance(5)
    assert ticks(world) == 1


def test_a_schedule_reads_back_as_it_was_written() -> None:
    job = Job(slot=3, name="ä", kind="cron", action="a", args=b"\x81\x01", next_at=5, expression="* * * * *")
    assert decode_job(encode_job(job)) == job
