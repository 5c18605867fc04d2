"""One websocket of one actor, from its options to its close (client-protocol 4.1).

The caller has accepted the websocket and found the actor; this must not know how. What goes wrong is said
in the close frame, since clients cannot read the body of a refused handshake.
"""

from __future__ import annotations

import asyncio
import contextlib

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.errors import connection_error
from rivetkit_core.edge.http import parse_params
from rivetkit_core.edge.websocket import Socket, SocketClosed, WebSocketChannel
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding
from rivetkit_core.wire.subprotocols import ConnectOptions, close_reason

_CLOSE_TIMEOUT = 5.0


async def serve_socket(
    actor: ActorTask, path: str, options: ConnectOptions, socket: Socket, clock: Clock
) -> None:
    """Serve an accepted websocket until either side closes; it is closed on return.

    A client that does not read its close frame is given five seconds. Cancelling closes the connection.
    """
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
        with actor.metrics.task("websocket_lifetime"):
            await Session(actor, channel).run(params)
    finally:
        channel.close(1011, "actor.stopped")
        await _finish(writer, clock)


async def refuse_socket(failure: RivetError, options: ConnectOptions, socket: Socket) -> None:
    """Tell an accepted websocket why its actor could not start, as a refused connection is told; close it."""
    with contextlib.suppress(SocketClosed):
        if options.encoding is None or options.encoding in list(Encoding):
            encoding = Encoding(options.encoding or Encoding.JSON)
            message = Codec(encoding).encode_to_client(connection_error(failure))
            await socket.send(message, text=encoding is Encoding.JSON)
        await socket.close(1011, close_reason(failure.group, failure.code))


async def _finish(writer: asyncio.Task[None], clock: Clock) -> None:
    """A client that does not read must not keep the connection's task alive."""
    try:
        async with clock.timeout(_CLOSE_TIMEOUT):
            await asyncio.shield(writer)
    except TimeoutError:
        writer.cancel()
        await asyncio.wait([writer])
