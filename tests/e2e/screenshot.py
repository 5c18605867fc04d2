"""Takes the picture of the chat room in the README: ``scripts/screenshot``."""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from html import escape
from pathlib import Path

from tests.e2e.browser import Browser, Tab
from tests.examples.program import Program

ADA = "Ada"
GRACE = "Grace"
TALK = [
    (ADA, "Morning! Did the deploy go out?"),
    (GRACE, "Ten minutes ago. I killed the server in the middle of it, to see."),
    (ADA, "And?"),
    (GRACE, "Both tabs said “reconnecting” for a second. Not a message lost."),
    (ADA, "So where do the messages live?"),
    (GRACE, "In the actor: self.state.messages.append(message). Naïve, and it works."),
    (ADA, "No broker, no cache, no websocket server…"),
]
WIDTH, HEIGHT = 520, 762

FRAME = """<!doctype html><meta charset="utf-8"><style>
  body { margin: 0; padding: 28px; display: flex; gap: 28px; background: #eadbd5; }
  figure { margin: 0; border-radius: 12px; overflow: hidden; background: #fff; }
  figcaption { display: flex; gap: 7px; align-items: center; padding: 10px 14px; background: #ebe7e2;
               font: 12px system-ui, "DejaVu Sans", sans-serif; color: #6b655d; }
  i { width: 11px; height: 11px; border-radius: 50%; background: #cfc9c1; }
  span { margin-left: 10px; } img { display: block; width: WIDTHpx; height: HEIGHTpx; }
</style>"""
WINDOW = (
    '<figure><figcaption><i></i><i></i><i></i><span>{title}</span></figcaption><img src="{image}"></figure>'
)


async def talk(tabs: dict[str, Tab]) -> None:
    for author, text in TALK:
        await tabs[author].fill("#text", text)
        await tabs[author].press("#text", "Enter")
        for tab in tabs.values():
            await tab.wait_text("#messages li", text)


async def windows(browser: Browser, url: str, folder: Path) -> str:
    """A page that shows what both people see."""
    tabs: dict[str, Tab] = {}
    for name in (ADA, GRACE):
        tab = await browser.open(f"{url}/#general", width=WIDTH, height=HEIGHT, scale=2)
        await tab.fill("#name", name)
        await tab.click("#enter")
        await tab.wait_text("#status", "connected")
        tabs[name] = tab
    await talk(tabs)
    shown = FRAME.replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))
    for name, tab in tabs.items():
        path = folder / f"{name}.png"
        await tab.screenshot(path)
        image = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        shown += WINDOW.format(title=escape("127.0.0.1:6420/#general"), image=image)
    return shown


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = str(folder / "data")
        async with Program("-m", "examples.chat_room", "--port", "0", "--data-dir", data) as program:
            url = await program.serving()
            async with Browser() as browser:
                page = folder / "both.html"
                page.write_text(await windows(browser, url, folder))
                both = await browser.open(page.as_uri(), width=2 * WIDTH + 84, height=HEIGHT + 90, scale=1.5)
                await both.screenshot(target)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve()))
