"""A headless Chromium, seen from a Python test. The Node side is ``browser.mjs``.

    async with Browser() as browser:
        ada = await browser.open(url)
        await ada.fill("#text", "hello")
        await ada.press("#text", "Enter")
        await ada.wait_text("#messages", "hello")

Selectors are Playwright's: CSS, or ``text=...``. Every wait is bounded and fails with ``NodeError``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from tests.harness.node import Message, NodeProcess

# Seconds a page gets to show what a test waits for; the process gets longer, to say that it did not.
PAGE_TIMEOUT = 10.0
_ANSWER_MARGIN = 5.0

_DRIVER = Path(__file__).with_name("browser.mjs")
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """The browser to run: ``CHROMIUM``, or one found on PATH.

    Raises:
        RuntimeError: There is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        raise RuntimeError("no Chromium found: run scripts/setup, or set CHROMIUM")
    return found


class Browser:
    """One browser process. Use it as an async context manager."""

    def __init__(self) -> None:
        self._tabs: dict[int, Tab] = {}
        # A page may complain before the answer that tells its number.
        self._early: dict[int, list[str]] = {}
        environment = {**os.environ, "CHROMIUM": find_chromium()}
        self._node = NodeProcess(_DRIVER, self._pushed, environment=environment)

    async def __aenter__(self) -> Self:
        await self._node.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._node.__aexit__(kind, error, trace)

    async def open(self, url: str, *, width: int = 1280, height: int = 720, scale: float = 1.0) -> Tab:
        """Open a page in a tab with storage of its own and wait until it has loaded.

        ``width`` and ``height`` are CSS pixels; ``scale`` is how many of an image's pixels make one.
        """
        window = {"viewport": {"width": width, "height": height}, "deviceScaleFactor": scale}
        number = cast("int", await _request(self._node, "open", url=url, window=window))
        tab = Tab(self._node, number)
        self._tabs[number] = tab
        tab.problems.extend(self._early.pop(number, ()))
        return tab

    def _pushed(self, message: Message) -> None:
        number, problem = cast("int", message["tab"]), cast("str", message["problem"])
        tab = self._tabs.get(number)
        problems = self._early.setdefault(number, []) if tab is None else tab.problems
        problems.append(problem)


class Tab:
    """One page.

    Attributes:
        problems: Console errors and uncaught exceptions so far; a good page leaves it empty.
    """

    def __init__(self, node: NodeProcess, number: int) -> None:
        self.problems: list[str] = []
        self._node = node
        self._number = number

    async def fill(self, selector: str, text: str) -> None:
        """Replace the content of a field."""
        await self._request("fill", selector=selector, text=text)

    async def click(self, selector: str) -> None:
        """Click an element once it can be clicked."""
        await self._request("click", selector=selector)

    async def press(self, selector: str, key: str) -> None:
        """Press a key in an element: ``Enter``, ``Control+A``, ``x``."""
        await self._request("press", selector=selector, key=key)

    async def text(self, selector: str) -> str:
        """The text of the one element that matches."""
        return cast("str", await self._request("text", selector=selector))

    async def count(self, selector: str) -> int:
        """How many elements match now."""
        return cast("int", await self._request("count", selector=selector))

    async def wait_text(self, selector: str, text: str, *, timeout: float = PAGE_TIMEOUT) -> None:
        """Wait until a visible element that matches contains ``text``; seconds."""
        await self._request("waitText", selector=selector, text=text, timeout=timeout)

    async def wait_gone(self, selector: str, *, timeout: float = PAGE_TIMEOUT) -> None:
        """Wait until no visible element matches; seconds."""
        await self._request("waitGone", selector=selector, timeout=timeout)

    async def evaluate(self, expression: str) -> object:
        """Evaluate JavaScript in the page and return its JSON value."""
        return await self._request("evaluate", expression=expression)

    async def reload(self) -> None:
        """Load the page again."""
        await self._request("reload")

    async def screenshot(self, path: Path) -> None:
        """Write the whole page as an image."""
        await self._request("screenshot", path=str(path))

    async def close(self) -> None:
        """Close the tab, as a person would."""
        await self._request("close")

    async def _request(self, operation: str, *, timeout: float = PAGE_TIMEOUT, **fields: object) -> object:
        return await _request(self._node, operation, timeout=timeout, tab=self._number, **fields)


async def _request(
    node: NodeProcess, operation: str, *, timeout: float = PAGE_TIMEOUT, **fields: object
) -> object:
    """Ask the browser process; ``timeout`` is what the page gets, in seconds."""
    milliseconds = round(timeout * 1000)
    return await node.request(
        operation, answer_timeout=timeout + _ANSWER_MARGIN, timeout=milliseconds, **fields
    )
