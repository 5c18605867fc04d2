"""The answer to one request: whole, or streamed as far as the gateway can (envoy-protocol 6.2, 6.3).

NEW --whole--> FINISHED
 \\--start--> STARTED --finish--> FINISHED
  \\-----------\\------abort----> FINISHED
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

from rivetkit_core.errors import error
from rivetkit_core.host.engine.tunnel.indices import Outgoing
from rivetkit_core.host.engine.tunnel.window import SendWindow
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    ResponseAbort,
    ResponseChunk,
    ResponseStart,
)


class Phase(enum.Enum):
    """How far a response is."""

    NEW = "new"
    STARTED = "started"
    FINISHED = "finished"


class Response:
    """Sends one answer. Without ``streams`` a streamed answer is collected and leaves whole."""

    def __init__(self, outgoing: Outgoing, *, streams: bool, max_payload: int) -> None:
        self.phase = Phase.NEW
        self.answer: ResponseStart | None = None
        self._outgoing = outgoing
        self._streams = streams
        self._max_payload = max_payload
        self._window = SendWindow()
        self._credited = asyncio.Event()
        self._head: tuple[int, Mapping[str, str]] = (200, {})
        self._collected: list[bytes] = []
        self._collected_bytes = 0

    @property
    def undecided(self) -> bool:
        """Whether the engine has heard nothing yet, so that another answer can still be given."""
        return self.phase is Phase.NEW or (self.phase is Phase.STARTED and not self._streams)

    def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer at once.

        Raises:
            RivetError: ``message.outgoing_too_long``; nothing was sent.
        """
        if not self.undecided:
            raise RuntimeError("the response was given before")
        if len(body) > self._max_payload:
            raise error("message.outgoing_too_long")
        self.answer = ResponseStart(status, headers, body or None)
        self.phase = Phase.FINISHED
        self._outgoing.send(self.answer)
        self._outgoing.end()

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head; ``write`` and ``finish`` follow."""
        if self.phase is not Phase.NEW:
            raise RuntimeError("the response was started before")
        self.phase = Phase.STARTED
        self._head = (status, headers)
        if self._streams:
            self._outgoing.send(ResponseStart(status, headers, None, stream=True))

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read.

        Raises:
            RivetError: ``message.outgoing_too_long``: what must leave whole has become too long.
        """
        if self.phase is not Phase.STARTED:
            raise RuntimeError("a body needs a started response")
        if self._streams:
            await self._stream(data)
            return
        self._collected_bytes += len(data)
        if self._collected_bytes > self._max_payload:
            raise error("message.outgoing_too_long")
        self._collected.append(data)

    def finish(self) -> None:
        """End a started answer. Does nothing for one that was given whole.

        Raises:
            RuntimeError: There is none.
        """
        match self.phase, self._streams:
            case Phase.NEW, _:
                raise RuntimeError("the handler gave no answer")
            case Phase.STARTED, True:
                self.phase = Phase.FINISHED
                self._outgoing.send(ResponseChunk(b"", finish=True))
                self._outgoing.end()
            case Phase.STARTED, False:
                status, headers = self._head
                self.whole(status, headers, b"".join(self._collected))
            case _:
                pass

    def abort(self, kind: AbortKind, detail: str) -> None:
        """Break off: before the start the engine may deliver the request again, later it cuts the client.

        Does nothing once the answer is complete.
        """
        if self.phase is Phase.FINISHED:
            return
        self.phase = Phase.FINISHED
        self.answer = None
        self._outgoing.send(ResponseAbort(AbortReason(kind, detail)))
        self._outgoing.end()

    def credit(self, consumed: int) -> None:
        """The client took so many bytes in all."""
        self._window.credit(consumed)
        self._credited.set()

    async def _stream(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._outgoing.ended:
            await self._outgoing.writable()
            granted = self._window.take(len(view))
            if granted:
                self._outgoing.send(ResponseChunk(bytes(view[:granted]), finish=False))
                view = view[granted:]
            else:
                self._credited.clear()
                await self._credited.wait()
