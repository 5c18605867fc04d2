"""Raw requests of the gateway: bodies and answers pass through as they come.

The handler runs in a task of its own, which ends when the client goes away. The server says so only to
who asks, and asking reads the body, so a client is watched once its request is complete.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.raw_http import ClientGone, serve_raw_http
from rivetkit_core.errors import RivetError
from rivetkit_core.host.web.asgi import Headers, Receive, Send


async def serve_streamed(
    actor: ActorTask, head: RawHead, headers: Headers, receive: Receive, send: Send
) -> None:
    """Answer a request. An answer that cannot be completed is broken off, with its connection.

    Args:
        headers: The gateway's own; those that the actor sets as well win.
    """
    exchange = GatewayExchange(head, headers, receive, send)
    handler = asyncio.create_task(serve_raw_http(actor, exchange), name="rivetkit on_request")
    watcher = asyncio.create_task(exchange.watch())
    try:
        await asyncio.wait([handler, watcher], return_when=asyncio.FIRST_COMPLETED)
        if exchange.answered:  # the client may go, and what runs behind the answer goes on
            await asyncio.wait([handler])
    finally:
        for task in (handler, watcher):
            if not task.done():
                task.cancel()
        await asyncio.wait([handler, watcher])
    if not handler.cancelled():
        with contextlib.suppress(RivetError):  # begun and not completed: the server cuts the connection
            handler.result()


class GatewayExchange:
    """One request of the server, as the edge's ``RawExchange``."""

    def __init__(self, head: RawHead, headers: Headers, receive: Receive, send: Send) -> None:
        self.head = head
        self._headers = headers
        self._receive = receive
        self._send = send
        self._read = asyncio.Event()
        self.answered = False
        self._gone = False
        self._bodiless = not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in head.headers
        )

    async def watch(self) -> None:
        """Return when the client has gone away, which shows only when it has sent everything."""
        if self._bodiless:
            await self._receive()
            self._read.set()
        await self._read.wait()
        while not self._gone and (await self._receive())["type"] != "http.disconnect":
            pass

    async def read(self) -> bytes:
        if self._bodiless:
            return b""
        while not self._read.is_set():
            message = await self._receive()
            if message["type"] != "http.request":
                self._gone = True
                self._read.set()
                raise ClientGone
            if not message.get("more_body", False):
                self._read.set()
            chunk = cast("bytes", message.get("body", b""))
            if chunk:
                return chunk
        return b""

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        if status not in (204, 304) and all(name != b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self.start(status, headers)
        self.answered = True
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: RawHeaders) -> None:
        set_by_actor = {name for name, _ in headers}
        own = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers]
        raw = [(name, value) for name, value in own if name not in set_by_actor]
        await self._send({"type": "http.response.start", "status": status, "headers": [*raw, *headers]})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        self.answered = True
        await self._send({"type": "http.response.body", "body": b""})
