"""The tunnel of one envoy: routes messages of clients to requests and websockets (envoy-protocol 6).

Nothing here waits for user code, and nothing is lost when the envoy's connection is: what is under way
goes on, and what it says is queued until the next connection.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.serving import can_hibernate
from rivetkit_core.host.engine.tunnel.exchange import HttpHandler, serve_actor_http
from rivetkit_core.host.engine.tunnel.indices import Send, Writable, always_writable
from rivetkit_core.host.engine.tunnel.placement import Find, Placement
from rivetkit_core.host.engine.tunnel.requests import Requests
from rivetkit_core.host.engine.tunnel.sockets import CanHibernate, Restored, Sockets, StoredSocket
from rivetkit_core.host.engine.tunnel.tasks import TunnelTasks
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    EngineWebSocketOpen,
    RequestAbort,
    RequestBodyCancel,
    RequestChunk,
    RequestId,
    RequestStart,
    ResponseBodyWindowUpdate,
    ToEnvoyTunnel,
    WebSocketMessage,
)

log = logging.getLogger("rivetkit.tunnel")


class Tunnel:
    """Client traffic of every actor that the engine placed here.

    Attributes:
        max_payload: The longest body or frame the engine takes, in bytes; it says so when it connects.
    """

    def __init__(
        self,
        *,
        find: Find,
        send: Send,
        clock: Clock,
        writable: Writable = always_writable,
        handler: HttpHandler = serve_actor_http,
        can_hibernate: CanHibernate = can_hibernate,
    ) -> None:
        self.max_payload = 20_971_520
        self._tasks = TunnelTasks(clock)
        self._placement = Placement(find, clock)
        self._requests = Requests(
            placement=self._placement,
            send=send,
            writable=writable,
            clock=clock,
            tasks=self._tasks,
            handler=handler,
        )
        self._sockets = Sockets(
            placement=self._placement,
            send=send,
            writable=writable,
            clock=clock,
            tasks=self._tasks,
            can_hibernate=can_hibernate,
        )
        self._closed = False

    def receive(self, message: ToEnvoyTunnel) -> None:
        """Take a message of the engine. Never waits, runs no user code, and never raises."""
        if self._closed:
            return
        try:
            self._route(message)
        except Exception:  # one message must not end the connection that all clients share
            log.exception("a tunnel message could not be handled")

    async def actor_ended(self, actor_id: str, generation: int) -> None:
        """Wait until nothing of a stopped generation is under way any more; call it before ``Stopped``.

        What does not finish by itself within a second is cancelled, and given to the next generation
        where that is possible.
        """
        self._placement.ended(actor_id)
        await self._tasks.end((actor_id, generation))

    def expect(self, actor_id: str, listed: Sequence[RequestId]) -> Sequence[RequestId]:
        """Hold messages of hibernating websockets until their starting actor is there for ``resume``.

        Call it with the start command; ``give_up`` takes it back, and ``refuse`` when the start fails.

        Returns:
            The websockets that may come back: those listed, and those kept too lately to be listed.
        """
        return self._sockets.expect(actor_id, listed)

    def give_up(self, listed: Sequence[RequestId]) -> None:
        """Forget what ``expect`` held. The engine delivers it again to the next generation."""
        self._sockets.give_up(listed)

    def restore(self, listed: Sequence[RequestId], known: Mapping[RequestId, StoredSocket]) -> Restored:
        """Take up hibernating websockets when their actor starts. The caller serves and ends them.

        Args:
            listed: What the engine believes to be connected; unknown ones are closed.
            known: What the actor stored about its websockets.
        """
        return self._sockets.restore(listed, known, self.max_payload)

    def resume(self, actor: ActorTask, listed: Sequence[RequestId], expected: Sequence[RequestId]) -> None:
        """``restore`` what a started actor knows of what was listed and expected, and serve it."""
        self._sockets.resume(actor, listed, expected, self.max_payload)

    def refuse(self, listed: Sequence[RequestId], reason: str) -> None:
        """Close hibernating websockets (1011), because their actor cannot start."""
        self._sockets.refuse(listed, reason)

    async def close(self) -> None:
        """End everything that is under way, within a few seconds. Messages are ignored from now on."""
        self._closed = True
        self._sockets.close_all(1001, "ws.going_away")
        await self._tasks.end_all()

    def _route(self, message: ToEnvoyTunnel) -> None:
        number = message.message_id
        id, index = RequestId(number.gateway_id, number.request_id), number.message_index
        match message.kind:
            case RequestStart() as start:
                self._requests.start(id, start, self.max_payload)
            case RequestChunk() as chunk:
                self._requests.chunk(id, chunk)
            case RequestAbort() as abort:
                self._requests.abort(id, abort)
            case ResponseBodyWindowUpdate() as update:
                self._requests.credit(id, update)
            case RequestBodyCancel():
                self._requests.cut(id)
            case EngineWebSocketOpen() as opened:
                self._sockets.open(id, index, opened, self.max_payload)
            case WebSocketMessage() as frame:
                self._sockets.message(id, index, frame)
            case EngineWebSocketClose() as closing:
                self._sockets.closed(id, index, closing)
