"""Raw requests and websockets over the network: ``RawAnswer`` and ``RawSocket`` of ``HttpAccess``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rivetkit.client._http import answered_failure, lost
from rivetkit.client._link import dial, link_closed
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.host.port import LinkClosed, RawSocket
from rivetkit_core.wire import subprotocols
from rivetkit_core.wire.messages import Encoding
from rivetkit_core.wire.subprotocols import fitting


class NetworkAnswer:
    """An answer that is read from its connection as it comes, as it was encoded."""

    def __init__(self, response: httpx.Response, base: str) -> None:
        self._response = response
        self._base = base
        self.status = response.status_code
        self.headers: RawHeaders = [(name.lower(), value) for name, value in response.headers.raw]

    @classmethod
    async def of(cls, response: httpx.Response, base: str) -> NetworkAnswer:
        """An actor's answer.

        Raises:
            RivetError: The server answered for an actor that it could not reach.
        """
        if "x-rivet-error" not in response.headers or "x-rivet-actor" in response.headers:
            return cls(response, base)
        try:
            body = await response.aread()
        except httpx.HTTPError as failure:
            raise lost(base, failure) from failure
        content_type = response.headers.get("content-type", "")
        raise answered_failure(base, response.status_code, content_type, body, Encoding.JSON)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.aiter_raw():
                yield part
        except httpx.HTTPError as failure:
            raise lost(self._base, failure) from failure

    async def aclose(self) -> None:
        await self._response.aclose()


async def open_raw_socket(
    url: str,
    protocols: Sequence[str],
    *,
    params_json: str | None,
    headers: Mapping[str, str],
    shown: str,
) -> RawSocket:
    """Open a websocket to an actor's own code. Arguments and errors are those of ``open_link``."""
    offered = subprotocols.build(None, params_json, application=protocols)
    return NetworkSocket(await dial(url, offered, headers, shown, Encoding.JSON))


class NetworkSocket:
    """One open websocket."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._closed: LinkClosed | None = None

    async def receive(self) -> str | bytes:
        try:
            return await self._websocket.recv()
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    async def send(self, message: str | bytes) -> None:
        try:
            await self._websocket.send(message)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None and self._websocket.close_code is None:
            self._closed = LinkClosed(code, reason)
        await self._websocket.close(code, fitting(reason))

    def _ended(self, closed: ConnectionClosed) -> LinkClosed:
        return self._closed or link_closed(closed)
