"""What handles offer for raw requests and websockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Unpack

from rivetkit.client._fetching import Fetching, FetchOptions, streamed
from rivetkit.client._scope import ClientScope
from rivetkit.client._websocket import ActorWebSocket
from rivetkit_core.host.port import Target

if TYPE_CHECKING:
    import httpx


class ReachesWeb:
    """Speaks HTTP and websockets with the code of one actor."""

    _scope: ClientScope
    _target: Target
    _params: object

    async def fetch(
        self, path: str = "/", /, *, timeout: float | None = None, **options: Unpack[FetchOptions]
    ) -> httpx.Response:
        """Send a request to ``on_request`` and return the whole response, whatever its status.

        Args:
            path: As the actor sees it, perhaps with a query.
            timeout: Seconds to wait for the response; the client's default if None.
            options: See ``FetchOptions``; the method is GET unless given.

        Raises:
            RivetError: No actor answered: ``actor.not_found``, a ``guard.*`` or a ``client.*`` error.
        """
        return await fetching(self).whole(path, timeout, options)

    def stream(
        self, path: str = "/", /, *, timeout: float | None = None, **options: Unpack[FetchOptions]
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Like ``fetch``, for ``async with``: read the response as it comes, with ``aiter_lines`` and such.

        Args:
            path: As the actor sees it, perhaps with a query.
            timeout: Seconds to wait for the head of the response.
            options: See ``FetchOptions``.
        """
        return _streaming(fetching(self), path, timeout, options)

    def websocket(
        self, path: str = "/", /, *, protocols: Sequence[str] = (), timeout: float | None = None
    ) -> ActorWebSocket:
        """A websocket to ``on_websocket``, to be entered with ``async with``.

        Args:
            path: As the actor's routes have it, perhaps with a query.
            protocols: Subprotocols the actor may look at.
            timeout: Seconds it may take to open.
        """
        return ActorWebSocket(
            self._scope, self._target, path, protocols=protocols, params=self._params, timeout=timeout
        )


def fetching(handle: ReachesWeb) -> Fetching:
    """What sends the requests of a handle."""
    return Fetching(handle._scope, handle._target, handle._params)  # pyright: ignore[reportPrivateUsage]  # its own


@asynccontextmanager
async def _streaming(
    sender: Fetching, path: str, timeout: float | None, options: FetchOptions
) -> AsyncGenerator[httpx.Response]:
    request, answer = await sender.begun(path, timeout, options)
    try:
        yield streamed(request, answer)
    finally:
        await answer.aclose()
