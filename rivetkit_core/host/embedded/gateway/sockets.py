"""Websockets of the gateway: handshake, routing, and the connect session (client-protocol 4.1).

A websocket is always accepted once its actor is ready; what goes wrong is said in the close frame, since
clients cannot read the body of a refused handshake.
"""

from __future__ import annotations

import asyncio

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.http import parse_params
from rivetkit_core.edge.websocket import WebSocketChannel
from rivetkit_core.entropy import new_uuid
from rivetkit_core.errors import ProtocolError, RivetError, error, masked
from rivetkit_core.host.embedded.gateway import cors
from rivetkit_core.host.embedded.gateway.asgi import AsgiSocket, Head, Receive, Send
from rivetkit_core.host.embedded.gateway.auth import TokenGuard, header_tokens
from rivetkit_core.host.embedded.gateway.targets import is_gateway_path, to_target
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.wire import subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.gateway_url import DirectTarget, QueryTarget, parse_gateway_path
from rivetkit_core.wire.messages import Encoding

_CLOSE_TIMEOUT = 5.0


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
            actor, path = await self._reach(head, options)
        except RivetError as failure:
            seen = masked(failure)
            await _accept(head, ray, send)
            await socket.close(1011, subprotocols.close_reason(seen.group, seen.code, ray))
            return
        await _accept(head, ray, send)
        await self._serve_actor(actor, path, options, socket)

    async def _reach(self, head: Head, options: subprotocols.ConnectOptions) -> tuple[ActorTask, str]:
        parsed: DirectTarget | QueryTarget | None = None
        if is_gateway_path(head.path):
            parsed = parse_gateway_path(head.path, head.query)
        elif options.target == "actor":
            if options.actor_id is None:
                raise error("guard.missing_header", header="rivet_actor")
            parsed = DirectTarget(actor_id=options.actor_id, token=None, path=head.path, query=head.query)
        if parsed is None:
            raise error("guard.no_route")
        self._guard.check(*header_tokens(head), parsed.token, options.token)
        return await self._host.reach(to_target(parsed, self._host.namespace)), parsed.path

    async def _serve_actor(
        self, actor: ActorTask, path: str, options: subprotocols.ConnectOptions, socket: AsgiSocket
    ) -> None:
        if path != "/connect":
            await socket.close(1011, "actor.not_found")
            return
        if options.encoding is not None and options.encoding not in list(Encoding):
            await socket.close(1003, "actor.unsupported_websocket_encoding")
            return
        try:
            params = parse_params(options.params_json)
        except RivetError as failure:
            await socket.close(1011, f"{failure.group}.{failure.code}")
            return
        codec = Codec(Encoding(options.encoding or Encoding.JSON))
        channel = WebSocketChannel(socket, codec, actor.factory.config)
        writer = asyncio.create_task(channel.write())
        try:
            await Session(actor, channel).run(params)
        finally:
            channel.close(1011, "actor.stopped")
            await self._finish(writer)

    async def _finish(self, writer: asyncio.Task[None]) -> None:
        """A client that does not read must not keep the connection's task alive."""
        try:
            async with self._host.clock.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(writer)
        except TimeoutError:
            writer.cancel()
            await asyncio.wait([writer])


async def _accept(head: Head, ray: str, send: Send) -> None:
    headers = [*cors.gateway_headers(head), ("x-rivet-ray-id", ray)]
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": subprotocols.MARKER if subprotocols.MARKER in head.subprotocols else None,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        }
    )
