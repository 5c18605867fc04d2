"""Raw websockets: what an actor's own code says to a client, frame by frame (actor-runtime 10.3).

    OPEN --the client closes | the handler closes, returns or raises | the actor closes--> ENDED
       \\--the actor sleeps, and the client's gateway keeps it--> LET GO, for the next generation

Invariants
    The first end counts: its code and reason are what the other side is told.
    The handler hears of the end through ``websocket.disconnect``, and has a few seconds to come to its own.
    The connection is removed when the handler has come to its end, unless the actor removed it before.
    A frame is read ahead so that a client which goes away is noticed while the handler is busy.
    A frame is acknowledged when the handler asks for the next one. What it has not begun with when the
    actor goes to sleep is delivered to the next generation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import cast

from rivetkit_core.actor.acknowledgements import Delivery
from rivetkit_core.actor.connections import Connection, OutgoingEvent
from rivetkit_core.actor.hibernation import SocketKeeper
from rivetkit_core.actor.raw import Callback
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import Message, Scope
from rivetkit_core.clock import Clock
from rivetkit_core.edge.raw import RawHead, socket_scope
from rivetkit_core.edge.websocket import Frame, Socket, SocketClosed
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.subprotocols import close_reason

log = logging.getLogger("rivetkit.actor")

_CLOSE_TIMEOUT = 5.0
_READ_AHEAD = 64
_READ_AHEAD_BYTES = 1024 * 1024
_GOING_AWAY = 1001


async def serve_raw_socket(
    actor: ActorTask,
    head: RawHead,
    params: bytes | None,
    socket: Socket,
    clock: Clock,
    keeper: SocketKeeper | None = None,
    *,
    resumed: bool = False,
) -> bool:
    """Serve an accepted websocket until either side closes; it is closed on return.

    Cancelling closes the connection and ends the handler.

    Args:
        keeper: Keeps the websocket while the actor sleeps.
        resumed: The websocket was served by an earlier generation, and stayed.

    Returns:
        Whether the websocket is open, and waits for the next generation.
    """
    if not actor.raw.serves_websockets:
        await socket.close(1000, "")
        return False
    session = RawSession(actor, socket, clock, keeper)
    try:
        if resumed and keeper is not None:
            conn = actor.reattach(keeper, session)
        else:
            conn = await actor.open_connection(params, session, keeper)
    except RivetError as failure:
        if resumed and keeper is not None and failure.group == "actor":
            keeper.hibernate()  # this generation ends already, so that the next one is asked
            return True
        await socket.close(1011, close_reason(failure.group, failure.code))
        return False
    try:
        with actor.metrics.task("websocket_lifetime"):
            await session.serve(conn, socket_scope(head, restored=resumed))
    finally:
        if not session.released:
            actor.close_connection(conn)
    if session.released and keeper is not None:
        keeper.hibernate()
    return session.released


class RawSession:
    """One raw websocket; also its connection's sink.

    Attributes:
        released: Whether the websocket stays for the next generation.
    """

    def __init__(
        self, actor: ActorTask, socket: Socket, clock: Clock, keeper: SocketKeeper | None = None
    ) -> None:
        self.released = False
        self._actor = actor
        self._socket = socket
        self._clock = clock
        self._keeper = keeper
        self._conn: Connection | None = None
        self._handler: asyncio.Task[None] | None = None
        self._inbox: deque[tuple[Frame, Delivery | None]] = deque()
        self._inbox_bytes = 0
        self._delivery: Delivery | None = None
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = asyncio.Event()
        self._end: tuple[int, str] = (1006, "")
        self._closing: tuple[int, str] | None = None
        self._callback: Callback | None = None
        self._connected = False

    # --- the connection's sink ------------------------------------------------------------------

    def send_event(self, event: OutgoingEvent) -> None:
        log.error("event %s cannot be sent: its connection is a raw websocket", event.message.name)

    def close(self, code: int, reason: str) -> None:
        if code == _GOING_AWAY:  # for clients that come back by themselves, which these may not be
            code, reason = 1000, "actor.stopped"
        self._finish(code, reason, tell=True)

    def release(self) -> None:
        if not self._ended.is_set():
            self.released = True
            self._ended.set()

    # --- its life -------------------------------------------------------------------------------

    async def serve(self, conn: Connection, scope: Scope) -> None:
        """Run the handler of an admitted connection until the websocket and the handler have ended."""
        self._conn = conn
        handler = asyncio.create_task(self._handle(conn, scope), name="rivetkit on_websocket")
        self._handler = handler
        self._callback = self._actor.raw.callback(handler)
        self._callback.begin()
        reader = asyncio.create_task(self._read())
        unsubscribe = self._actor.context.abort_signal.add_callback(self._rest)
        try:
            await self._ended.wait()
            reader.cancel()
            if not self.released:
                await self._tell()
                await self._wait(handler)
        finally:
            unsubscribe()
            for task in (handler, reader):
                task.cancel()
            await asyncio.wait([handler, reader])
            self._pause()

    async def _handle(self, conn: Connection, scope: Scope) -> None:
        try:
            await self._actor.raw.websocket(conn, scope, self._receive, self._send)
        except RivetError as failure:
            if not self._rests:  # otherwise it was cut short, and the next generation begins anew
                self._done()
                self._finish(1011, close_reason(failure.group, failure.code), tell=True)
        else:
            self._done()
            self._finish(1000, "", tell=True)
        finally:
            self._pause()

    @property
    def _rests(self) -> bool:
        """Whether the generation ends and the websocket stays, so that nothing more is begun."""
        kept = self._conn is not None and self._conn.hibernation is not None
        return kept and self._actor.context.aborted and self._actor.connections.sockets_stay

    def _rest(self) -> None:
        """The actor goes to sleep: a handler that only waits for its client ends now, any other one later."""
        if self._rests and self._handler is not None and not (self._callback and self._callback.begun):
            self._wake()
            self._handler.cancel()

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._socket.receive_frame()
                self._take(frame)
                while len(self._inbox) >= _READ_AHEAD or self._inbox_bytes >= _READ_AHEAD_BYTES:
                    self._taken.clear()
                    await self._taken.wait()
                if self._conn is not None and self._conn.hibernation is not None:
                    await self._conn.hibernation.messages.room()
        except SocketClosed as closed:
            self._finish(closed.code, closed.reason, tell=False)

    def _take(self, frame: Frame) -> None:
        delivery: Delivery | None = None
        if self._keeper is not None and self._conn is not None and self._conn.hibernation is not None:
            if self._actor.defers:
                return
            messages = self._conn.hibernation.messages
            delivery = messages.begin(self._keeper.received_index, len(frame.data))
            if delivery is None:  # an earlier generation was done with it
                return
        self._inbox.append((frame, delivery))
        self._inbox_bytes += len(frame.data)
        self._wake()

    def _done(self) -> None:
        """The handler is done with the frame it was given last."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None and self._conn is not None:
            self._conn.finish(delivery)

    async def _tell(self) -> None:
        """Send the close frame, if the end was ours. A client that does not read is not waited for."""
        if self._closing is None:
            return
        try:
            async with self._clock.timeout(_CLOSE_TIMEOUT):
                await self._socket.close(*self._closing)
        except (TimeoutError, SocketClosed):
            log.debug("a client did not take its close frame")

    async def _wait(self, handler: asyncio.Task[None]) -> None:
        limit = self._actor.factory.config.on_connect_timeout
        try:
            async with self._clock.timeout(limit):
                await asyncio.wait([handler])
        except TimeoutError:
            log.warning("on_websocket was cancelled: it ran on for %s s after its websocket had ended", limit)

    def _finish(self, code: int, reason: str, *, tell: bool) -> None:
        if self._ended.is_set():
            return
        self._end = code, reason
        if tell:
            self._closing = self._end
        self._ended.set()
        self._wake()

    def _wake(self) -> None:
        if self._callback is not None:
            self._callback.begin()
        self._changed.set()

    def _pause(self) -> None:
        if self._callback is not None:
            self._callback.pause()

    # --- ASGI -----------------------------------------------------------------------------------

    async def _receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        self._done()
        if self._rests and self._handler is not None:
            self._handler.cancel()
            await asyncio.Event().wait()
        self._pause()
        while not (self._inbox or self._ended.is_set()):
            self._changed.clear()
            await self._changed.wait()
        self._wake()
        if not self._inbox:
            return {"type": "websocket.disconnect", "code": self._end[0], "reason": self._end[1]}
        frame, self._delivery = self._inbox.popleft()
        return self._message(frame)

    def _message(self, frame: Frame) -> Message:
        self._inbox_bytes -= len(frame.data)
        self._taken.set()
        if not frame.text:
            return {"type": "websocket.receive", "bytes": frame.data}
        try:
            return {"type": "websocket.receive", "text": frame.data.decode()}
        except UnicodeDecodeError:
            self._inbox.clear()
            self._finish(1007, "message.invalid_utf8", tell=True)
            return {"type": "websocket.disconnect", "code": 1007, "reason": "message.invalid_utf8"}

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                if self._ended.is_set():
                    if (
                        self._inbox
                    ):  # what the client said before it left is heard, and answered into the void
                        return
                    raise BrokenPipeError("the websocket has ended")
                text = cast("str | None", message.get("text"))
                data = cast("bytes", message.get("bytes") or b"") if text is None else text.encode()
                try:
                    await self._socket.send(bytes(data), text=text is not None)
                except SocketClosed as closed:
                    raise BrokenPipeError("the websocket has ended") from closed
            case "websocket.close":
                self._finish(int(message.get("code") or 1000), str(message.get("reason") or ""), tell=True)
            case _:
                pass  # it was accepted before its actor was asked, as every websocket is
