"""``self.ctx.schedule``: typed plans, on virtual time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from rivetkit import ActionRef, Actor, Client, Retries, Retry, Schedule, ValidationError, action
from rivetkit._compiler import compile_actor
from rivetkit._hosting import local_client
from rivetkit._planning import milliseconds, timestamp
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.testing import FakeClock, MemoryStore


class Room(Actor):
    state: list[str]

    @action
    async def post(self, text: str, times: int = 1) -> None:
        fire = self.ctx.scheduled_fire
        origin = "called" if fire is None else f"{fire.kind} {fire.attempt}"
        self.state.append(f"{text * times} ({origin})")

    @action
    async def relay(self) -> None:
        assert self.ctx.scheduled_fire is not None
        await self.ctx.client.get_or_create(Room, "b").call(Room.post, "relayed")

    @action
    async def plan_relay(self) -> None:
        await self.ctx.schedule.after(1.0, Room.relay)

    @action
    async def set_recurring(self) -> None:
        cron = self.ctx.schedule.cron.with_options(timezone="Asia/Tokyo", max_history=2)
        await cron.set("daily", "0 9 * * *", Room.post, "daily")
        await cron.every("often", timedelta(minutes=5), Room.post, "often", times=2)
        await cron.every_by_name("wrong", 300.0, "post", 5)

    @action
    async def recurring(self) -> list[list[object]]:
        found = [self.ctx.schedule.cron.get("daily"), self.ctx.schedule.cron.get("often")]
        return [
            [one.args, one.timezone, one.expression, one.interval, one.max_history] for one in found if one
        ]

    @action
    async def outcomes(self, name: str) -> list[list[object]]:
        runs = await self.ctx.schedule.cron.history(name)
        return [[run.result, None if run.error is None else str(run.error.code)] for run in runs]

    @action
    async def plan_text(self, ref: object) -> None:
        await self.ctx.schedule.after(1.0, cast("ActionRef[Room, [], None]", ref))

    @action
    async def plan_never(self, seconds: float) -> None:
        await self.ctx.schedule.after(seconds, Room.post, "never")

    @action
    async def plan(self, seconds: float, text: str) -> str:
        return await self.ctx.schedule.after(seconds, Room.post, text, times=2)

    @action
    async def plan_wrongly(self) -> None:
        await self.ctx.schedule.after(1.0, Room.post, cast("str", 5))

    @action
    async def plan_at(self, when: datetime) -> str:
        return await self.ctx.schedule.at(when, Room.post, "at")

    @action
    async def plan_by_name(self) -> None:
        await self.ctx.schedule.after_by_name(1.0, "post", "named")

    @action
    async def planned(self) -> list[list[object]]:
        return [[one.action, list(one.args), one.at.timestamp()] for one in self.ctx.schedule.list()]

    @action
    async def unplan(self, id: str) -> bool:
        return await self.ctx.schedule.cancel(id)

    @action
    async def read(self) -> list[str]:
        return self.state


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(clock: FakeClock) -> AsyncIterator[Client]:
    store = MemoryStore()
    factory = compile_actor(Room, client_factory=lambda core: local_client(core.access))
    host = EmbeddedHost([factory], store=store, clock=clock, entropy=SeededEntropy(1))
    await host.open()
    async with local_client(host.access) as client:
        yield client
    await host.close()


async def test_a_planned_call_is_made_on_time(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    await room.call(Room.plan, 60.0, "hi")
    await clock.advance(59)
    assert await room.call(Room.read) == []
    await clock.advance(1)
    assert await room.call(Room.read) == ["hihi (at 1)"]


async def test_an_argument_that_does_not_fit_is_refused_when_it_is_planned(client: Client) -> None:
    with pytest.raises(ValidationError) as refused:
        await client.get_or_create(Room, "a").call(Room.plan_wrongly)
    assert "text" in str(refused.value.metadata)


async def test_a_time_zone_may_be_any(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    now = datetime.fromtimestamp(clock.now(), UTC)
    eastern = (now + timedelta(hours=1)).astimezone(ZoneInfo("America/New_York"))
    await room.call(Room.plan_at, eastern)
    assert await room.call(Room.planned) == [["post", ["at"], clock.now() + 3600]]
    await clock.advance(hours=1)
    assert await room.call(Room.read) == ["at (at 1)"]


async def test_a_datetime_without_a_time_zone_is_refused(client: Client) -> None:
    with pytest.raises(RivetError, match="has no time zone") as refused:
        await client.get_or_create(Room, "a").call(Room.plan_at, datetime(2030, 1, 1))
    assert (refused.value.group, refused.value.code) == ("schedule", "invalid_time")


async def test_a_plan_may_be_made_by_name(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    await room.call(Room.plan_by_name)
    await clock.advance(1)
    assert await room.call(Room.read) == ["named (at 1)"]


async def test_a_cancelled_plan_is_gone(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    planned = await room.call(Room.plan, 1.0, "hi")
    assert await room.call(Room.unplan, planned)
    assert not await room.call(Room.unplan, planned)
    await clock.advance(2)
    assert await room.call(Room.read) == []


async def test_a_direct_call_is_no_fire(client: Client) -> None:
    room = client.get_or_create(Room, "a")
    await room.call(Room.post, "me")
    assert await room.call(Room.read) == ["me (called)"]


async def test_a_call_that_a_scheduled_action_makes_is_a_call(client: Client, clock: FakeClock) -> None:
    await client.get_or_create(Room, "a").call(Room.plan_relay)
    await clock.advance(1)
    assert await client.get(Room, "b").call(Room.read) == ["relayed (called)"]


async def test_recurring_schedules_carry_their_options(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    await room.call(Room.set_recurring)
    assert await room.call(Room.recurring) == [
        [["daily"], "Asia/Tokyo", "0 9 * * *", None, 2],
        [["often", 2], None, None, "PT5M", 2],
    ]
    await clock.advance(minutes=20)
    assert await room.call(Room.read) == ["oftenoften (every 1)"] * 4
    assert await room.call(Room.outcomes, "often") == [["ok", None]] * 2


async def test_arguments_by_name_are_checked_when_the_action_runs(client: Client, clock: FakeClock) -> None:
    room = client.get_or_create(Room, "a")
    await room.call(Room.set_recurring)
    await clock.advance(minutes=5)
    assert await room.call(Room.outcomes, "wrong") == [["error", "validation_error"]]


async def test_a_name_in_place_of_a_reference_is_a_mistake(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RivetError):
        await client.get_or_create(Room, "a").call(Room.plan_text, "post")
    assert "by_name" in caplog.text


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e15])
async def test_a_time_that_no_calendar_has_is_refused(client: Client, seconds: float) -> None:
    with pytest.raises(RivetError) as refused:
        await client.get_or_create(Room, "a").call(Room.plan_never, seconds)
    assert refused.value.code == "invalid_time"


@pytest.mark.parametrize("when", ["2040-01-01", date(2040, 1, 1), 4_102_444_800_000.0])
def test_what_is_no_moment_is_refused(when: object) -> None:
    with pytest.raises(
        RivetError, match="neither an aware datetime" if not isinstance(when, float) else "not milliseconds"
    ):
        timestamp(cast("Any", when))


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(RivetError, match="'5m' is no number of seconds"):
        milliseconds(cast("Any", "5m"))


@pytest.mark.parametrize("options", [{"times": -1}, {"times": "3"}, {"times": 1, "delay": -1.0}])
def test_retries_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="times is at least 0"):
        Retries(**options)


def test_retries_of_a_queue_are_none_of_a_schedule() -> None:
    with pytest.raises(TypeError, match=r"Retries\(times=3\), not Retry\("):
        Schedule(cast("Any", None)).with_options(retries=cast("Any", Retry()))
