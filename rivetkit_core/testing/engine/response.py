"""The client's side of one HTTP request: what came back, as it comes."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Generator, Mapping


class ProtocolViolation(AssertionError):
    """The host broke a rule of the protocol; the message names it."""


class ResponseCut(Exception):
    """The connection of the client ended before its response did."""


class ScriptedResponse:
    """Awaiting it gives it back once the head is there; ``read`` and ``chunk`` give the body.

    A body that is not read counts as not consumed: the host runs out of credit.

    Attributes:
        status: 0 until the head arrived.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.finished = False
        self.on_consumed: Callable[[int], None] = _ignore_bytes
        self.on_leave: Callable[[], None] = _nothing
        self.on_upload: Callable[[bytes, bool], None] = _ignore_upload
        self._chunks: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._wake = asyncio.Event()

    def __await__(self) -> Generator[object, None, ScriptedResponse]:
        return self._head().__await__()

    async def chunk(self) -> bytes:
        """The next piece of the body, empty at its end.

        Raises:
            ResponseCut: The rest will not come.
            ProtocolViolation: The host broke a rule.
        """
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self.finished:
                return b""
            await self._changed()
        piece = self._chunks.popleft()
        self.on_consumed(len(piece))
        return piece

    async def read(self) -> bytes:
        """The whole body, or what is left of it; raises like ``chunk``."""
        pieces: list[bytes] = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def upload(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body of a request that was made with ``uploading``."""
        self.on_upload(data, last)

    def leave(self) -> None:
        """Let the client go away."""
        self.fail(ResponseCut("the client went away"))
        self.on_leave()

    # What the gateway does

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, dict(headers)
        self._wake.set()

    def add(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self._wake.set()

    def finish(self) -> None:
        self.finished = True
        self._wake.set()

    def refuse(self, status: int, code: str) -> None:
        """Answer with an error of the gateway itself."""
        group, _, rest = code.partition(".")
        body = {"group": group, "code": rest, "message": code}
        self.begin(status, {"x-rivet-error": code, "content-type": "application/json"})
        self.add(json.dumps(body).encode())
        self.finish()

    def fail(self, failure: Exception) -> None:
        """End without the rest; whoever awaits gets ``failure``. Ignored once it has ended."""
        if self._failure is None and not self.finished:
            self._failure = failure
            self._wake.set()

    async def _head(self) -> ScriptedResponse:
        while self.status == 0:
            if self._failure is not None:
                raise self._failure
            await self._changed()
        return self

    async def _changed(self) -> None:
        self._wake.clear()
        await self._wake.wait()


def _ignore_bytes(_size: int) -> None:
    """Nobody counts."""


def _nothing() -> None:
    """Nobody cares."""


def _ignore_upload(_data: bytes, _last: bool) -> None:
    """The request had its body."""
