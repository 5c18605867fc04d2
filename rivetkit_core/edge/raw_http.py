"""Raw requests: what an actor's own code answers, whole or streamed (actor-runtime 10.2).

RawExchange      port: one request and its answer, on whatever way they come
serve_raw_http   runs ``on_request`` over it; every failure becomes an answer, or breaks off the one begun

The bounds of actions do not hold here. A body may have ``MAX_BODY`` bytes, as on every way through an engine.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, cast

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import Message, RawHeaders
from rivetkit_core.edge.http import HEADERS, actor_headers, error_response, header_params, request_encoding
from rivetkit_core.edge.raw import RawHead, http_scope
from rivetkit_core.errors import RivetError, error, masked
from rivetkit_core.wire.client_protocol import Codec

log = logging.getLogger("rivetkit.actor")

MAX_BODY = 20 * 1024 * 1024

_BODILESS = frozenset({204, 304})


class ClientGone(Exception):
    """The client went away before its request was complete."""


class RawExchange(Protocol):
    """Port: one request. It is answered by ``respond``, or by ``start``, ``write`` and ``finish``."""

    @property
    def head(self) -> RawHead: ...

    async def read(self) -> bytes:
        """The next part of the body, empty at its end. Safe to cancel.

        Raises:
            ClientGone: There will be no more, and nobody is left to answer.
            RivetError: The rest cannot be had.
        """
        ...

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Give the whole answer.

        Raises:
            RivetError: ``message.outgoing_too_long``; nothing was sent.
        """
        ...

    async def start(self, status: int, headers: RawHeaders) -> None:
        """Send the head of a streamed answer."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read.

        Raises:
            RivetError: ``message.outgoing_too_long`` on a way that cannot stream.
        """
        ...

    async def finish(self) -> None:
        """Complete a streamed answer; the handler may run on."""
        ...


async def serve_raw_http(actor: ActorTask, exchange: RawExchange) -> None:
    """Answer one request. Cancel it when the client is gone.

    An answer with the header ``x-rivet-error`` is the runtime's, any other one the actor's own.

    Raises:
        RivetError: The answer has begun and cannot be ended: break it off.
    """
    about = _about(actor)
    if not actor.raw.serves_http:
        await exchange.respond(404, about, b"")
        return
    with actor.metrics.task("http"):
        await _answer(actor, exchange, about)


async def _answer(actor: ActorTask, exchange: RawExchange, about: RawHeaders) -> None:
    talk = _Talk(exchange, about)
    fields = _edge_headers(exchange.head.headers)
    try:
        params = header_params(fields)
        await actor.raw.request(params, http_scope(exchange.head), talk.receive, talk.send)
        talk.require_complete()
    except RivetError as failure:
        if failure.actor is None:
            failure.actor = actor.identity.specifier
        if talk.complete:  # it came from what ran behind the answer, and is in the log
            return
        if talk.started:
            raise
        answer = error_response(failure, Codec(request_encoding(fields)))
        named = f"{failure.group}.{failure.code}".encode()
        headers = [(b"content-type", answer.content_type.encode()), (b"x-rivet-error", named), *about]
        await exchange.respond(answer.status, headers, answer.body)


class _Talk:
    """The two sides of ASGI over an exchange, in its order: head, body, end."""

    def __init__(self, exchange: RawExchange, about: RawHeaders) -> None:
        self._exchange = exchange
        self._about = about
        self._head: tuple[int, RawHeaders] | None = None
        self._read = 0
        self._drained = False
        self._refusal: RivetError | None = None
        self._over = asyncio.Event()
        self.started = False

    @property
    def complete(self) -> bool:
        return self._over.is_set()

    def require_complete(self) -> None:
        """Refuse an application that returned without an answer, or within one.

        Raises:
            RivetError: ``protocol.invalid_http_response``, as clients may see it.
        """
        if not self.complete:
            failure = error("protocol.invalid_http_response", reason="the answer was not completed")
            log.error("on_request failed: %s", failure)
            raise masked(failure)

    async def receive(self) -> Message:
        if self._drained:
            await self._over.wait()  # a client that goes away cancels the handler instead
            return {"type": "http.disconnect"}
        try:
            chunk = await self._exchange.read()
        except ClientGone:
            self._drained = True
            self._over.set()
            return {"type": "http.disconnect"}
        self._read += len(chunk)
        if self._read > MAX_BODY:
            self._refusal = error("guard.invalid_request_body", limit=MAX_BODY)
            raise self._refusal
        self._drained = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(self, message: Message) -> None:
        if self._refusal is not None and not self.started:
            raise self._refusal  # frameworks would answer 500 to what is the client's mistake
        match message["type"]:
            case "http.response.start":
                await self._take_head(message)
            case "http.response.body":
                await self._take_body(message)
            case _:
                pass  # trailers and pushes have no way through an engine

    async def _take_head(self, message: Message) -> None:
        if self._head is not None:
            raise RuntimeError("the response was started before")
        status = cast("int", message["status"])
        headers = [(name.lower(), value) for name, value in cast("RawHeaders", message.get("headers", []))]
        self._head = status, [*headers, *self._about]
        whole = status in _BODILESS or any(name == b"content-length" for name, _ in headers)
        if not whole:  # streamed, and whoever waits for the head must not wait for the first event as well
            await self._start()

    async def _take_body(self, message: Message) -> None:
        if self._head is None:
            raise RuntimeError("the response has to be started before its body")
        if self.complete:
            return
        body, more = cast("bytes", message.get("body", b"")), bool(message.get("more_body", False))
        if not self.started and not more:
            self.started = True
            try:
                await self._exchange.respond(*self._head, bytes(body))
            except RivetError:
                self.started = False
                raise
            self._over.set()
            return
        await self._start()
        if body:
            await self._exchange.write(bytes(body))
        if not more:
            await self._exchange.finish()
            self._over.set()

    async def _start(self) -> None:
        if not self.started and self._head is not None:
            self.started = True
            await self._exchange.start(*self._head)


def _about(actor: ActorTask) -> RawHeaders:
    return [(name.encode(), value.encode()) for name, value in actor_headers(actor.identity.specifier)]


def _edge_headers(headers: RawHeaders) -> dict[str, bytes]:
    names = {name.encode(): name for name in HEADERS}
    return {names[name]: value for name, value in headers if name in names}
