"""The browser driver itself, on a page that needs no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.browser import Browser
from tests.harness.node import NodeError

pytestmark = pytest.mark.e2e

PAGE = """<!doctype html>
<title>Greeter</title>
<input id="name"><button id="greet">Greet</button><p id="greeting"></p>
<script>
  const name = document.querySelector("#name");
  const greet = () => (document.querySelector("#greeting").textContent = `Hello ${name.value}`);
  document.querySelector("#greet").addEventListener("click", greet);
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") setTimeout(greet, 20);
    if (event.key === "Escape") console.error("refused");
  });
</script>
"""


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    return path.as_uri()


async def test_a_person_types_and_sees_the_answer(page: str) -> None:
    async with Browser() as browser:
        tab = await browser.open(page)
        await tab.fill("#name", "Ada")
        await tab.click("#greet")
        assert await tab.text("#greeting") == "Hello Ada"
        await tab.fill("#name", "Grace")
        await tab.press("#name", "Enter")
        await tab.wait_text("#greeting", "Hello Grace")
        assert tab.problems == []


async def test_a_text_that_never_appears_fails_in_time(page: str) -> None:
    async with Browser() as browser:
        tab = await browser.open(page)
        with pytest.raises(NodeError, match="Timeout"):
            await tab.wait_text("#greeting", "never", timeout=0.1)


async def test_reloading_forgets_what_was_typed_and_errors_are_collected(page: str, tmp_path: Path) -> None:
    async with Browser() as browser:
        tab = await browser.open(page)
        await tab.press("#name", "Escape")
        await tab.click("#greet")
        await tab.reload()
        assert await tab.text("#greeting") == ""
        assert tab.problems == ["refused"]
        await tab.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
