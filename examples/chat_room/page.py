"""The page as a tiny ASGI application; any web framework would do as well."""

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]

WEB = Path(__file__).parent / "web"
FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/room.js": ("room.js", "text/javascript"),
    "/actor.js": ("actor.js", "text/javascript"),
}
# Only our own files run, so that markup in a message could do nothing even if it got into the document.
# Websockets may go anywhere: the actors may be on an engine.
POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


async def page(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    found = FILES.get(scope["path"])
    status, kind, body = 404, "text/plain", b"not found\n"
    if found is not None:
        status, kind, body = 200, found[1], (WEB / found[0]).read_bytes()
    headers = {
        "content-type": f"{kind}; charset=utf-8",
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
