"""Event streams: a bounded buffer between the connection and one reader.

The connection never waits for a reader. What happens to a reader that falls behind is its own choice:

    fail          it gets what is buffered, then ``client.reader_too_slow``; nothing is missing before that
    drop_oldest   it skips the oldest events
    drop_newest   it skips the latest events
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Literal, Protocol, Self

from typing_extensions import TypeVar

from rivetkit_core.errors import RivetError, error

T_co = TypeVar("T_co", covariant=True)

WhenFull = Literal["fail", "drop_oldest", "drop_newest"]

DEFAULT_BUFFER = 1024


class EventBuffer:
    """Undecoded events of one reader."""

    def __init__(self, event: str, size: int, when_full: WhenFull) -> None:
        if size < 1:
            raise ValueError(f"buffer must be at least 1, not {size}")
        self.event = event
        self._size = size
        self._when_full: WhenFull = when_full
        self._held: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._failure: RivetError | None = None

    @property
    def ended(self) -> bool:
        """Whether no event can follow."""
        return self._ended

    def put(self, args: bytes) -> None:
        """Take an event. Never waits; after the end it is dropped."""
        if self._ended:
            return
        if len(self._held) >= self._size:
            match self._when_full:
                case "drop_newest":
                    return
                case "drop_oldest":
                    self._held.popleft()
                case "fail":
                    self.end(error("client.reader_too_slow", event=self.event, limit=self._size))
                    return
        self._held.append(args)
        self._wake.set()

    def end(self, failure: RivetError | None = None) -> None:
        """No event will follow; the reader learns it after those that are held. The first end counts."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake.set()

    async def get(self) -> bytes:
        """The next event. Cancelling loses none.

        Raises:
            StopAsyncIteration: The stream was closed from this side.
            RivetError: Why there are no more events; raised once, then the stream is at its end.
        """
        while not self._held:
            if self._ended:
                failure, self._failure = self._failure, None
                if failure is None:
                    raise StopAsyncIteration
                raise failure
            self._wake.clear()
            await self._wake.wait()
        return self._held.popleft()


class Subscriptions(Protocol):
    """What a stream needs of its connection."""

    def subscribe(self, buffer: EventBuffer) -> None: ...

    def unsubscribe(self, buffer: EventBuffer) -> None: ...


class EventStream(Generic[T_co]):
    """One subscription. Iterate it; leave its ``async with`` block to unsubscribe.

    It begins when the block is entered, or with the first event asked for. It outlives reconnects:
    events sent while the connection was down are missing, what follows arrives. The iteration ends when
    the stream or the connection is closed from this side. One task at a time may read.

    Raises:
        RivetError: ``client.reader_too_slow`` by choice of ``when_full``, or why the connection ended.
        ValidationError: A payload does not fit the declared type; later events can still be read.
    """

    def __init__(
        self, subscriptions: Subscriptions, buffer: EventBuffer, decode: Callable[[bytes], T_co]
    ) -> None:
        self._subscriptions = subscriptions
        self._buffer = buffer
        self._decode = decode
        self._begun = False

    async def aclose(self) -> None:
        """Unsubscribe. Idempotent; events that are buffered can still be read."""
        self._begun = True
        self._subscriptions.unsubscribe(self._buffer)
        self._buffer.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        self._begin()
        return self._decode(await self._buffer.get())

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._subscriptions.subscribe(self._buffer)
