"""Schedules of actors that are awake, and those that survive a restart (actor-runtime 8)."""

from __future__ import annotations

from tests.contract.actors import Probe
from tests.contract.client import RawClient, by_key, error_of
from tests.contract.hosts import also_in_tables
from tests.contract.serving import Serving

pytestmark = also_in_tables


TARGET = by_key("planner", "a")
DAILY = ["daily", "0 9 * * *", "Europe/Berlin", None, ["daily"]]


async def test_a_one_shot_runs_and_is_gone(client: RawClient, probe: Probe) -> None:
    await client.call(TARGET, "plan", 0.05, "hi")
    assert await probe.rang.get() == "hi at 1"
    assert await client.call(TARGET, "planned") == []
    assert await client.call(TARGET, "read") == ["hi"]


async def test_a_time_in_the_past_is_due_at_once(client: RawClient, probe: Probe) -> None:
    await client.call(TARGET, "plan_at", 0.0, "late")
    assert await probe.rang.get() == "late at 1"


async def test_one_shots_run_in_the_order_in_which_they_are_due(client: RawClient, probe: Probe) -> None:
    await client.call(TARGET, "plan", 0.1, "second")
    await client.call(TARGET, "plan", 0.05, "first")
    assert [await probe.rang.get(), await probe.rang.get()] == ["first at 1", "second at 1"]


async def test_a_cancelled_one_shot_is_gone(client: RawClient) -> None:
    planned = await client.call(TARGET, "plan", 3600.0, "never")
    assert await client.call(TARGET, "planned") == [planned]
    assert await client.call(TARGET, "cancel", planned) is True
    assert await client.call(TARGET, "cancel", planned) is False
    assert await client.call(TARGET, "planned") == []


async def test_a_one_shot_with_retries_is_tried_again(client: RawClient, probe: Probe) -> None:
    await client.call(TARGET, "plan_retried")
    assert [await probe.rang.get(), await probe.rang.get()] == ["try 1", "try 2"]


async def test_what_was_planned_survives_a_restart(host: Serving, probe: Probe) -> None:
    planned = await host.client.call(TARGET, "plan", 3600.0, "later")
    await host.client.call(TARGET, "set_daily", "0 9 * * *", "Europe/Berlin")
    await host.restart()
    assert await host.client.call(TARGET, "planned") == [planned]
    assert await host.client.call(TARGET, "recurring") == [DAILY]


async def test_what_is_overdue_runs_when_the_actor_starts_again(host: Serving, probe: Probe) -> None:
    await host.client.call(TARGET, "plan", 0.2, "overdue")
    await host.restart()
    await host.client.call(TARGET, "read")
    assert await probe.rang.get() == "overdue at 1"
    assert await host.client.call(TARGET, "planned") == []


async def test_a_recurring_schedule_is_replaced_and_deleted_by_name(client: RawClient) -> None:
    await client.call(TARGET, "set_daily", "0 8 * * *", "UTC")
    await client.call(TARGET, "set_daily", "0 9 * * *", "Europe/Berlin")
    await client.call(TARGET, "set_every", 60.0)
    assert await client.call(TARGET, "recurring") == [DAILY, ["often", None, None, 60.0, ["often"]]]
    assert await client.call(TARGET, "drop", "daily") is True
    assert await client.call(TARGET, "drop", "daily") is False
    assert await client.call(TARGET, "runs", "daily") == 0


async def test_mistakes_are_told_to_the_caller(client: RawClient) -> None:
    failed = await client.post(TARGET, "set_daily", "0 9 * *", "UTC")
    assert (failed.status_code, error_of(failed)) == (400, "schedule.invalid_cron_expression")
    failed = await client.post(TARGET, "set_daily", "0 9 * * *", "Mars/Olympus")
    assert (failed.status_code, error_of(failed)) == (400, "schedule.invalid_timezone")
    failed = await client.post(TARGET, "set_every", 1.0)
    assert (failed.status_code, error_of(failed)) == (400, "schedule.invalid_interval")
