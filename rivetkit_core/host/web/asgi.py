"""Just enough ASGI: typed access to a scope, bounded bodies, whole answers, websockets as ``Socket``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from rivetkit_core.asgi import AsgiApp as AsgiApp
from rivetkit_core.asgi import Message as Message
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.asgi import Receive as Receive
from rivetkit_core.asgi import Scope as Scope
from rivetkit_core.asgi import Send as Send
from rivetkit_core.edge.websocket import Frame, SocketClosed
from rivetkit_core.errors import error
from rivetkit_core.wire.subprotocols import fitting

Headers = list[tuple[str, str]]

MAX_BODY = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request, below the mount point. ``path`` and ``query`` are as sent, still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, bytes]
    subprotocols: tuple[str, ...]
    raw_headers: RawHeaders

    def text(self, name: str) -> str | None:
        """A header as text, or None."""
        raw = self.headers.get(name)
        return None if raw is None else raw.decode("latin-1")


def read_head(scope: Scope) -> Head:
    """Parse a scope into plain data; nothing below this line sees a scope."""
    raw = cast("list[tuple[bytes, bytes]]", list(scope["headers"]))
    headers: dict[str, bytes] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        headers[key] = headers[key] + b", " + value if key in headers else value
    return Head(
        method=str(scope.get("method", "GET")),
        path=_path(scope),
        query=cast("bytes", scope.get("query_string", b"")).decode("latin-1"),
        headers=headers,
        subprotocols=tuple(cast("list[str]", scope.get("subprotocols") or [])),
        raw_headers=[(name.lower(), value) for name, value in raw],
    )


def _path(scope: Scope) -> str:
    raw = cast("bytes | None", scope.get("raw_path"))
    # Some servers leave the query in the raw path, some give none.
    path = _encoded(str(scope["path"])) if raw is None else raw.decode("latin-1").partition("?")[0]
    mount = _encoded(str(scope.get("root_path", ""))).rstrip("/")
    if mount and (path == mount or path.startswith(mount + "/")):
        path = path[len(mount) :]
    return path or "/"


def _encoded(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~")


async def read_body(receive: Receive, head: Head, limit: int = MAX_BODY) -> bytes:
    """The whole request body.

    Raises:
        RivetError: ``guard.invalid_request_body`` above ``limit`` bytes, as soon as that is known.
    """
    declared = head.text("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise error("guard.invalid_request_body", limit=limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise error("request.invalid", reason="the client went away before its request was complete")
        chunk = cast("bytes", message.get("body", b""))
        size += len(chunk)
        if size > limit:
            raise error("guard.invalid_request_body", limit=limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send one whole answer."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if status != 204:
        raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class AsgiSocket:
    """An accepted ASGI websocket as the edge's ``Socket``."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self) -> bytes:
        return (await self.receive_frame()).data

    async def receive_frame(self) -> Frame:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            raise SocketClosed(int(message.get("code") or 1005), str(message.get("reason") or ""))
        text = cast("str | None", message.get("text"))
        if text is not None:
            return Frame(text.encode(errors="surrogatepass"), text=True)
        return Frame(cast("bytes", message.get("bytes") or b""), text=False)

    async def send(self, data: bytes, *, text: bool) -> None:
        if self._closed:
            raise SocketClosed
        payload: Message = {"type": "websocket.send"}
        if text:
            payload["text"] = data.decode()
        else:
            payload["bytes"] = data
        await self._transmit(payload)

    async def close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        await self._transmit({"type": "websocket.close", "code": code, "reason": fitting(reason)})

    async def _transmit(self, payload: Message) -> None:
        try:
            await self._send(payload)
        except OSError:  # servers raise this, or a subclass, once the peer is gone (ASGI 2.4)
            self._closed = True
            raise SocketClosed from None
