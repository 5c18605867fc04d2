"""One websocket of one actor, from its options to its close (client-protocol 4.1, 5.2).

The caller has accepted the websocket and found the actor; this must not know how. What goes wrong is said
in the close frame, since clients cannot read the body of a refused handshake.
"""

from __future__ import annotations

import asyncio
import contextlib

from rivetkit_core.actor.hibernation import SocketKeeper
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.connect import Session
from rivetkit_core.edge.errors import connection_error
from rivetkit_core.edge.http import parse_params
from rivetkit_core.edge.raw import RawHead, socket_scope
from rivetkit_core.edge.raw_socket import serve_raw_socket
from rivetkit_core.edge.websocket import Socket, SocketClosed, WebSocketChannel
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import Encoding
from rivetkit_core.wire.subprotocols import ConnectOptions, close_reason

_CLOSE_TIMEOUT = 5.0


async def serve_socket(
    actor: ActorTask,
    head: RawHead,
    options: ConnectOptions,
    socket: Socket,
    clock: Clock,
    keeper: SocketKeeper | None = None,
    *,
    resumed: bool = False,
) -> bool:
    """Serve an accepted websocket until either side closes; it is closed on return.

    A client that does not read its close frame is given five seconds. Cancelling closes the connection.

    Args:
        keeper: Keeps the websocket while the actor sleeps.
        resumed: The websocket was served by an earlier generation, and stayed.

    Returns:
        Whether the websocket is open, and waits for the next generation.
    """
    try:
        params = parse_params(options.params_json)
    except RivetError as failure:
        await socket.close(1011, f"{failure.group}.{failure.code}")
        return False
    match head.path:
        case "/connect":
            return await _serve_connection(actor, params, options, socket, clock, keeper, resumed=resumed)
        case "/inspector/connect":
            await socket.close(1011, "actor.not_found")
            return False
        case _:
            return await serve_raw_socket(actor, head, params, socket, clock, keeper, resumed=resumed)


def can_hibernate(actor: ActorTask, head: RawHead) -> bool:
    """Whether a websocket may outlive a generation of its actor."""
    return head.path == "/connect" or (
        head.path != "/inspector/connect" and actor.raw.can_hibernate(socket_scope(head))
    )


async def _serve_connection(
    actor: ActorTask,
    params: bytes | None,
    options: ConnectOptions,
    socket: Socket,
    clock: Clock,
    keeper: SocketKeeper | None,
    *,
    resumed: bool,
) -> bool:
    if options.encoding is not None and options.encoding not in list(Encoding):
        await socket.close(1003, "actor.unsupported_websocket_encoding")
        return False
    codec = Codec(Encoding(options.encoding or Encoding.JSON))
    channel = WebSocketChannel(socket, codec, actor.factory.config)
    writer = asyncio.create_task(channel.write())
    session = Session(actor, channel, keeper)
    stays = False
    try:
        with actor.metrics.task("websocket_lifetime"):
            resuming = keeper if resumed else None
            stays = await (session.run(params) if resuming is None else session.resume(resuming))
    finally:
        if stays and keeper is not None and actor.killed:
            keeper.hibernate()  # another process may serve it already: not a word more
        channel.close(1011, "actor.stopped")
        written = await _finish(writer, clock)
    if not stays or keeper is None:
        return False
    if not (written or actor.killed):
        await socket.close(1011, "actor.overloaded")
        return False
    keeper.hibernate()
    return True


async def refuse_socket(failure: RivetError, options: ConnectOptions, socket: Socket) -> None:
    """Tell an accepted websocket why its actor could not start, as a refused connection is told; close it."""
    with contextlib.suppress(SocketClosed):
        if options.encoding is None or options.encoding in list(Encoding):
            encoding = Encoding(options.encoding or Encoding.JSON)
            message = Codec(encoding).encode_to_client(connection_error(failure))
            await socket.send(message, text=encoding is Encoding.JSON)
        await socket.close(1011, close_reason(failure.group, failure.code))


async def _finish(writer: asyncio.Task[None], clock: Clock) -> bool:
    """A client that does not read must not keep its task alive. Returns whether it has read everything."""
    try:
        async with clock.timeout(_CLOSE_TIMEOUT):
            await asyncio.shield(writer)
    except TimeoutError:
        writer.cancel()
        await asyncio.wait([writer])
        return False
    return True
