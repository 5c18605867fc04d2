"""Raw requests and websockets in the types people know: Starlette's, or a whole ASGI application.

The core speaks ASGI; this makes objects of it for ``on_request`` and ``on_websocket``. Starlette is imported
when the first of them comes, since most actors and all clients do without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rivetkit._actor import Actor
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from rivetkit_core.asgi import Receive, Scope, Send


class Web:
    """What one generation of an actor answers by itself."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        kind, makes_app = type(actor), type(actor).create_app is not Actor.create_app
        self.serves_http = makes_app or kind.on_request is not Actor.on_request
        self.serves_websockets = makes_app or kind.on_websocket is not Actor.on_websocket
        self._makes_app = makes_app
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    def can_hibernate(self, scope: Scope, option: bool | Callable[[Any], bool]) -> bool:
        """What the author says of a websocket: the option, or what it answers for the request."""
        if isinstance(option, bool):
            return option
        from starlette.requests import HTTPConnection

        return bool(option(HTTPConnection(scope)))

    async def request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        from starlette.requests import ClientDisconnect, Request

        try:
            if self._makes_app:
                answer = await self._made_app()
            else:
                answer = await self._actor.on_request(Request(scope, receive, send))
            if not callable(answer):
                where = f"{type(self._actor).__name__}.on_request"
                reason = f"{where} returned {type(answer).__name__}, which is no response"
                raise error("protocol.invalid_http_response", reason=reason)
            await answer(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is left to be answered

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a websocket."""
        from starlette.websockets import WebSocket, WebSocketDisconnect

        try:
            if self._makes_app:
                await (await self._made_app())(scope, receive, send)
            else:
                await self._actor.on_websocket(WebSocket(scope, receive, send))
        except WebSocketDisconnect:
            pass  # how handlers learn that their client is gone; that nobody caught it is no failure

    async def _made_app(self) -> ASGIApp:
        async with self._making:
            if self._app is None:
                self._app = await self._actor.create_app()
            return self._app
