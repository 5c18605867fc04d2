"""Websockets of the gateway: handshake and routing (client-protocol 4.1).

A websocket is always accepted once its actor is ready; what goes wrong is said in the close frame, since
clients cannot read the body of a refused handshake.
"""

from __future__ import annotations

from rivetkit_core.actor.hibernation import SocketOrigin
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.edge.raw import RawHead
from rivetkit_core.edge.serving import can_hibernate, serve_socket
from rivetkit_core.entropy import new_uuid
from rivetkit_core.errors import ProtocolError, RivetError, error, masked
from rivetkit_core.host.embedded.gateway.auth import TokenGuard, header_tokens
from rivetkit_core.host.embedded.gateway.kept_socket import KeptSocket
from rivetkit_core.host.embedded.gateway.targets import is_gateway_path, parse_target, to_target
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.web import cors
from rivetkit_core.host.web.asgi import AsgiSocket, Head, Receive, Send
from rivetkit_core.wire import subprotocols
from rivetkit_core.wire.gateway_url import DirectTarget, QueryTarget


class SocketGateway:
    """Serves the websockets of one host."""

    def __init__(self, host: EmbeddedHost, guard: TokenGuard) -> None:
        self._host = host
        self._guard = guard

    async def serve(self, head: Head, receive: Receive, send: Send) -> None:
        """One websocket from handshake to close."""
        await receive()  # websocket.connect
        ray = new_uuid(self._host.entropy)
        socket = AsgiSocket(receive, send)
        try:
            options = subprotocols.parse(head.subprotocols)
        except ProtocolError:  # only the connection parameters can be malformed here
            await _accept(head, ray, send)
            await socket.close(1011, "request.invalid")
            return
        try:
            actor, raw = await self._reach(head, options)
        except RivetError as failure:
            seen = masked(failure)
            await _accept(head, ray, send)
            await socket.close(1011, subprotocols.close_reason(seen.group, seen.code, ray))
            return
        await _accept(head, ray, send)
        clock, kept = self._host.clock, self._host.kept
        if not can_hibernate(actor, raw):
            await serve_socket(actor, raw, options, socket, clock)
            return
        client = KeptSocket(socket, SocketOrigin(kept.new_id(), raw.target, _text_headers(head)))

        async def serve(actor: ActorTask, resumed: bool) -> bool:
            return await serve_socket(actor, raw, options, client, clock, client, resumed=resumed)

        await kept.keep(actor, client, serve)

    async def _reach(self, head: Head, options: subprotocols.ConnectOptions) -> tuple[ActorTask, RawHead]:
        parsed: DirectTarget | QueryTarget | None = None
        if is_gateway_path(head.path):
            parsed = parse_target(head.path, head.query)
        elif options.target == "actor":
            if options.actor_id is None:
                raise error("guard.missing_header", header="rivet_actor")
            parsed = DirectTarget(actor_id=options.actor_id, token=None, path=head.path, query=head.query)
        if parsed is None:
            raise error("guard.no_route")
        self._guard.check(*header_tokens(head), parsed.token, options.token)
        target = to_target(parsed, self._host.namespace)
        raw = RawHead("GET", parsed.path, parsed.query, head.raw_headers)
        return await self._host.reach(target, lasting=True), raw


def _text_headers(head: Head) -> dict[str, str]:
    protocols = {"sec-websocket-protocol": ", ".join(head.subprotocols)} if head.subprotocols else {}
    return {name: value.decode("latin-1") for name, value in head.headers.items()} | protocols


async def _accept(head: Head, ray: str, send: Send) -> None:
    headers = [*cors.gateway_headers(head), ("x-rivet-ray-id", ray)]
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": subprotocols.MARKER if subprotocols.MARKER in head.subprotocols else None,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
