"""One test of a user's, on every host: in memory on virtual time, and on a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from rivetkit import Actor, Event, Queue, action, actor
from rivetkit.testing import NotOnThisHost, RivetTest
from tests.engines import RunningEngine


@actor(name="notebook", sleep_timeout=30.0, state_save_interval=60.0)
class Notebook(Actor):
    state: list[str]
    written = Event[str]()
    questions = Queue[str, str]()

    async def on_sleep(self) -> None:
        self.state.append("slept")

    @action
    async def write(self, text: str) -> None:
        self.state.append(text)
        self.written.broadcast(text)

    @action
    async def write_later(self, text: str) -> None:
        await self.ctx.schedule.after(timedelta(seconds=1), Notebook.write, text)

    @action
    async def answer(self) -> None:
        if question := await self.questions.next():
            await question.complete(question.body.upper())

    @action
    async def remember(self, text: str) -> list[str]:
        await self.ctx.db.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        await self.ctx.db.execute("INSERT INTO notes VALUES (?)", [text])
        return [row["text"] for row in await self.ctx.db.fetch_all("SELECT text FROM notes")]

    @action
    async def read(self) -> list[str]:
        return self.state


@actor(name="notebook")
class Reader(Actor):
    state: list[str]

    @action
    async def first(self) -> str:
        return self.state[0]


@pytest.fixture(params=["memory", pytest.param("engine", marks=pytest.mark.engine)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[RivetTest]:
    host: str = request.param
    if host == "engine":
        engine: RunningEngine = request.getfixturevalue("engine")
        host = engine.endpoint
    async with RivetTest(Notebook, host=host) as rivet:
        yield rivet


async def test_sleep_and_crash_are_what_they_say(world: RivetTest) -> None:
    notebook = world.client.get_or_create(Notebook)
    await notebook.call(Notebook.write, "saved")
    assert await world.generation(notebook) == 1
    await world.sleep(notebook)
    assert not await world.is_awake(notebook)
    assert await notebook.call(Notebook.read) == ["saved", "slept"]
    assert await world.generation(notebook) == 2
    await notebook.call(Notebook.write, "lost")
    await world.crash(notebook)
    assert await notebook.call(Notebook.read) == ["saved", "slept"]
    assert await world.generation(notebook) == 3


async def test_what_is_durable_survives_a_crash(world: RivetTest) -> None:
    notebook = world.client.get_or_create(Notebook)
    await notebook.call(Notebook.write_later, "on time")
    await notebook.send(Notebook.questions, "who")
    assert await notebook.call(Notebook.remember, "a") == ["a"]
    await world.crash(notebook)
    await world.clock.advance(seconds=1)
    assert await notebook.call(Notebook.read) == ["on time"]
    await notebook.call(Notebook.answer)
    assert await notebook.call(Notebook.remember, "b") == ["a", "b"]


async def test_an_alarm_wakes_a_sleeper_when_time_has_passed(world: RivetTest) -> None:
    notebook = world.client.get_or_create(Notebook)
    await notebook.call(Notebook.write_later, "on time")
    await world.sleep(notebook)
    await world.clock.advance(seconds=1)
    assert await world.is_awake(notebook)
    assert await notebook.call(Notebook.read) == ["slept", "on time"]


async def test_a_restart_brings_new_code_to_what_was_stored(world: RivetTest) -> None:
    notebook = world.client.get_or_create(Notebook)
    await notebook.call(Notebook.write, "one")
    await world.restart(Reader)
    assert await world.client.get(Reader).call(Reader.first) == "one"


async def test_a_month_passes_only_where_time_is_virtual(world: RivetTest) -> None:
    before = world.clock.now()
    if world.host == "memory":
        await world.clock.advance(days=30)
        assert world.clock.now() == before + timedelta(days=30)
    else:
        with pytest.raises(NotOnThisHost, match="30 days"):
            await world.clock.advance(days=30)
        with pytest.raises(NotOnThisHost, match="has passed"):
            await world.clock.advance_to(before - timedelta(days=1))


async def test_a_connection_lives_through_sleep_and_crash(world: RivetTest) -> None:
    notebook = world.client.get_or_create(Notebook)
    async with notebook.connect() as conn, conn.events(Notebook.written) as written:
        for end in (world.sleep, world.crash):
            await conn.call(Notebook.write, "hello")
            assert await anext(written) == "hello"
            await world.clock.advance(seconds=1)
            await end(notebook)


async def test_raw_requests_come_through(world: RivetTest) -> None:
    answer = await world.client.get_or_create(Notebook).fetch("/nothing")
    assert answer.status_code == 404
