"""One HTTP request and its answer, as a handler sees them.

HttpExchange       what a handler is given
HttpHandler        what serves an actor's HTTP
RawTunnel          the same for an actor's own code
serve_actor_http   the handler of everything
serve_start_failure  what answers for an actor that could not start
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from rivetkit_core.actor.lifecycle import REFUSALS, Lifecycle
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.edge.http import (
    HEADERS,
    HttpRequest,
    HttpResponse,
    actor_headers,
    error_response,
    request_encoding,
    serve_http,
)
from rivetkit_core.edge.raw import RawHead, is_raw
from rivetkit_core.edge.raw_http import MAX_BODY, serve_raw_http
from rivetkit_core.errors import ActorSpecifier, RivetError, error
from rivetkit_core.host.engine.tunnel.body import RequestBody
from rivetkit_core.host.engine.tunnel.headers import as_raw, as_text
from rivetkit_core.host.engine.tunnel.response import Response
from rivetkit_core.wire.client_protocol import Codec

_TRY_AGAIN = frozenset({"actor.not_ready", "actor.stopping"})


class Refused(Exception):
    """The generation takes no requests, and nothing of this one has run: another may take it."""


class HttpExchange:
    """One request. A handler answers with ``respond``, or with ``start`` and any number of ``write``.

    Attributes:
        path: Still percent-encoded, without the query.
        query: What followed the question mark, empty for none.
        headers: Names are lower case, one value each.
        body: Iterate to read it in chunks. What is not read when the handler returns is not uploaded.
    """

    def __init__(
        self, method: str, target: str, headers: Mapping[str, str], body: RequestBody, response: Response
    ) -> None:
        path, _, self.query = target.partition("?")
        self.method = method
        self.path = path or "/"
        self.headers = headers
        self.body = body
        self._response = response

    async def read_body(self, limit: int) -> bytes:
        """The whole rest of the body.

        Raises:
            RivetError: ``guard.invalid_request_body`` above ``limit`` bytes, as soon as that is known.
        """
        declared = self.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise error("guard.invalid_request_body", limit=limit)
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.body:
            size += len(chunk)
            if size > limit:
                raise error("guard.invalid_request_body", limit=limit)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def respond(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Give the whole answer at once.

        Raises:
            RivetError: ``message.outgoing_too_long``; nothing was sent.
        """
        self.body.cancel()
        self._response.whole(status, headers, body)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers; the answer ends when the handler returns."""
        self._response.start(status, headers)

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read.

        A gateway that cannot stream gets everything at the end. After the client went away, data is dropped.

        Raises:
            RivetError: ``message.outgoing_too_long``, only where the gateway cannot stream.
        """
        await self._response.write(data)

    def finish(self) -> None:
        """End a started answer before the handler returns.

        Raises:
            RivetError: ``message.outgoing_too_long``, only where the gateway cannot stream.
        """
        self._response.finish()


class RawTunnel:
    """An exchange as the edge's ``RawExchange``."""

    def __init__(self, exchange: HttpExchange) -> None:
        self._exchange = exchange
        self.head = RawHead(exchange.method, exchange.path, exchange.query, as_raw(exchange.headers))

    async def read(self) -> bytes:
        async for chunk in self._exchange.body:
            if chunk:
                return chunk
        return b""

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        await self._exchange.respond(status, as_text(headers), body)

    async def start(self, status: int, headers: RawHeaders) -> None:
        await self._exchange.start(status, as_text(headers))

    async def write(self, data: bytes) -> None:
        await self._exchange.write(data)

    async def finish(self) -> None:
        self._exchange.finish()


HttpHandler = Callable[[ActorTask, HttpExchange], Awaitable[None]]
"""Serves one request. A RivetError becomes an answer, as does any other failure, without its text.

It is cancelled when the client goes away."""


def require_running(actor: ActorTask, *, lasting: bool = False) -> None:
    """Do nothing if the actor takes requests, or will say itself why it never will again.

    ``lasting``: for a connection, which an actor that is going to sleep does not take.

    Raises:
        Refused: Another generation may take the request.
    """
    drowsy = actor.lifecycle is Lifecycle.SLEEP_GRACE and (lasting or not actor.takes_late_work)
    if drowsy or REFUSALS.get(actor.lifecycle) in _TRY_AGAIN:
        raise Refused


async def serve_actor_http(actor: ActorTask, exchange: HttpExchange) -> None:
    """Serve everything an actor answers over HTTP."""
    if is_raw(exchange.path):
        await serve_raw_http(actor, RawTunnel(exchange))
        return
    body = await exchange.read_body(MAX_BODY)
    require_running(actor)  # again: the upload may have outlived the generation
    request = HttpRequest(exchange.method, exchange.path, _read_headers(exchange), body)
    response = await serve_http(actor, request)
    await exchange.respond(response.status, headers_of(response, actor.identity.specifier), response.body)


async def serve_start_failure(failure: RivetError, exchange: HttpExchange) -> None:
    """Answer for an actor that could not start, as the actor would have."""
    encoding = request_encoding(_read_headers(exchange))
    response = error_response(failure, Codec(encoding))
    await exchange.respond(response.status, headers_of(response, failure.actor), response.body)


def headers_of(response: HttpResponse, actor: ActorSpecifier | None) -> dict[str, str]:
    """Everything the tunnel sends as headers of an answer."""
    about = () if actor is None else actor_headers(actor)
    return dict((("content-type", response.content_type), *about, *response.headers))


def _read_headers(exchange: HttpExchange) -> dict[str, bytes]:
    """Those that the edge reads, as bytes; the others stay as they are."""
    return {name: exchange.headers[name].encode() for name in HEADERS if name in exchange.headers}
