"""The page as a tiny ASGI application; any web framework would do as well."""

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Event = MutableMapping[str, Any]

HTML = (Path(__file__).parent / "page.html").read_bytes()


async def page(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    found = scope["type"] == "http" and scope["path"] == "/"
    headers = [(b"content-type", b"text/html; charset=utf-8" if found else b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    await send({"type": "http.response.body", "body": HTML if found else b"not found\n"})
