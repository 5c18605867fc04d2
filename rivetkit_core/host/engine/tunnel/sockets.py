"""Websockets under way, by their id (envoy-protocol 6.4, 6.5).

A client is refused by opening its websocket and closing it at once. Closing it unopened means "not this
generation": the engine then tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.serving import refuse_socket, serve_socket
from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.host.engine.tunnel.exchange import Refused, require_running
from rivetkit_core.host.engine.tunnel.headers import as_raw
from rivetkit_core.host.engine.tunnel.indices import Outgoing, Send, Writable
from rivetkit_core.host.engine.tunnel.placement import Placement, generation_of
from rivetkit_core.host.engine.tunnel.socket import TunnelSocket
from rivetkit_core.host.engine.tunnel.tasks import TunnelTasks
from rivetkit_core.host.engine.tunnel.waiting import Waiting
from rivetkit_core.wire import subprotocols
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    RequestId,
    WebSocketMessage,
)

CanHibernate = Callable[[ActorTask, str], bool]
"""Whether the websocket of a path may outlive a generation of the actor."""


@dataclass(frozen=True, slots=True)
class StoredSocket:
    """Where a hibernating websocket was left: the last number received, and the next to send."""

    received_index: int
    next_index: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the websockets an actor stored: attached again, or closed while it slept."""

    attached: Mapping[RequestId, TunnelSocket]
    gone: tuple[RequestId, ...]


class Sockets:
    """Opens websockets and hands them their messages."""

    def __init__(
        self,
        *,
        placement: Placement,
        send: Send,
        writable: Writable,
        clock: Clock,
        tasks: TunnelTasks,
        can_hibernate: CanHibernate,
    ) -> None:
        self._placement = placement
        self._send = send
        self._writable = writable
        self._clock = clock
        self._tasks = tasks
        self._can_hibernate = can_hibernate
        self._open: dict[RequestId, TunnelSocket] = {}
        self._waiting = Waiting()

    def open(self, id: RequestId, index: int, opened: EngineWebSocketOpen, max_payload: int) -> None:
        """A client connected, or the engine opens a websocket once more."""
        known = self._open.get(id)
        if known is not None:
            known.reattach(index)
            return
        head = _head(opened)
        outgoing = Outgoing(id, self._send, writable=self._writable)
        actor = self._placement.find(opened.actor_id, opened.actor_generation)
        if isinstance(actor, RivetError):
            socket = self._add(id, outgoing, index, max_payload, can_hibernate=False)
            served = (opened.actor_id, generation_of(actor))
            self._tasks.spawn(served, self._refuse(actor, opened.headers, socket))
            return
        if actor is None and not self._placement.moved(opened.actor_id):
            socket = self._add(id, outgoing, index, max_payload, can_hibernate=False)
            ray = opened.headers.get("x-rivet-ray-id")
            socket.end(1011, subprotocols.close_reason("actor", "not_found", ray))
            return
        try:
            if actor is None:
                raise Refused
            require_running(actor, lasting=True)
        except Refused:
            outgoing.send(HostWebSocketClose(1011, "actor.stopping"))
            return
        hibernates = self._can_hibernate(actor, head.path)
        socket = self._add(id, outgoing, index, max_payload, can_hibernate=hibernates)
        served = (opened.actor_id, actor.identity.specifier.generation)
        self._tasks.spawn(served, self._serve(actor, head, opened.headers, socket))

    def message(self, id: RequestId, index: int, message: WebSocketMessage) -> None:
        """A client sent a frame; one for an unknown websocket came after its end."""
        socket = self._open.get(id)
        if socket is not None:
            socket.arrive(index, message)
        else:
            self._waiting.take(id, index, message)

    def closed(self, id: RequestId, index: int, closing: EngineWebSocketClose) -> None:
        """A client closed its websocket, or the engine confirms that we did."""
        socket = self._open.get(id)
        if socket is not None:
            socket.gone(closing.code, closing.reason)
        else:
            self._waiting.take(id, index, closing)

    def close_all(self, code: int, reason: str) -> None:
        """Close every websocket."""
        for socket in tuple(self._open.values()):
            socket.end(code, reason)

    def expect(self, listed: Sequence[RequestId]) -> None:
        """An actor is starting whose clients the engine kept: hold what they say until ``restore``."""
        self._waiting.expect(listed)

    def give_up(self, listed: Sequence[RequestId]) -> None:
        """The actor did not start: forget what its clients said; the engine has kept it."""
        for id in listed:
            self._waiting.release(id)

    def restore(
        self, listed: Sequence[RequestId], known: Mapping[RequestId, StoredSocket], max_payload: int
    ) -> Restored:
        """Take up the websockets the engine kept for an actor; those nobody knows are closed."""
        attached: dict[RequestId, TunnelSocket] = {}
        for id in listed:
            early = self._waiting.release(id)
            stored = known.get(id)
            if stored is None:
                closing = HostWebSocketClose(1000, "ws.meta_not_found_during_restore")
                Outgoing(id, self._send).send(closing)
                continue
            outgoing = Outgoing(id, self._send, index=stored.next_index, writable=self._writable)
            socket = self._add(id, outgoing, stored.received_index, max_payload, can_hibernate=True)
            attached[id] = socket
            for index, message in early:
                match message:
                    case WebSocketMessage():
                        socket.arrive(index, message)
                    case EngineWebSocketClose(code, reason):
                        socket.gone(code, reason)
        return Restored(attached, tuple(id for id in known if id not in attached))

    def _add(
        self, id: RequestId, outgoing: Outgoing, index: int, max_payload: int, *, can_hibernate: bool
    ) -> TunnelSocket:
        def ended() -> None:
            if self._open.get(id) is socket:
                del self._open[id]

        socket = TunnelSocket(
            outgoing,
            index=index,
            can_hibernate=can_hibernate,
            max_payload=max_payload,
            clock=self._clock,
            ended=ended,
        )
        self._open[id] = socket
        socket.accept()
        return socket

    async def _refuse(self, failure: RivetError, headers: Mapping[str, str], socket: TunnelSocket) -> None:
        try:
            options = _options(headers)
            if options is not None:
                await refuse_socket(failure, options, socket)
        finally:
            socket.end(1011, subprotocols.close_reason(failure.group, failure.code))

    async def _serve(
        self, actor: ActorTask, head: RawHead, headers: Mapping[str, str], socket: TunnelSocket
    ) -> None:
        options = _options(headers)
        if options is None:
            socket.end(1011, "request.invalid")
            return
        try:
            await serve_socket(actor, head, options, socket, self._clock)
        finally:
            socket.end(1011, "actor.stopped")


def _head(opened: EngineWebSocketOpen) -> RawHead:
    path, _, query = opened.path.partition("?")
    return RawHead("GET", path or "/", query, as_raw(opened.headers))


def _options(headers: Mapping[str, str]) -> subprotocols.ConnectOptions | None:
    """What the client asked for; None if its connection parameters are malformed."""
    try:
        return subprotocols.parse([headers.get("sec-websocket-protocol", "")])
    except ProtocolError:
        return None
