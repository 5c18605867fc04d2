from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest

from rivetkit import Actor, ActorNotFound, Event, Queue, Registry, RivetError, action, actor
from rivetkit.testing import NotOnThisHost, RivetTest, Stuck


@actor(name="diary", sleep_timeout=30.0, state_save_interval=10.0)
class Diary(Actor):
    state: list[str]
    written = Event[str]()
    letters = Queue[str, int]()

    async def on_sleep(self) -> None:
        self.state.append("slept")

    @action
    async def write(self, text: str) -> None:
        self.state.append(text)
        self.written.broadcast(text)

    @action
    async def write_in(self, text: str, after: timedelta) -> None:
        await self.ctx.schedule.after(after, Diary.write, text)

    @action
    async def write_daily(self, text: str) -> None:
        await self.ctx.schedule.cron.set("daily", "0 9 * * *", Diary.write, text)

    @action
    async def nap(self, seconds: float) -> datetime:
        await asyncio.sleep(seconds)
        return self.ctx.now()

    @action
    async def answer_letters(self) -> int:
        async for letter in self.letters:
            await letter.complete(len(letter.body))
            break
        return 1

    @action
    async def note(self, text: str) -> int:
        await self.ctx.db.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        await self.ctx.db.execute("INSERT INTO notes VALUES (?)", [text])
        return len(await self.ctx.db.fetch_all("SELECT * FROM notes"))

    @action
    async def read(self) -> list[str]:
        return self.state


@actor(name="diary")
class NewDiary(Actor):
    state: list[str]

    @action
    async def last(self) -> str:
        return self.state[-1]


async def test_a_month_passes_at_once() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary, "a")
        await diary.call(Diary.write_in, "later", timedelta(days=30))
        await rivet.clock.advance(days=30)
        assert await diary.call(Diary.read) == ["slept", "later"]


async def test_cron_jobs_run_at_their_times() -> None:
    async with RivetTest(Diary, start=datetime(2026, 5, 1, tzinfo=UTC)) as rivet:
        diary = rivet.client.get_or_create(Diary, "a")
        await diary.call(Diary.write_daily, "morning")
        await rivet.clock.advance_to(datetime(2026, 5, 31, 9, tzinfo=UTC))
        assert (await diary.call(Diary.read)).count("morning") == 31


async def test_waiting_for_an_actor_lets_time_pass() -> None:
    async with RivetTest(Diary) as rivet:
        before = rivet.clock.now()
        assert await rivet.client.get_or_create(Diary).call(Diary.nap, 20.0) == before + timedelta(seconds=20)


async def test_a_call_that_takes_too_long_times_out() -> None:
    async with RivetTest(Diary) as rivet:
        handle = rivet.client.get_or_create(Diary)
        with pytest.raises(RivetError, match=r"client.timed_out"):
            await handle.action(Diary.nap, timeout=5.0)(10.0)


async def test_a_sender_waits_until_somebody_answers() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        answering = asyncio.create_task(diary.call(Diary.answer_letters))
        assert await diary.send_and_wait(Diary.letters, "hello", timeout=10.0) == 5
        assert await answering == 1


async def test_an_idle_actor_sleeps_and_asking_does_not_wake_it() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.read)
        assert await rivet.is_awake(diary)
        await rivet.clock.advance(31)
        assert not await rivet.is_awake(diary)
        assert await rivet.generation(diary) == 1


async def test_an_actor_is_put_to_sleep() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write, "one")
        await rivet.sleep(diary)
        assert not await rivet.is_awake(diary)
        assert await diary.call(Diary.read) == ["one", "slept"]
        assert await rivet.generation(diary) == 2


async def test_a_crash_loses_what_was_not_saved_and_runs_no_hook() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write, "saved")
        await rivet.clock.advance(10)
        await diary.call(Diary.write, "lost")
        assert await diary.call(Diary.note, "kept") == 1
        await rivet.crash(diary)
        assert await diary.call(Diary.read) == ["saved"]
        assert await diary.call(Diary.note, "another") == 2
        assert await rivet.generation(diary) == 2


async def test_what_was_planned_survives_a_crash() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write_in, "later", timedelta(seconds=5))
        await rivet.crash(diary)
        assert not await rivet.is_awake(diary)
        await rivet.clock.advance(5)
        assert await rivet.is_awake(diary)
        assert await diary.call(Diary.read) == ["later"]


async def test_a_call_under_way_ends_with_the_crash() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        napping = asyncio.create_task(diary.call(Diary.nap, 20.0))
        await rivet.clock.advance(1)
        await rivet.crash(diary)
        with pytest.raises(RivetError):
            await napping


async def test_a_sleeping_actor_cannot_crash() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write, "one")
        await rivet.sleep(diary)
        await rivet.crash(diary)
        await rivet.sleep(diary)
        assert await diary.call(Diary.read) == ["one", "slept"]


async def test_an_actor_that_does_not_exist_has_no_life() -> None:
    async with RivetTest(Diary) as rivet:
        missing = rivet.client.get_or_create(Diary, "nobody")
        for ask in (rivet.sleep, rivet.crash, rivet.generation, rivet.is_awake):
            with pytest.raises(ActorNotFound):
                await ask(missing)


async def test_a_restart_keeps_what_was_stored_and_handles() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write, "one")
        await rivet.restart()
        assert await diary.call(Diary.read) == ["one", "slept"]


async def test_a_restart_brings_new_code() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        await diary.call(Diary.write, "one")
        await rivet.restart(Registry(NewDiary))
        assert await rivet.client.get(NewDiary).call(NewDiary.last) == "slept"


async def test_a_live_connection_comes_back_after_a_restart() -> None:
    async with RivetTest(Diary) as rivet:
        diary = rivet.client.get_or_create(Diary)
        async with diary.connect() as conn, conn.events(Diary.written) as written:
            await rivet.restart()
            await conn.call(Diary.write, "hello")
            assert await anext(written) == "hello"


async def test_the_client_of_the_registry_leads_to_the_test() -> None:
    registry = Registry(Diary)
    async with RivetTest(registry) as rivet:
        await registry.client.get_or_create(Diary, "a").call(Diary.write, "here")
        assert await rivet.client.get(Diary, "a").call(Diary.read) == ["here"]
    with pytest.raises(RivetError, match="not running"):
        assert registry.client


async def test_a_registry_is_in_one_test_at_a_time() -> None:
    registry = Registry(Diary, data_dir=":memory:")
    async with registry.lifespan(), asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="served already"):
            await RivetTest(registry).__aenter__()
    async with RivetTest(registry) as rivet:
        assert await rivet.client.get_or_create(Diary).call(Diary.read) == []


async def test_a_loop_is_in_one_test_at_a_time() -> None:
    async with RivetTest(Diary):
        with pytest.raises(Stuck, match="one RivetTest at a time"):
            await RivetTest(Diary).__aenter__()


async def test_tests_share_nothing() -> None:
    for _ in range(2):
        async with RivetTest(Diary) as rivet:
            diary = rivet.client.get_or_create(Diary)
            await diary.call(Diary.write, "one")
            assert await diary.call(Diary.read) == ["one"]


@actor(sleep_timeout=1e9)
class Restless(Actor):
    state: int = 0

    async def run(self) -> None:
        for _ in count():
            await asyncio.sleep(0 if self.state else 1)

    @action
    async def spin(self) -> None:
        self.state = 1


async def test_an_actor_that_never_waits_is_named() -> None:
    async with RivetTest(Restless) as rivet:
        await rivet.client.get_or_create(Restless).call(Restless.spin)
        with pytest.raises(Stuck, match="never waits"):
            await rivet.clock.advance(10)


async def test_time_goes_forward_only() -> None:
    async with RivetTest(Diary) as rivet:
        with pytest.raises(ValueError, match="forward"):
            await rivet.clock.advance(timedelta(seconds=-1))
        with pytest.raises(ValueError, match="time zone"):
            await rivet.clock.advance_to(datetime(2040, 1, 1))
        with pytest.raises(ValueError, match=r"2000-01-01 .* has passed, it is 20"):
            await rivet.clock.advance_to(datetime(2000, 1, 1, tzinfo=UTC))


def test_mistakes_in_making_one_are_explained() -> None:
    with pytest.raises(TypeError, match="one Registry, or actor classes"):
        RivetTest()
    with pytest.raises(ValueError, match="time zone"):
        RivetTest(Diary, start=datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="start is a datetime"):
        RivetTest(Diary, start=cast("Any", "2026-01-01"))
    with pytest.raises(ValueError, match='"memory", "engine"'):
        RivetTest(Diary, host="moon")
    with pytest.raises(NotOnThisHost, match="time is real"):
        RivetTest(Diary, start=datetime(2026, 1, 1, tzinfo=UTC), host="engine")


async def test_it_is_used_inside_of_a_block() -> None:
    with pytest.raises(RivetError, match="async with"):
        await RivetTest(Diary).client.get_or_create(Diary).call(Diary.read)


async def test_the_environment_does_not_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVET_ENDPOINT", "http://engine.invalid")
    async with RivetTest(Diary) as rivet:
        assert await rivet.client.get_or_create(Diary).call(Diary.read) == []
