"""A connection inside this process: a ``Channel`` and a ``Link`` back to back, with no socket between.

The same limits hold as on a websocket, so that code does not start to fail when it moves to another
process.
"""

from __future__ import annotations

import asyncio
from collections import deque

from rivetkit_core.actor.connections import OutgoingEvent
from rivetkit_core.actor.hibernation import SocketOrigin
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.edge.connect import ChannelClosed, Session
from rivetkit_core.edge.replay import Replay
from rivetkit_core.errors import error
from rivetkit_core.host.port import LinkClosed
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Event,
    SubscriptionRequest,
    ToClient,
    ToServer,
)


class LocalPipe:
    """What both ends share. Each direction is bounded by closing the connection."""

    def __init__(self, config: ActorConfig) -> None:
        self.config = config
        self.to_server: Replay[ToServer] = Replay()
        self.to_client: deque[ToClient] = deque()
        self.server_wake = asyncio.Event()
        self.client_wake = asyncio.Event()
        self.closed: tuple[int, str] | None = None

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.server_wake.set()
            self.client_wake.set()


class LocalChannel:
    """The actor's end, over any number of generations: it keeps what the client said (``SocketKeeper``)."""

    def __init__(self, pipe: LocalPipe, origin: SocketOrigin) -> None:
        self.origin = origin
        self.next_index = 0
        self._pipe = pipe
        self._released = False

    @property
    def received_index(self) -> int:
        return self._pipe.to_server.received_index

    async def receive(self) -> ToServer:
        await self.spoke()
        pipe = self._pipe
        if self._released or not len(pipe.to_server):
            raise ChannelClosed
        message = pipe.to_server.take()
        if isinstance(message, ActionRequest) and len(message.args) > pipe.config.max_incoming_message_size:
            raise error("message.incoming_too_long")
        return message

    def send(self, message: ToClient) -> None:
        pipe = self._pipe
        if pipe.closed is not None:
            return
        if _size(message) > pipe.config.max_outgoing_message_size:
            raise error("message.outgoing_too_long")
        if len(pipe.to_client) >= pipe.config.connection_backlog:
            pipe.to_client.clear()
            pipe.close(1011, "actor.overloaded")
            return
        pipe.to_client.append(message)
        pipe.client_wake.set()

    def send_event(self, event: OutgoingEvent) -> None:
        self.send(event.message)

    def close(self, code: int, reason: str) -> None:
        self._pipe.close(code, reason)

    def release(self) -> None:
        self._released = True
        self._pipe.server_wake.set()

    def ack(self, index: int) -> None:
        self._pipe.to_server.ack(index)

    def hibernate(self) -> None:
        self._released = False
        self._pipe.to_server.rewind()

    async def spoke(self) -> None:
        """Wait until the client said something more, or is gone. Safe to cancel."""
        pipe = self._pipe
        while not (len(pipe.to_server) or pipe.closed is not None or self._released):
            pipe.server_wake.clear()
            await pipe.server_wake.wait()

    async def end(self, code: int, reason: str) -> None:
        """Close the connection while nobody serves it."""
        self._pipe.close(code, reason)


async def serve_local(
    actor: ActorTask, channel: LocalChannel, params: bytes | None, *, resumed: bool = False
) -> bool:
    """Serve a client inside this process until either side closes; the connection is closed on return.

    Returns:
        Whether the client stays, and waits for the next generation.
    """
    session = Session(actor, channel, channel)
    stays = False
    try:
        stays = await (session.resume(channel) if resumed else session.run(params))
    finally:
        if stays:
            channel.hibernate()
        else:
            channel.close(1011, "actor.stopped")
    return stays


class LocalLink:
    """The client's end; implements ``Link``."""

    def __init__(self, pipe: LocalPipe) -> None:
        self._pipe = pipe

    def send(self, message: ToServer) -> None:
        pipe = self._pipe
        if pipe.closed is not None:
            raise LinkClosed(*pipe.closed)
        if len(pipe.to_server) >= pipe.config.connection_backlog:
            if isinstance(message, SubscriptionRequest):
                pipe.close(1011, "actor.overloaded")
                raise LinkClosed(1011, "actor.overloaded")
            raise error(
                "actor.overloaded",
                channel="connection",
                capacity=pipe.config.connection_backlog,
                operation=message.name,
            )
        pipe.to_server.add(message)
        pipe.server_wake.set()

    async def receive(self) -> ToClient:
        pipe = self._pipe
        while not pipe.to_client:
            if pipe.closed is not None:
                raise LinkClosed(*pipe.closed)
            pipe.client_wake.clear()
            await pipe.client_wake.wait()
        return pipe.to_client.popleft()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._pipe.close(code, reason)


def _size(message: ToClient) -> int:
    match message:
        case ActionResponse(output=payload) | Event(args=payload):
            return len(payload)
        case _:
            return 0
