"""A websocket without a network, for tests of what serves one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from rivetkit_core.edge.websocket import Frame, SocketClosed


@dataclass(frozen=True, slots=True)
class SentFrame:
    """One frame that was sent to the peer."""

    data: bytes
    text: bool


class ScriptedSocket:
    """Implements ``Socket``: frames come from the test, and what is sent is kept.

    Attributes:
        sent: Frames sent so far, oldest first.
        closed: Code and reason of the close frame sent, None while there is none.
    """

    def __init__(self, frames: Iterable[bytes | str] = ()) -> None:
        self.sent: list[SentFrame] = []
        self.closed: tuple[int, str] | None = None
        self._incoming: deque[Frame] = deque(map(_frame, frames))
        self._gone: tuple[int, str] | None = None
        self._arrived = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()

    def push(self, frame: bytes | str) -> None:
        """Let the peer send a frame."""
        self._incoming.append(_frame(frame))
        self._arrived.set()

    def push_text(self, data: bytes) -> None:
        """Let the peer send text that may not be UTF-8."""
        self._incoming.append(Frame(data, text=True))
        self._arrived.set()

    @property
    def unread(self) -> int:
        """How many frames of the peer nobody has received."""
        return len(self._incoming)

    def drop(self, code: int = 1005, reason: str = "") -> None:
        """Let the peer go away, after the frames it sent."""
        self._gone = (code, reason)
        self._arrived.set()
        self._reads.set()

    def stop_reading(self) -> None:
        """Let the peer read nothing until ``resume_reading``: sending waits."""
        self._reads.clear()

    def resume_reading(self) -> None:
        self._reads.set()

    async def receive(self) -> bytes:
        return (await self.receive_frame()).data

    async def receive_frame(self) -> Frame:
        while not self._incoming:
            if self._gone is not None:
                raise SocketClosed(*self._gone)
            if self.closed is not None:
                raise SocketClosed
            self._arrived.clear()
            await self._arrived.wait()
        return self._incoming.popleft()

    async def send(self, data: bytes, *, text: bool) -> None:
        await self._reads.wait()
        if self._gone is not None or self.closed is not None:
            raise SocketClosed
        self.sent.append(SentFrame(data, text))

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self._arrived.set()


def _frame(frame: bytes | str) -> Frame:
    return Frame(frame, text=False) if isinstance(frame, bytes) else Frame(frame.encode(), text=True)
