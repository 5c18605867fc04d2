"""The documentation's snippets do what the pages say, in one registry without a port."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from importlib import import_module
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from rivetkit import Actor, Client, Forbidden, Registry, UserError
from rivetkit._compiler import compile_actor
from rivetkit._hosting import local_client
from rivetkit.testing import RivetTest
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.testing import FakeClock, MemoryStore

SNIPPETS = Path(__file__).resolve().parents[2] / "docs" / "snippets"
TESTS = sorted(path.stem for path in SNIPPETS.glob("*_test.py"))


@pytest.fixture(autouse=True)
def snippets_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(SNIPPETS), *sys.path])
    yield
    for path in SNIPPETS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def actors_of(module: ModuleType) -> list[type[Actor]]:
    """The actors that a module defines."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__ == module.__name__ and issubclass(member, Actor)
    ]


def in_memory(*modules: ModuleType) -> Registry:
    """A registry of the actors that the modules define."""
    return Registry(*(found for module in modules for found in actors_of(module)), data_dir=":memory:")


@pytest.mark.parametrize("name", TESTS)
async def test_a_test_of_the_guide_passes(name: str) -> None:
    module = import_module(name)
    functions = [function for found, function in vars(module).items() if found.startswith("test_")]
    assert functions
    for function in functions:
        if "rivet" not in inspect.signature(function).parameters:
            await function()
            continue
        tested = [member for member in vars(module).values() if inspect.isclass(member)]
        async with RivetTest(*(cls for cls in tested if issubclass(cls, Actor))) as rivet:
            await function(rivet)


def test_the_tests_of_the_page_on_testing_pass_in_pytest(pytester: pytest.Pytester) -> None:
    for name in ("trial", "trial_test", "lives_test"):
        pytester.path.joinpath(f"{name}.py").write_text((SNIPPETS / f"{name}.py").read_text())
    pytester.makeconftest((SNIPPETS / "trial_conftest.py").read_text())
    pytester.runpytest_inprocess("-p", "rivetkit_pytest").assert_outcomes(passed=4)


def test_a_test_runs_without_pytest(capsys: pytest.CaptureFixture[str]) -> None:
    import_module("rivet_test_alone")
    assert capsys.readouterr().out == ("2026-01-28 00:00:00+00:00 ['ada@example.com: three days are left']\n")


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


async def test_an_order_gets_its_receipt() -> None:
    orders, clients = import_module("order_queue"), import_module("order_client")
    registry = in_memory(orders)
    async with registry.lifespan():
        shop = registry.client.get_or_create(orders.Shop, "main-street")
        ordering = asyncio.create_task(clients.order(registry.client))
        while not await shop.call(orders.Shop.serve):
            await asyncio.wait([ordering], timeout=0.01)
        assert await ordering == orders.Receipt(order_id="o-1", total=9.5)
        assert await shop.call(orders.Shop.visitors) == ["Ada"]


async def test_a_desk_takes_from_both_queues_in_order() -> None:
    desks = import_module("several_queues")
    registry = in_memory(desks)
    async with registry.lifespan():
        desk = registry.client.get_or_create(desks.Desk, "a")
        await desk.send(desks.Desk.letters, "hi")
        await desk.send(desks.Desk.parcels, 7)
        assert [await desk.call(desks.Desk.next_item) for _ in range(2)] == ["letter hi", "parcel 7"]


async def test_a_kitchen_takes_orders_from_waiters_only() -> None:
    kitchens = import_module("guarded_queue")
    registry = in_memory(kitchens)
    async with registry.lifespan():
        client = registry.client
        await client.get_or_create(kitchens.Kitchen, params="waiter").send(kitchens.Kitchen.orders, "soup")
        await client.get_or_create(kitchens.Kitchen).send(kitchens.Kitchen.complaints, "cold")
        with pytest.raises(Forbidden):
            await client.get_or_create(kitchens.Kitchen).send(kitchens.Kitchen.orders, "soup")


async def test_a_shared_page_rests_while_people_look_at_it() -> None:
    pages = import_module("shared_page")
    registry = in_memory(pages)
    async with registry.lifespan():
        page = pages.SharedPage
        main = registry.client.get_or_create(page, "main", params="Ada")
        async with main.connect() as ada, ada.events(page.changed) as changes:
            assert await ada.call(page.write, "one") == 1
            assert await anext(changes) == "one"
            await ada.call(page.rest)
            assert await ada.call(page.where) == [1, 2]
            await main.call(page.write, "two")
            assert await anext(changes) == "two"


async def test_a_lounge_tells_moderators_only_and_bans_for_good() -> None:
    lounges = import_module("lounge")
    registry = in_memory(lounges)
    async with registry.lifespan():
        lounge, guest = lounges.Lounge, lounges.Guest
        main = registry.client.get_or_create(lounge, "main")
        boss = guest(name="Ada", password="letmein")
        async with main.connect(params=boss) as moderator, moderator.events(lounge.reported) as reports:
            async with main.connect(params=guest(name="Bob")) as bob, bob.events(lounge.posted) as posts:
                assert await moderator.call(lounge.ban, "Bob") == 1
                assert await anext(reports) == "Bob, a guest, left"
                with pytest.raises(UserError, match="asked to leave"):
                    await anext(posts)
            async with main.connect(params=guest(name="Eve")) as eve, eve.events(lounge.reported) as secrets:
                with pytest.raises(Forbidden):
                    await anext(secrets)


async def test_a_payment_that_failed_can_be_tried_again() -> None:
    billings = import_module("retries")
    registry = in_memory(billings)
    async with registry.lifespan():
        billing = registry.client.get_or_create(billings.Billing, "a")
        await billing.send(billings.Billing.payments, billings.Payment(id="bad", amount=0))
        await billing.send(billings.Billing.payments, billings.Payment(id="good", amount=1))
        await billing.call(billings.Billing.charge)
        assert await billing.call(billings.Billing.try_failed_again) == 0


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


@asynccontextmanager
async def on_virtual_time(module: ModuleType, clock: FakeClock) -> AsyncGenerator[Client]:
    """A client to the actors of a module, in a process whose time is the test's."""
    factories = [compile_actor(found) for found in actors_of(module)]
    host = EmbeddedHost(factories, store=MemoryStore(), clock=clock, entropy=SeededEntropy(1))
    await host.open()
    try:
        async with local_client(host.access) as client:
            yield client
    finally:
        await host.close()


async def test_reminders_come_when_they_are_due() -> None:
    reminders, clock = import_module("reminders"), FakeClock()
    async with on_virtual_time(reminders, clock) as client:
        mine = client.get_or_create(reminders.Reminders, "me")
        await mine.call(reminders.Reminders.plan)
        await clock.advance(60)
        await mine.call(reminders.Reminders.plan)
        assert await mine.call(reminders.Reminders.change_plans) == 4
        await clock.advance(hours=9)
        assert await mine.call(reminders.Reminders.read) == ["stretch", "go home!", "go home!"]


async def test_reports_are_written_on_schedule() -> None:
    reports, clock = import_module("reports"), FakeClock()  # a Thursday, 1:00 in Berlin
    async with on_virtual_time(reports, clock) as client:
        mine = client.get_or_create(reports.Reports, "me")
        await mine.resolve()
        await mine.call(reports.Reports.read)
        await clock.advance(minutes=10)
        assert await mine.call(reports.Reports.outcome) == ["00:10 ok", "00:05 ok"]
        assert await mine.call(reports.Reports.stop)
        await clock.advance(hours=8)
        assert (await mine.call(reports.Reports.read))[-1] == "morning: good morning"


async def test_an_invoice_is_sent_by_the_second_attempt() -> None:
    invoices, clock = import_module("invoices"), FakeClock()
    async with on_virtual_time(invoices, clock) as client:
        mine = client.get_or_create(invoices.Invoices, "me")
        await mine.call(invoices.Invoices.order, "42")
        await clock.advance(1)
        assert await mine.call(invoices.Invoices.sent) == []
        await clock.advance(2)
        assert await mine.call(invoices.Invoices.sent) == ["42"]


async def test_a_guestbook_is_signed_exported_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    guestbook, visiting = import_module("guestbook"), import_module("guestbook_client")
    async with on_virtual_time(guestbook, FakeClock()) as client:
        assert await visiting.visit(client) == ["Ada"]
        assert capsys.readouterr().out == "Ada\n"
        page = await client.get_or_create(guestbook.Guestbook, "wedding").fetch()
        assert page.text == "<p>Ada"


async def test_an_inventory_is_a_whole_application() -> None:
    inventory = import_module("inventory")
    async with on_virtual_time(inventory, FakeClock()) as client:
        mine = client.get_or_create(inventory.Inventory, "main")
        put = await mine.fetch("/items/tea", method="PUT", query={"count": 2})
        assert put.json() == {"name": "tea", "count": 2}
        assert (await mine.fetch("/items/milk")).json() == {"detail": "no such item"}
        assert (await mine.fetch("/openapi.json")).json()["info"]["title"] == "Inventory"
        async with mine.websocket("/live") as live:
            await live.send("tea")
            assert await live.receive() == '{"known":true}'


async def test_a_ticker_of_websockets_counts_for_each_of_them() -> None:
    ticker = import_module("raw_hibernation")
    async with (
        on_virtual_time(ticker, FakeClock()) as client,
        client.get_or_create(ticker.Ticker, "a").websocket("/?stay=yes") as socket,
    ):
        assert await socket.receive() == "welcome"
        for count in ("1", "2"):
            await socket.send("tick")
            assert await socket.receive() == count
