"""Raw requests and websockets of blocking handles: the asynchronous ones behind a ``Portal``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import httpx

from rivetkit.client._fetching import Fetching, FetchOptions
from rivetkit.client._portal import Portal
from rivetkit.client._web import fetching
from rivetkit.client._websocket import ActorWebSocket

if TYPE_CHECKING:
    from rivetkit.client._handle import ActorHandle
    from rivetkit_core.host.port import RawAnswer


class SyncActorWebSocket:
    """One websocket; like ``ActorWebSocket``, with ``with`` and ``for``. Several threads may use it."""

    def __init__(self, portal: Portal, websocket: ActorWebSocket) -> None:
        self._portal = portal
        self._websocket = websocket

    def receive(self) -> str | bytes:
        """The next message; raises as ``ActorWebSocket.receive`` does."""
        return self._portal.run(self._websocket.receive)

    def send(self, message: str | bytes) -> None:
        """Send text or a binary message; raises as ``ActorWebSocket.send`` does."""
        self._portal.run(lambda: self._websocket.send(message))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the websocket, from any thread. Idempotent."""
        if not self._portal.closed:
            self._portal.run(lambda: self._websocket.close(code, reason))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        try:
            return self._portal.run(self._websocket.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        self._portal.run(self._websocket.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if not self._portal.closed:
            self._portal.run(lambda: self._websocket.__aexit__(kind, failure, trace))


class SyncReachesWeb:
    """Speaks HTTP and websockets with the code of one actor, blocking."""

    _portal: Portal
    _handle: ActorHandle[Any]

    def fetch(
        self, path: str = "/", /, *, timeout: float | None = None, **options: Unpack[FetchOptions]
    ) -> httpx.Response:
        """Send a request to ``on_request`` and return the whole response; see ``ActorHandle.fetch``."""
        return self._portal.run(lambda: self._handle.fetch(path, timeout=timeout, **options))

    def stream(
        self, path: str = "/", /, *, timeout: float | None = None, **options: Unpack[FetchOptions]
    ) -> AbstractContextManager[httpx.Response]:
        """Like ``fetch``, for ``with``: the response is read as it comes, with ``iter_lines`` and such."""
        return _streaming(self._portal, fetching(self._handle), path, timeout, options)

    def websocket(
        self, path: str = "/", /, *, protocols: Sequence[str] = (), timeout: float | None = None
    ) -> SyncActorWebSocket:
        """A websocket to ``on_websocket``, for ``with``; see ``ActorHandle.websocket``."""
        websocket = self._handle.websocket(path, protocols=protocols, timeout=timeout)
        return SyncActorWebSocket(self._portal, websocket)


class _Body(httpx.SyncByteStream):
    """An answer's body as httpx reads it without an event loop."""

    def __init__(self, portal: Portal, answer: RawAnswer) -> None:
        self._portal = portal
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        parts = aiter(self._answer)
        while True:
            try:
                yield self._portal.run(lambda: _next(parts))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        if not self._portal.closed:
            self._portal.run(self._answer.aclose)


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    return await anext(parts)


@contextmanager
def _streaming(
    portal: Portal, sender: Fetching, path: str, timeout: float | None, options: FetchOptions
) -> Generator[httpx.Response]:
    request, answer = portal.run(lambda: sender.begun(path, timeout, options))
    body = _Body(portal, answer)
    try:
        yield httpx.Response(answer.status, headers=answer.headers, stream=body, request=request)
    finally:
        body.close()
