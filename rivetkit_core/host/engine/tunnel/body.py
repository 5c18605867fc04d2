"""The body of a request, whole or in chunks (envoy-protocol 6.3).

Invariants
    What waits here is at most one window: the engine gets credit only for what the handler took.
    A handler that stops reading stops the upload.
"""

from __future__ import annotations

import asyncio
from collections import deque

from rivetkit_core.errors import error
from rivetkit_core.host.engine.tunnel.indices import Outgoing
from rivetkit_core.host.engine.tunnel.window import ReceiveWindow
from rivetkit_core.wire.envoy.messages import RequestBodyCancel, RequestBodyWindowUpdate


class RequestBody:
    """Iterate to read it. Cancelling a read loses nothing.

    A read raises ``request.invalid`` when the engine broke the upload off. It does so when a streamed
    answer starts before the upload is complete: this gateway does not carry both at once.
    """

    def __init__(self, outgoing: Outgoing, first: bytes | None, *, streamed: bool) -> None:
        self._outgoing = outgoing
        self._window = ReceiveWindow()
        self._chunks: deque[bytes] = deque([first] if first else [])
        self._complete = not streamed
        self._streamed = streamed
        self._cut = False
        self._arrived = asyncio.Event()
        if streamed and first:
            self._window.arrive(len(first))

    def feed(self, chunk: bytes, *, finish: bool) -> bool:
        """Take a chunk; False when the engine sent more than it had credit for."""
        if self._complete:
            return True
        if chunk:
            self._chunks.append(chunk)
        self._complete = finish
        self._arrived.set()
        return self._window.arrive(len(chunk))

    def cut(self) -> None:
        """The engine sends no more, although the body is not complete. Otherwise it confirms ``cancel``."""
        if not self._complete:
            self._cut = self._complete = True
            self._arrived.set()

    def cancel(self) -> None:
        """Read no more; the engine is told unless it has sent everything. Idempotent."""
        if not self._complete:
            self._outgoing.send(RequestBodyCancel())
        self._complete = True
        self._chunks.clear()
        self._arrived.set()

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._cut:
                raise error("request.invalid", reason="the upload was broken off")
            if self._complete:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        if self._streamed:
            consumed = self._window.consume(len(chunk))
            if consumed is not None and not self._complete:  # nobody waits for credit after the last chunk
                self._outgoing.send(RequestBodyWindowUpdate(consumed))
        return chunk
