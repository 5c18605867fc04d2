"""The chat room example, used by people: real server process, real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.e2e.browser import Browser, Tab
from tests.engines import RunningEngine
from tests.examples.program import Program

pytestmark = pytest.mark.e2e


class Room:
    """The example as a process that can be killed and started again on its port."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir
        self._environ = environ
        self._port = "0"

    async def start(self) -> None:
        options = ("--port", self._port, "--data-dir", str(self._data_dir))
        program = Program("-m", "examples.chat_room", *options, environ=self._environ)
        self.program = await program.__aenter__()
        self.url = await self.program.serving()
        self._port = str(urlsplit(self.url).port)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    started = Room(tmp_path / "data")
    await started.start()
    try:
        yield started
    finally:
        await started.program.kill()


@pytest.fixture
async def room_on_an_engine(tmp_path: Path, engine: RunningEngine) -> AsyncIterator[Room]:
    environ = {"RIVET_ENDPOINT": engine.endpoint, "RIVET_NAMESPACE": await engine.fresh_namespace()}
    started = Room(tmp_path / "unused", environ)
    await started.start()
    try:
        yield started
    finally:
        await started.program.kill()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with Browser() as running:
        yield running


async def join(browser: Browser, room: Room, name: str, *, at: str = "general") -> Tab:
    tab = await browser.open(f"{room.url}/#{quote(at)}")
    await tab.fill("#name", name)
    await tab.click("#enter")
    await tab.wait_text("#status", "connected")
    return tab


async def say(tab: Tab, text: str) -> None:
    await tab.fill("#text", text)
    await tab.press("#text", "Enter")


async def test_two_people_see_each_other_and_what_they_say(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "Ada")
    bob = await join(browser, room, "Bob")
    await ada.wait_text("#members li", "Bob")
    await bob.wait_text("#members li", "Ada")

    await say(ada, "hello")
    await bob.wait_text("#messages li", "hello")
    await say(bob, "hi Ada")
    await ada.wait_text("#messages li:not(.mine)", "hi Ada")
    assert await ada.text("#messages li.mine p") == "hello"

    await bob.close()
    await ada.wait_gone("#members li >> text=Bob")
    assert ada.problems == bob.problems == []


@pytest.mark.engine
async def test_the_same_page_works_with_its_rooms_on_an_engine(
    browser: Browser, room_on_an_engine: Room
) -> None:
    ada = await join(browser, room_on_an_engine, "Ada")
    bob = await join(browser, room_on_an_engine, "Bob")
    await say(ada, "hello")
    await bob.wait_text("#messages li", "hello")
    await bob.reload()
    await bob.wait_text("#messages li", "hello")
    assert ada.problems == []


async def test_a_reload_keeps_the_history_and_the_name(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "Ada")
    await say(ada, "still here?")
    await ada.wait_text("#messages li", "still here?")
    await ada.reload()
    await ada.wait_text("#messages li.mine", "still here?")
    assert await ada.count("#messages li") == 1
    assert ada.problems == []


async def test_rooms_are_separate_and_the_address_leads_to_them(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "Ada")
    bob = await join(browser, room, "Bob", at="späti 🍺")
    assert await bob.text("#room") == "#späti 🍺"
    await say(ada, "in general")
    await ada.wait_text("#messages li", "in general")
    await say(bob, "in the other one")
    await bob.wait_text("#messages li", "in the other one")
    assert await bob.count("#messages li") == 1

    await bob.evaluate("location.hash = 'general'")
    await bob.wait_text("#messages li", "in general")
    await ada.wait_text("#members li", "Bob")
    assert ada.problems == bob.problems == []


async def test_an_empty_message_is_explained_and_the_next_one_clears_the_explanation(
    browser: Browser, room: Room
) -> None:
    ada = await join(browser, room, "Ada")
    await say(ada, "  ")
    await ada.wait_text("#error", "say something")
    await say(ada, "something")
    await ada.wait_text("#messages li", "something")
    assert await ada.text("#error") == ""
    assert await ada.count("#messages li") == 1
    assert ada.problems == []


async def test_history_and_connections_survive_a_killed_server(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "Ada")
    bob = await join(browser, room, "Bob")
    await say(ada, "before the crash")
    await bob.wait_text("#messages li", "before the crash")
    assert ada.problems == bob.problems == []

    await room.program.kill()
    await ada.wait_text("#status", "reconnecting")
    await room.start()
    await ada.wait_text("#status", "connected")
    await bob.wait_text("#status", "connected")

    await ada.wait_text("#messages li", "before the crash")
    await say(ada, "after the crash")
    await bob.wait_text("#messages li", "after the crash")
    assert await bob.count("#messages li") == 2
    # A browser reports every refused socket by itself; nothing else may be in the console.
    assert [
        problem for problem in ada.problems + bob.problems if "ERR_CONNECTION_REFUSED" not in problem
    ] == []


async def test_markup_in_names_and_messages_is_only_text(browser: Browser, room: Room) -> None:
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    ada = await join(browser, room, "<b onclick=alert(1)>Zoë (測試)</b>")
    await say(ada, attack)
    await ada.wait_text("#messages li", attack)
    await ada.wait_text("#members li", "<b onclick=alert(1)>Zoë (測試)</b>")
    assert await ada.count("#messages img, #messages script, #members b") == 0
    assert await ada.evaluate("document.title") == "#general"
    assert ada.problems == []


async def test_long_words_and_long_names_do_not_widen_the_page(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "n" * 40)
    await say(ada, "x" * 4000)
    await ada.wait_text("#messages li", "x" * 4000)
    assert await ada.evaluate("document.documentElement.scrollWidth <= innerWidth") is True
    assert await ada.evaluate("messages.scrollWidth <= messages.clientWidth") is True
    assert ada.problems == []


async def test_a_refused_name_is_asked_for_again(browser: Browser, room: Room) -> None:
    tab = await browser.open(room.url)
    await tab.fill("#name", "   ")
    await tab.click("#enter")
    await tab.wait_text("#refused", "at least 1 character")
    await tab.fill("#name", "Ada")
    await tab.click("#enter")
    await tab.wait_text("#status", "connected")
    await tab.wait_text("#members li", "Ada")
    assert tab.problems == []


async def test_leaving_asks_who_comes_next(browser: Browser, room: Room) -> None:
    ada = await join(browser, room, "Ada")
    bob = await join(browser, room, "Bob")
    await bob.wait_text("#members li", "Ada")
    await ada.click("#leave")
    await bob.wait_gone("#members li >> text=Ada")
    await ada.fill("#name", "Grace")
    await ada.fill("#room-name", "upstairs")
    await ada.press("#room-name", "Enter")
    await ada.wait_text("#room", "#upstairs")
    await ada.wait_text("#members li", "Grace")
    assert ada.problems == bob.problems == []
