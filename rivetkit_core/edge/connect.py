"""A client's connection to one actor: ``/connect`` (client-protocol 4.2).

    Channel    port: messages to and from one client, over a websocket or inside this process
    Session    runs one connection over a channel

Invariants
    ``Init`` is the first message; what the actor says before it is held back.
    Every action request gets exactly one answer, in any order; subscriptions get none.
    However the session ends, the connection is removed from the actor, unless its actor sleeps and the client
    stays. What the client says then is neither answered nor acknowledged: the next session is told it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from rivetkit_core.actor.acknowledgements import Delivery
from rivetkit_core.actor.connections import Connection, OutgoingEvent
from rivetkit_core.actor.hibernation import SocketKeeper
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.actor.work import WorkKind
from rivetkit_core.edge.errors import action_error, connection_error
from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Init,
    SubscriptionRequest,
    ToClient,
    ToServer,
)


class ChannelClosed(Exception):
    """The client is gone, or the channel was closed from our side."""


class Channel(Protocol):
    """Port: one client. Sending queues and never waits; the queue is bounded by closing the channel."""

    async def receive(self) -> ToServer:
        """The next message.

        Raises:
            ChannelClosed: There will be no more.
            ProtocolError: It cannot be understood.
            RivetError: ``message.incoming_too_long``.
        """
        ...

    def send(self, message: ToClient) -> None:
        """Queue a message; silently dropped after ``close``.

        Raises:
            RivetError: ``message.outgoing_too_long``; nothing was queued.
        """
        ...

    def send_event(self, event: OutgoingEvent) -> None:
        """Like ``send``, with an encoding that other connections may have paid for."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued. Idempotent: the first reason wins."""
        ...

    def release(self) -> None:
        """Like ``close``, but the client stays for the next session."""
        ...


class Session:
    """One connection, from connect hooks to disconnect or to the end of its generation; also its sink.

    ``keeper``: keeps the client while the actor sleeps. Without one the connection ends with the generation.
    """

    def __init__(self, actor: ActorTask, channel: Channel, keeper: SocketKeeper | None = None) -> None:
        self._actor = actor
        self._channel = channel
        self._keeper = keeper
        self._conn: Connection | None = None
        self._held: list[OutgoingEvent] | None = []
        self._released = False

    async def run(self, params: bytes | None) -> bool:
        """Serve a new client until either side closes. Cancelling closes the connection.

        Returns:
            Whether the client stays, for ``resume`` in the next generation.
        """
        try:
            self._conn = await self._actor.open_connection(params, self, self._keeper)
        except RivetError as failure:
            self._refuse(failure)
            return False
        return await self._serve(self._conn, lambda conn: self._open(conn))

    async def resume(self, keeper: SocketKeeper) -> bool:
        """``run`` for a client that stayed: there are no connect hooks, and it is told nothing."""
        self._keeper = keeper
        self._held = None
        try:
            self._conn = self._actor.reattach(keeper, self)
        except RivetError as failure:
            if failure.group == "actor":  # this generation ends already, so that the next one is asked
                self.release()
                return True
            self._channel.close(1011, f"{failure.group}.{failure.code}")
            return False
        return await self._serve(self._conn, lambda _: None)

    async def _serve(self, conn: Connection, begin: Callable[[Connection], None]) -> bool:
        try:
            begin(conn)
            while True:
                await self._take(conn, await self._channel.receive())
        except ChannelClosed:
            pass
        except ProtocolError:
            self._channel.close(1011, "actor.invalid_request")
        except RivetError as failure:
            self._channel.close(1011, f"{failure.group}.{failure.code}")
        finally:
            if not self._released:
                self._actor.close_connection(conn)
        return self._released

    def send_event(self, event: OutgoingEvent) -> None:
        if self._held is not None:
            self._held.append(event)
            return
        try:
            self._channel.send_event(event)
        except RivetError as failure:
            self.close(1011, f"{failure.group}.{failure.code}")
            if self._conn is not None:
                self._actor.close_connection(self._conn)

    def close(self, code: int, reason: str) -> None:
        self._channel.close(code, reason)

    def release(self) -> None:
        self._released = True
        self._channel.release()

    def _open(self, conn: Connection) -> None:
        self._channel.send(Init(self._actor.identity.actor_id, conn.id))
        held, self._held = self._held or [], None
        for event in held:
            self.send_event(event)

    def _refuse(self, failure: RivetError) -> None:
        with contextlib.suppress(RivetError):  # too long to be sent: the close frame says what matters
            self._channel.send(connection_error(failure))
        self._channel.close(1011, f"{failure.group}.{failure.code}")

    async def _take(self, conn: Connection, message: ToServer) -> None:
        if self._keeper is None or conn.hibernation is None:
            await self._handle(conn, message, None)
            return
        if self._actor.defers:
            return
        messages = conn.hibernation.messages
        delivery = messages.begin(self._keeper.received_index, _size(message))
        if delivery is not None:
            await self._handle(conn, message, delivery)
            await messages.room()

    async def _handle(self, conn: Connection, message: ToServer, delivery: Delivery | None) -> None:
        match message:
            case SubscriptionRequest(event_name, subscribe=True):
                try:
                    await self._actor.subscribe(conn, event_name)
                except RivetError as failure:
                    if not self._is_left(delivery, failure):
                        raise
                else:
                    self._done(conn, delivery)
            case SubscriptionRequest(event_name):
                self._actor.connections.unsubscribe(conn, event_name)
                self._done(conn, delivery)
            case ActionRequest():
                try:
                    self._actor.work.spawn(WorkKind.ACTION, self._answer(conn, message, delivery))
                except RivetError as failure:
                    if not self._is_left(delivery, failure):
                        self._fail(message.id, failure)
                        self._done(conn, delivery)

    async def _answer(self, conn: Connection, request: ActionRequest, delivery: Delivery | None) -> None:
        def done(failure: Exception | None) -> None:
            if failure is None or not self._is_left(delivery, failure):
                self._done(conn, delivery)

        try:
            output = await self._actor.run_action(request.name, request.args, conn, done=done)
        except RivetError as failure:
            if self._is_left(delivery, failure):
                return
            self._fail(request.id, failure)
        else:
            try:
                self._channel.send(ActionResponse(request.id, output))
            except RivetError as failure:
                self._unsendable(request.id, failure)
        self._done(conn, delivery)

    def _is_left(self, delivery: Delivery | None, failure: Exception) -> bool:
        """Whether the next generation has to do it, because this one ended first."""
        cut_short = (
            isinstance(failure, RivetError)
            and failure.group == "actor"
            and failure.code in ("aborted", "stopping")
        )
        return delivery is not None and self._actor.defers and cut_short

    def _done(self, conn: Connection, delivery: Delivery | None) -> None:
        if delivery is not None and not delivery.finished:
            conn.finish(delivery)

    def _fail(self, action_id: int, failure: RivetError) -> None:
        actor = failure.actor or self._actor.identity.specifier
        try:
            self._channel.send(action_error(failure, action_id, actor))
        except RivetError as too_long:
            self._unsendable(action_id, too_long)

    def _unsendable(self, action_id: int, failure: RivetError) -> None:
        """Answer with the reason why the answer cannot be sent; a channel too narrow even for that ends."""
        try:
            self._channel.send(action_error(failure, action_id, None))
        except RivetError:
            self.close(1011, f"{failure.group}.{failure.code}")


def _size(message: ToServer) -> int:
    return len(message.args) if isinstance(message, ActionRequest) else len(message.event_name)
