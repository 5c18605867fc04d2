"""Subscriptions of a live connection: a bounded buffer with a reader.

The connection's reader must never wait for a slow subscriber, so a full buffer has a policy:

    fail           the stream ends with ``client.reader_too_slow`` (default: nothing is lost silently)
    drop_oldest    keep the newest events, for streams where only the latest matters
    drop_newest    keep the oldest events
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

from rivetkit_core.errors import RivetError, error

T = TypeVar("T")

WhenFull = Literal["fail", "drop_oldest", "drop_newest"]


class EventStream(Generic[T]):
    """One subscription: iterate it; leave its ``async with`` block to unsubscribe.

    Iteration ends when the connection is closed from this side, and raises when it failed for good. Events
    that the connection missed while it was reconnecting are not made up for. One reader at a time.
    """

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], T],
        *,
        buffer: int,
        when_full: WhenFull,
        attach: Callable[[EventStream[T]], None],
        detach: Callable[[EventStream[T]], None],
    ) -> None:
        if buffer < 1:
            raise ValueError(f"buffer is {buffer}; it must be at least 1")
        self.name = name
        self.dropped = 0
        self._decode = decode
        self._buffer = buffer
        self._when_full = when_full
        self._attach = attach
        self._detach = detach
        self._attached = False
        self._events: deque[bytes] = deque()
        self._ended = False
        self._failure: RivetError | None = None
        self._wake = asyncio.Event()

    def put(self, args: bytes) -> None:
        """Take an event from the connection. Never waits."""
        if self._ended:
            return
        if len(self._events) >= self._buffer:
            match self._when_full:
                case "fail":
                    self.end(error("client.reader_too_slow", event=self.name, limit=self._buffer))
                    return
                case "drop_oldest":
                    self._events.popleft()
                    self.dropped += 1
                case _:
                    self.dropped += 1
                    return
        self._events.append(args)
        self._wake.set()

    def end(self, failure: RivetError | None) -> None:
        """No more events will come; those in the buffer can still be read."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake.set()

    def __aiter__(self) -> Self:
        self._subscribe()
        return self

    async def __anext__(self) -> T:
        """The next event. Safe to cancel: no event is lost.

        Raises:
            ValidationError: The payload does not fit the event's type; iteration can go on.
        """
        self._subscribe()
        while not self._events:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._decode(self._events.popleft())

    async def __aenter__(self) -> Self:
        self._subscribe()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(None)
        self._detach(self)

    def _subscribe(self) -> None:
        if not self._attached:
            self._attached = True
            self._attach(self)
