from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from examples.scheduler.app import KEPT, Reminders, registry
from rivetkit import ActorHandle, Registry, UserError
from rivetkit.testing import RivetTest


@pytest.fixture
def rivet_registry() -> Registry:
    return registry


@pytest.fixture
def mine(rivet: RivetTest) -> ActorHandle[Reminders]:
    return rivet.client.get_or_create(Reminders, "ada")


async def texts(mine: ActorHandle[Reminders]) -> list[str]:
    return [reminder.text for reminder in await mine.call(Reminders.given)]


async def test_a_reminder_comes_after_a_month_of_sleep(
    rivet: RivetTest, mine: ActorHandle[Reminders]
) -> None:
    await mine.call(Reminders.remind_in, "pay the rent", timedelta(days=30))
    await rivet.clock.advance(days=29)
    assert not await rivet.is_awake(mine)
    await rivet.clock.advance(days=1)
    [given] = await mine.call(Reminders.given)
    assert (given.text, given.at) == ("pay the rent", rivet.clock.now())


async def test_a_reminder_comes_although_the_process_died(
    rivet: RivetTest, mine: ActorHandle[Reminders]
) -> None:
    await mine.call(Reminders.remind_at, "tea", rivet.clock.now() + timedelta(hours=1))
    await rivet.crash(mine)
    await rivet.clock.advance(hours=1)
    assert await texts(mine) == ["tea"]


@pytest.mark.rivet(start=datetime(2026, 3, 1, tzinfo=UTC))
async def test_a_daily_reminder_follows_the_clocks_of_its_city(
    rivet: RivetTest, mine: ActorHandle[Reminders]
) -> None:
    await mine.call(Reminders.remind_daily, "standup", "stand up", time(9, 30), timezone="Europe/Berlin")
    await rivet.clock.advance_to(datetime(2026, 3, 31, tzinfo=UTC))  # clocks went forward on the 29th
    given = [reminder.at for reminder in await mine.call(Reminders.given)]
    assert given[-4:-2] == [datetime(2026, 3, day, 8, 30, tzinfo=UTC) for day in (27, 28)]
    assert given[-2:] == [datetime(2026, 3, day, 7, 30, tzinfo=UTC) for day in (29, 30)]


async def test_plans_are_listed_and_can_be_dropped(rivet: RivetTest, mine: ActorHandle[Reminders]) -> None:
    later = await mine.call(Reminders.remind_in, "later", timedelta(days=2))
    await mine.call(Reminders.remind_in, "soon", timedelta(minutes=5))
    await mine.call(Reminders.remind_daily, "lunch", "eat", time(12, 0))
    assert [plan.text for plan in await mine.call(Reminders.planned)] == ["soon", "eat", "later"]
    assert await mine.call(Reminders.cancel, later)
    assert await mine.call(Reminders.stop_daily, "lunch")
    await rivet.clock.advance(days=3)
    assert await texts(mine) == ["soon"]
    assert await mine.call(Reminders.planned) == []


async def test_who_is_connected_is_reminded_at_once(rivet: RivetTest, mine: ActorHandle[Reminders]) -> None:
    async with mine.connect() as conn, conn.events(Reminders.due) as due:
        await conn.call(Reminders.remind_in, "tea", timedelta(hours=1))
        await rivet.clock.advance(hours=1)
        assert (await anext(due)).text == "tea"


async def test_only_the_last_reminders_are_kept(mine: ActorHandle[Reminders]) -> None:
    for number in range(KEPT + 1):
        await mine.call(Reminders.give, str(number))
    assert (await texts(mine))[0] == "1"


@pytest.mark.parametrize("mistake", ["past", "zone"])
async def test_what_cannot_be_planned_is_refused(
    rivet: RivetTest, mine: ActorHandle[Reminders], mistake: str
) -> None:
    with pytest.raises(UserError, match=r"has passed|no time zone 'Moon'"):
        if mistake == "past":
            await mine.call(Reminders.remind_at, "tea", rivet.clock.now())
        else:
            await mine.call(Reminders.remind_daily, "tea", "tea", time(16), timezone="Moon")
