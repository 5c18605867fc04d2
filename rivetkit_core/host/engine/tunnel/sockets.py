"""Websockets under way, by their id (envoy-protocol 6.4, 6.5).

A client is refused by opening its websocket and closing it at once. Closing it unopened means "not this
generation": the engine then tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rivetkit_core.actor.hibernation import SocketId, SocketOrigin
from rivetkit_core.actor.restoring import StoredSocket as StoredSocket
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.serving import refuse_socket, serve_socket
from rivetkit_core.errors import ProtocolError, RivetError
from rivetkit_core.host.engine.tunnel.exchange import Refused, require_running
from rivetkit_core.host.engine.tunnel.headers import as_raw
from rivetkit_core.host.engine.tunnel.indices import Outgoing, Send, Writable
from rivetkit_core.host.engine.tunnel.memory import Kept, Recent
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

CanHibernate = Callable[[ActorTask, RawHead], bool]
"""Whether a websocket may outlive a generation of the actor."""

_LEFT_SECONDS = 120.0
_CHANGE_OVER = 0.25
"""Seconds for which nothing is said to a client whose websocket the engine does not list yet."""


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
        self._kept = Kept(clock)
        self._left: Recent[RequestId] = Recent(clock, seconds=_LEFT_SECONDS)
        self._closed: Recent[RequestId] = Recent(clock, seconds=_LEFT_SECONDS)

    def open(self, id: RequestId, index: int, opened: EngineWebSocketOpen, max_payload: int) -> None:
        """A client connected, or the engine opens a websocket once more."""
        known = self._open.get(id)
        if known is not None:
            known.reattach(index)
            return
        head = _head(opened.path, opened.headers)
        origin = _origin(id, opened.path, opened.headers)
        outgoing = Outgoing(id, self._send, writable=self._writable)
        actor = self._placement.find(opened.actor_id, opened.actor_generation)
        if id in self._left:  # it was opened again only to be told that its client is gone
            socket = self._add(origin, outgoing, index, max_payload, can_hibernate=False)
            socket.end(1011, "connection.restore_not_found")
            return
        if isinstance(actor, RivetError):
            socket = self._add(origin, outgoing, index, max_payload, can_hibernate=False)
            served = (opened.actor_id, generation_of(actor))
            self._tasks.spawn(served, self._refuse(actor, opened.headers, socket))
            return
        if actor is None and not self._placement.moved(opened.actor_id):
            socket = self._add(origin, outgoing, index, max_payload, can_hibernate=False)
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
        hibernates = self._can_hibernate(actor, head)
        socket = self._add(origin, outgoing, index, max_payload, can_hibernate=hibernates)
        served = (opened.actor_id, actor.identity.specifier.generation)
        self._tasks.spawn(served, self._serve(actor, socket, kept=hibernates))

    def message(self, id: RequestId, index: int, message: WebSocketMessage) -> None:
        """A client sent a frame; one for an unknown websocket came after its end."""
        socket = self._open.get(id)
        if socket is not None:
            socket.arrive(index, message)
        elif id in self._left:  # it is not gone after all
            Outgoing(id, self._send).send(HostWebSocketClose(1001, "ws.going_away"))
        else:
            self._waiting.take(id, index, message)

    def closed(self, id: RequestId, index: int, closing: EngineWebSocketClose) -> None:
        """A client closed its websocket, or the engine confirms that we did."""
        socket = self._open.get(id)
        if socket is not None:
            socket.gone(closing.code, closing.reason)
        else:
            self._closed.add(id)  # its actor may sleep already, and be told at its next start
            self._waiting.take(id, index, closing)

    def close_all(self, code: int, reason: str) -> None:
        """Close every websocket."""
        for socket in tuple(self._open.values()):
            socket.end(code, reason)

    def expect(self, actor_id: str, listed: Sequence[RequestId]) -> Sequence[RequestId]:
        """An actor is starting whose clients the engine kept: hold what they say until ``restore``.

        Returns:
            The websockets that may come back: those listed, and those kept too lately to be listed.
        """
        kept = tuple(id for id in {*listed, *self._kept.of(actor_id)} if id not in self._closed)
        self._waiting.expect(kept)
        return kept

    def give_up(self, listed: Sequence[RequestId]) -> None:
        """The actor did not start: forget what its clients said; the engine has kept it."""
        for id in listed:
            self._waiting.release(id)

    def restore(
        self,
        listed: Sequence[RequestId],
        known: Mapping[RequestId, StoredSocket],
        max_payload: int,
        *,
        writable: Writable | None = None,
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
            free = writable or self._writable
            outgoing = Outgoing(id, self._send, index=stored.next_index, writable=free)
            origin = _origin(id, stored.path, stored.headers)
            socket = self._add(origin, outgoing, stored.received_index, max_payload, can_hibernate=True)
            attached[id] = socket
            for index, message in early:
                match message:
                    case WebSocketMessage():
                        socket.arrive(index, message)
                    case EngineWebSocketClose(code, reason):
                        socket.gone(code, reason)
        return Restored(attached, tuple(id for id in known if id not in attached))

    def resume(
        self,
        actor: ActorTask,
        listed: Sequence[RequestId],
        expected: Sequence[RequestId],
        max_payload: int,
    ) -> None:
        """Serve the websockets that the engine kept for an actor, and remember whose clients have left."""
        known = {RequestId(*id): stored for id, stored in actor.kept_sockets.items()}
        for id in expected:
            if id not in known and id not in listed:
                self._waiting.release(id)
        for id in actor.left_sockets:
            self._left.add(RequestId(*id))
        served = (actor.identity.actor_id, actor.identity.specifier.generation)
        sockets = dict(self.restore(listed, known, max_payload).attached)
        unlisted = [id for id in known if id not in sockets]
        sockets |= self.restore(unlisted, known, max_payload, writable=self._changed_over()).attached
        for socket in sockets.values():
            self._tasks.spawn(served, self._serve(actor, socket, kept=True, resumed=True))

    def _changed_over(self) -> Writable:
        free_at = self._clock.monotonic() + _CHANGE_OVER

        async def writable() -> None:
            left = free_at - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
            await self._writable()

        return writable

    def refuse(self, listed: Sequence[RequestId], reason: str) -> None:
        """Close the websockets that the engine kept for an actor that cannot start."""
        for id in listed:
            self._waiting.release(id)
            Outgoing(id, self._send).send(HostWebSocketClose(1011, reason))

    def _add(
        self, origin: SocketOrigin, outgoing: Outgoing, index: int, max_payload: int, *, can_hibernate: bool
    ) -> TunnelSocket:
        id = RequestId(*origin.id)

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
            origin=origin,
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
        self, actor: ActorTask, socket: TunnelSocket, *, kept: bool, resumed: bool = False
    ) -> None:
        options = _options(socket.origin.headers)
        if options is None:
            socket.end(1011, "request.invalid")
            return
        try:
            keeper = socket if kept else None
            head = _head(socket.origin.path, socket.origin.headers)
            if await serve_socket(actor, head, options, socket, self._clock, keeper, resumed=resumed):
                self._kept.add(actor.identity.actor_id, RequestId(*socket.origin.id))
        finally:
            socket.end(1011, "actor.stopped")


def _head(target: str, headers: Mapping[str, str]) -> RawHead:
    path, _, query = target.partition("?")
    return RawHead("GET", path or "/", query, as_raw(headers))


def _origin(id: RequestId, target: str, headers: Mapping[str, str]) -> SocketOrigin:
    return SocketOrigin(SocketId(id.gateway_id, id.request_id), target or "/", headers)


def _options(headers: Mapping[str, str]) -> subprotocols.ConnectOptions | None:
    """What the client asked for; None if its connection parameters are malformed."""
    try:
        return subprotocols.parse([headers.get("sec-websocket-protocol", "")])
    except ProtocolError:
        return None
