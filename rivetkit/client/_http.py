"""HTTP requests of a client: what may be sent again, and how failures read.

A request that could not be sent (no connection) is sent again for ``REACH_BUDGET`` seconds. A kept-alive
connection that the server closed just then looks like a lost answer; requests that may run twice are sent
again once, if the connection had been used before and broke within ``STALE_WINDOW`` seconds. An action may
not: any failure after sending it is ``client.connection_lost``. Idle connections are given up before the
server gives them up, so this is rare.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import suppress

import httpx

from rivetkit.client._failures import failure_of
from rivetkit.client._retry import Backoff
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ConnectionLost, ProtocolError, RivetError, error
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding

REACH_BUDGET = 5.0
"""Seconds during which a server that cannot be reached is tried again."""

STALE_WINDOW = 1.0
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})

_MAX_CONNECTIONS = 1000
_MAX_IDLE = 100
_IDLE_EXPIRY = 4.0  # our server closes idle connections after 5 s; be first


class _Watched:
    """Notices whether a request opened a connection of its own."""

    def __init__(self) -> None:
        self.fresh = False

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        if event.startswith("connection.connect_"):
            self.fresh = True


class HttpSender:
    """Sends requests. Waits have no limit of their own: callers bound them.

    Args:
        clock: For back-off.
        entropy: For back-off.
        transport: Instead of real sockets, in tests.
    """

    def __init__(
        self, *, clock: Clock, entropy: Entropy, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        limits = httpx.Limits(
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_EXPIRY,
        )
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=None,  # noqa: S113 - callers bound it, with the injected clock
            limits=limits,
            follow_redirects=False,
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Sequence[tuple[bytes, bytes]],
        content: bytes | AsyncIterable[bytes] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """The whole answer, whatever its status; with ``stream`` its head, to be read and closed.

        Raises:
            ConnectionLost: The request may have arrived, the answer did not.
            RivetError: ``client.request_failed``: the server cannot be reached; nothing was sent.
        """
        backoff = Backoff(self._entropy, first=0.1, longest=1.0)
        give_up = self._clock.monotonic() + REACH_BUDGET
        while True:
            request = self._build(method, url, headers, content)
            try:
                return await self._send_unless_stale(request, stream)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as failure:
                delay = backoff.delay()
                if self._clock.monotonic() + delay > give_up:
                    raise unreachable(_server(request), failure) from failure
            except httpx.HTTPError as failure:
                raise lost(_server(request), failure) from failure
            await self._clock.sleep(delay)

    async def aclose(self) -> None:
        await self._http.aclose()

    def _build(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Sequence[tuple[bytes, bytes]],
        content: bytes | AsyncIterable[bytes] | None,
    ) -> httpx.Request:
        if not isinstance(headers, Mapping):
            headers = list(headers)
        try:
            return self._http.build_request(method, url, headers=headers, content=content)
        except httpx.InvalidURL as failure:
            raise error("validation.invalid_input", reason=f"URL: {failure}") from failure

    async def _send_unless_stale(self, request: httpx.Request, stream: bool) -> httpx.Response:
        watched, began = _Watched(), self._clock.monotonic()
        request.extensions["trace"] = watched.trace
        try:
            return await self._http.send(request, stream=stream)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            late = self._clock.monotonic() - began > STALE_WINDOW
            once = request.method not in _REPEATABLE or not isinstance(request.stream, httpx.SyncByteStream)
            if watched.fresh or late or once:
                raise
        del request.extensions["trace"]
        return await self._http.send(request, stream=stream)


def unreachable(base: str, failure: Exception) -> RivetError:
    """Nobody answers at ``base``."""
    why = str(failure) or type(failure).__name__
    return error("client.request_failed", reason=f"cannot connect to {base}: {why}; is the server running?")


def answered_failure(
    base: str, status: int, content_type: str, body: bytes, encoding: Encoding
) -> RivetError:
    """The error an HTTP answer stands for: JSON if labelled so, else in the client's own encoding."""
    codec = Codec(Encoding.JSON if "application/json" in content_type else encoding)
    with suppress(ProtocolError):
        return failure_of(codec.decode_http_error(body))
    if status in (401, 403):
        return error("api.unauthorized" if status == 401 else "auth.forbidden")
    reason = f"{base} answered with status {status} and no error that is Rivet's; is it a Rivet server?"
    return error("client.request_failed", reason=reason)


def _server(request: httpx.Request) -> str:
    """Where a request went, without what it said there."""
    return f"{request.url.scheme}://{request.url.netloc.decode()}"


def lost(base: str, failure: Exception) -> RivetError:
    """The connection to ``base`` broke before the answer was complete."""
    why = str(failure) or type(failure).__name__
    message = f"The connection to {base} was lost before the answer arrived: {why}"
    return ConnectionLost("client", "connection_lost", message)
