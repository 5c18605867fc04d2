"""Raw websockets to actors' own code."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rivetkit.client._bounds import bounded
from rivetkit.client._payload import encode_params
from rivetkit.client._scope import ClientScope
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import LinkClosed, RawSocket, Target

_NORMAL = frozenset({1000, 1001, 1005})


class WebSocketClosed(RivetError):
    """The websocket has ended.

    Attributes:
        close_code: 1006 if there was no close frame.
        close_reason: ``group.code`` if the runtime closed it, else the actor's own text.
    """

    identity = ("client", "websocket_closed")

    def __init__(self, close_code: int, close_reason: str) -> None:
        super().__init__(
            "client",
            "websocket_closed",
            metadata={"close_code": close_code, "close_reason": close_reason or "no reason"},
        )
        self.close_code = close_code
        self.close_reason = close_reason

    def __reduce__(self) -> tuple[object, ...]:
        return (WebSocketClosed, (self.close_code, self.close_reason))


class ActorWebSocket:
    """One websocket; enter it with ``async with``, iterate over it for messages.

    Text arrives as ``str``, binary messages as ``bytes``. It is not opened again when it breaks. That the
    actor refused it shows at the first ``receive``.
    """

    def __init__(
        self,
        scope: ClientScope,
        target: Target,
        path: str,
        *,
        protocols: Sequence[str],
        params: object,
        timeout: float | None,
    ) -> None:
        self._scope = scope
        self._target = target
        self._path = path if path.startswith("/") else f"/{path}"
        self._protocols = protocols
        self._params = params
        self._timeout = timeout
        self._socket: RawSocket | None = None

    async def receive(self) -> str | bytes:
        """The next message. Safe to cancel: no message is lost.

        Raises:
            WebSocketClosed: The websocket has ended.
        """
        try:
            return await self._opened.receive()
        except LinkClosed as closed:
            raise WebSocketClosed(closed.code, closed.reason) from closed

    async def send(self, message: str | bytes) -> None:
        """Send text or a binary message; waits while the other side does not read.

        Raises:
            WebSocketClosed: The websocket has ended.
        """
        try:
            await self._opened.send(message)
        except LinkClosed as closed:
            raise WebSocketClosed(closed.code, closed.reason) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the websocket. Codes from 4000 on are yours to give a meaning. Idempotent."""
        if self._socket is not None:
            await self._socket.close(code, reason)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.close_code in _NORMAL:
                raise StopAsyncIteration from None
            raise

    async def __aenter__(self) -> Self:
        if self._socket is not None:
            raise RuntimeError("a websocket is opened once: ask the handle for another one")
        scope = self._scope
        scope.require_open()
        self._socket = await bounded(scope.clock, scope.seconds(self._timeout), self._open())
        scope.connections.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._scope.connections.discard(self)
        await self.close()

    async def _open(self) -> RawSocket:
        params = await encode_params(self._params)
        access = self._scope.access
        return await access.websocket(self._target, self._path, protocols=self._protocols, params=params)

    @property
    def _opened(self) -> RawSocket:
        if self._socket is None:
            raise error(
                "actor.invalid_operation",
                operation="websocket",
                reason="it is not open: enter it with `async with`",
            )
        return self._socket
