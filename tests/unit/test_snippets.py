"""The documentation's snippets do what the pages say, in one registry without a port."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from rivetkit import Actor, Client, Registry, UserError
from rivetkit_core.testing import FakeClock

SNIPPETS = Path(__file__).resolve().parents[2] / "docs" / "snippets"
TESTS = sorted(path.stem for path in SNIPPETS.glob("*_test.py"))


@pytest.fixture(autouse=True)
def snippets_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(SNIPPETS), *sys.path])
    yield
    for path in SNIPPETS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def in_memory(*modules: ModuleType) -> Registry:
    """A registry of the actors that the modules define."""
    found = [
        member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__ == module.__name__ and issubclass(member, Actor)
    ]
    return Registry(*found, data_dir=":memory:")


@pytest.mark.parametrize("name", TESTS)
async def test_a_test_of_the_guide_passes(name: str) -> None:
    module = import_module(name)
    functions = [function for found, function in vars(module).items() if found.startswith("test_")]
    assert functions
    for function in functions:
        await function()


async def test_calls_create_a_room_and_post_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    chat, calls = import_module("chat"), import_module("calls")
    registry = in_memory(chat)
    async with registry.lifespan():
        await calls.calls(registry.client)
    printed = capsys.readouterr().out
    assert printed.startswith("hello ")
    assert "'author': 'Bob', 'text': 'untyped'" in printed


async def test_listening_prints_what_was_posted(capsys: pytest.CaptureFixture[str]) -> None:
    chat, live = import_module("chat"), import_module("live")
    registry = in_memory(chat)
    async with registry.lifespan(), asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(live.listen(registry.client))
        while not capsys.readouterr().out.startswith("Ada live"):
            await asyncio.wait([listening], timeout=0.01)
        listening.cancel()


async def test_an_announcer_reaches_every_room() -> None:
    chat, others = import_module("chat"), import_module("other_actors")
    registry = in_memory(chat, others)
    async with registry.lifespan():
        announcer = registry.client.get_or_create(others.Announcer, "a")
        await announcer.call(others.Announcer.announce, "closing soon", ["general", "upstairs"])
        assert await registry.client.get(chat.ChatRoom, "upstairs").resolve()


async def test_a_group_is_called_by_its_dotted_name() -> None:
    groups = import_module("groups")
    registry = in_memory(groups)
    async with registry.lifespan():
        assert await groups.invite(registry.client) == 1
        team = registry.client.get_or_create_by_name("team", "red")
        assert await team.call_by_name("users.add", "Grace") == 2


async def test_stubs_count_and_listen(capsys: pytest.CaptureFixture[str]) -> None:
    counter, stubs = import_module("counter"), import_module("stubs")
    registry = in_memory(counter)
    async with registry.lifespan():
        await stubs.count(registry.client)
    assert capsys.readouterr().out == "5\n6\n"


async def test_visits_are_listed_and_forgotten() -> None:
    visits = import_module("storage_kv")
    registry = in_memory(visits)
    async with registry.lifespan():
        handle = registry.client.get_or_create(visits.Visits, "a")
        for day in (1, 2):
            assert await handle.call(visits.Visits.visit, date(2026, 1, day), "Ada") == 1
        assert await handle.call(visits.Visits.last_days, 1) == ["2026-01-02/Ada: Ada"]
        await handle.call(visits.Visits.forget_before, date(2026, 1, 2))
        assert await handle.call(visits.Visits.last_days, 9) == ["2026-01-02/Ada: Ada"]


async def test_a_shop_sells_what_it_has() -> None:
    shop = import_module("storage_db")
    registry = in_memory(shop)
    async with registry.lifespan():
        handle = registry.client.get_or_create(shop.Shop, "a")
        await handle.call(shop.Shop.deliver, "tea", 2)
        await handle.call(shop.Shop.deliver, "tea", 1)
        assert await handle.call(shop.Shop.order, "tea", 3) == 1
        with pytest.raises(UserError, match="not enough"):
            await handle.call(shop.Shop.order, "tea", 1)
        assert await handle.call(shop.Shop.orders, "tea") == [shop.Order(item="tea", pieces=3)]


async def test_a_notebook_finds_words() -> None:
    notebook = import_module("storage_sqlalchemy")
    registry = in_memory(notebook)
    async with registry.lifespan():
        handle = registry.client.get_or_create(notebook.Notebook, "a")
        for text in ("blue tea", "green tea", "coffee"):
            await handle.call(notebook.Notebook.add, text)
        assert await handle.call(notebook.Notebook.find, "tea") == ["blue tea", "green tea"]


def test_a_profile_climbs_its_versions() -> None:
    profile = import_module("storage_versions").Profile
    state = profile.add_languages(profile.split_the_name({"name": "Ada Lovelace"}))
    assert profile(**state) == profile(given_name="Ada", family_name="Lovelace", languages=["en"])


async def test_a_connection_is_refused_or_has_its_own_state() -> None:
    connections = import_module("connections")
    registry = in_memory(connections)

    async def read(client: Client, token: str) -> object:
        params = connections.Login(user="ada", token=token)
        return await client.get_or_create(connections.Inbox, "ada", params=params).call(
            connections.Inbox.read
        )

    async with registry.lifespan():
        assert await read(registry.client, "letmein") == []
        with pytest.raises(UserError, match="wrong token"):
            await read(registry.client, "guess")


async def test_a_sensor_uses_its_resource_and_rests_when_told() -> None:
    poller = import_module("poller")
    sensor = poller.Sensor()
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, text="21"))
    ) as fake:
        sensor.http = fake
        assert (await sensor.http.get("http://sensor.test")).text == "21"
    registry = in_memory(poller)
    async with registry.lifespan():
        handle = registry.client.get_or_create(poller.Sensor, "roof")
        assert await handle.call(poller.Sensor.rest) == 0
        while await handle.call(poller.Sensor.rest) == 0:
            await handle.resolve()


async def test_a_ticker_ticks_until_it_is_aborted() -> None:
    ticker = import_module("ticker")
    clock = FakeClock()
    registry = Registry(ticker.Ticker, data_dir=":memory:", clock=clock)
    async with registry.lifespan():
        handle = registry.client.get_or_create(ticker.Ticker, "a")
        assert await handle.call(ticker.Ticker.catch_up, 10) == 10
        await clock.advance(3)
        assert await handle.call(ticker.Ticker.catch_up, 0) == 13
