"""The way of clients to actors: gives every request and websocket its id, and brings back the answers."""

from __future__ import annotations

from collections.abc import Mapping

from rivetkit_core.testing.engine.actors import ActorState, ScriptedActor
from rivetkit_core.testing.engine.client_sockets import ScriptedClientSocket
from rivetkit_core.testing.engine.exchanges import BufferedExchange, ClientRequest, GatewayPort
from rivetkit_core.testing.engine.response import ProtocolViolation, ScriptedResponse
from rivetkit_core.testing.engine.streams import StreamedExchange
from rivetkit_core.wire.envoy.messages import RequestId, ToRivetTunnel

_GATEWAY = b"gate"

Route = BufferedExchange | StreamedExchange | ScriptedClientSocket


class Gateway:
    """Keeps the routes that are not over; what arrives for others is dropped, as the engine does."""

    def __init__(self, port: GatewayPort) -> None:
        self._port = port
        self._requests = 0
        self._routes: dict[RequestId, Route] = {}
        self.violations: list[ProtocolViolation] = []
        port.lifecycle.observe(self._actor_changed)

    def request(self, request: ClientRequest, *, streaming: bool) -> ScriptedResponse:
        request_id = self._new_id()
        make = StreamedExchange if streaming else BufferedExchange
        exchange = make(self._port, request_id, request)
        self._routes[request_id] = exchange
        exchange.begin()
        return exchange.response

    def websocket(self, actor: ScriptedActor, path: str, headers: Mapping[str, str]) -> ScriptedClientSocket:
        request_id = self._new_id()
        socket = ScriptedClientSocket(self._port, request_id, actor, path, headers)
        self._routes[request_id] = socket
        socket.begin()
        return socket

    def take(self, message: ToRivetTunnel) -> None:
        """Hand on what a host sent."""
        request_id = RequestId(message.message_id.gateway_id, message.message_id.request_id)
        route = self._routes.get(request_id)
        if route is None:
            return
        route.take(message)
        if route.done:
            del self._routes[request_id]
            if isinstance(route, StreamedExchange) and route.violation is not None:
                self.violations.append(route.violation)

    def route_of(self, target: ScriptedResponse | ScriptedClientSocket) -> Route:
        """The route behind what the test holds.

        Raises:
            KeyError: It is over.
        """
        for route in self._routes.values():
            if route is target or (not isinstance(route, ScriptedClientSocket) and route.response is target):
                return route
        raise KeyError("the request is over")

    def _actor_changed(self, actor: ScriptedActor) -> None:
        if actor.state is ActorState.RUNNING and actor.hibernating:
            for request_id in list(actor.hibernating):
                route = self._routes.get(request_id)
                if isinstance(route, ScriptedClientSocket):
                    route.actor_woke(actor)

    def _new_id(self) -> RequestId:
        self._requests += 1
        return RequestId(_GATEWAY, self._requests.to_bytes(4, "big"))
