"""A client's connection to one actor: ``/connect`` (client-protocol 4.2).

    Channel    port: messages to and from one client, over a websocket or inside this process
    Session    runs one connection over a channel

Invariants
    ``Init`` is the first message; what the actor says before it is held back.
    Every action request gets exactly one answer, in any order; subscriptions get none.
    However the session ends, the connection is removed from the actor.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from rivetkit_core.actor.connections import Connection, OutgoingEvent
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


class Session:
    """One connection, from connect hooks to disconnect; also the connection's sink."""

    def __init__(self, actor: ActorTask, channel: Channel) -> None:
        self._actor = actor
        self._channel = channel
        self._conn: Connection | None = None
        self._held: list[OutgoingEvent] | None = []

    async def run(self, params: bytes | None) -> None:
        """Serve until either side closes. Cancelling closes the connection."""
        try:
            self._conn = await self._actor.open_connection(params, self)
        except RivetError as failure:
            self._refuse(failure)
            return
        try:
            self._open(self._conn)
            while True:
                await self._handle(self._conn, await self._channel.receive())
        except ChannelClosed:
            pass
        except ProtocolError:
            self._channel.close(1011, "actor.invalid_request")
        except RivetError as failure:
            self._channel.close(1011, f"{failure.group}.{failure.code}")
        finally:
            self._actor.close_connection(self._conn)

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

    def _open(self, conn: Connection) -> None:
        self._channel.send(Init(self._actor.identity.actor_id, conn.id))
        held, self._held = self._held or [], None
        for event in held:
            self.send_event(event)

    def _refuse(self, failure: RivetError) -> None:
        with contextlib.suppress(RivetError):  # too long to be sent: the close frame says what matters
            self._channel.send(connection_error(failure))
        self._channel.close(1011, f"{failure.group}.{failure.code}")

    async def _handle(self, conn: Connection, message: ToServer) -> None:
        match message:
            case SubscriptionRequest(event_name, subscribe=True):
                await self._actor.subscribe(conn, event_name)
            case SubscriptionRequest(event_name):
                self._actor.connections.unsubscribe(conn, event_name)
            case ActionRequest():
                try:
                    self._actor.work.spawn(WorkKind.ACTION, self._answer(conn, message))
                except RivetError as failure:
                    self._fail(message.id, failure)

    async def _answer(self, conn: Connection, request: ActionRequest) -> None:
        try:
            output = await self._actor.run_action(request.name, request.args, conn)
        except RivetError as failure:
            self._fail(request.id, failure)
            return
        try:
            self._channel.send(ActionResponse(request.id, output))
        except RivetError as failure:
            self._unsendable(request.id, failure)

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
