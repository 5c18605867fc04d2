"""The real connection to an engine: a websocket, driven without tasks of its own (envoy-protocol 3.1 to 3.5).

``websockets`` speaks the websocket protocol sans-IO; this module moves its bytes.

Invariants
    A storage request is given to the transport in the step that sends it: what the lease allowed a moment
    ago is not written later. So is everything else but client traffic.
    Of client traffic, the first message of a turn of the event loop is written at once, and so is one that
    follows a millisecond later; the others share a write at the end of the turn. The order stays.
    Above 4 MiB that the engine has not taken, ``writable`` makes those wait who can; above 256 MiB the
    connection is given up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlencode, urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CONNECTING, OPEN
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from rivetkit_core.clock import Clock
from rivetkit_core.errors import ProtocolError
from rivetkit_core.host.engine.link import EnvoyLink, LinkLost
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import ToEnvoy, ToRivet, ToRivetTunnel

log = logging.getLogger("rivetkit.envoy")
_FRAMES = logging.Logger("rivetkit.envoy", logging.WARNING)  # otherwise it writes the token and every frame

_DIAL_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 2.0
_CONGESTED = 4 * 1024 * 1024
_MAX_UNSENT = 256 * 1024 * 1024
_LONGEST_TURN = 0.001
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


@dataclass(frozen=True, slots=True)
class EnvoyAddress:
    """Where an envoy connects, and as what. ``endpoint`` is the engine's HTTP URL."""

    endpoint: str
    namespace: str
    pool: str
    envoy_key: str
    version: int
    token: str | None = field(default=None, repr=False)

    def url(self, protocol_version: int) -> str:
        parts = urlsplit(self.endpoint)
        scheme = "wss" if parts.scheme == "https" else "ws"
        query = urlencode(
            {
                "protocol_version": protocol_version,
                "namespace": self.namespace,
                "envoy_key": self.envoy_key,
                "version": self.version,
                "pool_name": self.pool,
            }
        )
        return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/envoys/connect?{query}"


class WebSocketDialer:
    """Dials the engine at an address."""

    def __init__(self, address: EnvoyAddress, protocol_version: int, clock: Clock) -> None:
        self._address = address
        self._version = protocol_version
        self._clock = clock

    async def dial(self) -> EnvoyLink:
        try:
            uri = parse_uri(self._address.url(self._version))
        except InvalidURI as failure:
            raise LinkLost(1006, f"the endpoint is not a URL: {failure}") from None
        try:
            async with self._clock.timeout(_DIAL_TIMEOUT):
                return await self._connect(uri)
        except TimeoutError:
            raise LinkLost(1006, f"no connection within {_DIAL_TIMEOUT:.0f} s") from None
        except OSError as failure:
            raise LinkLost(1006, f"cannot connect: {failure.strerror or failure}") from None

    async def _connect(self, uri: WebSocketURI) -> WebSocketLink:
        subprotocols = ["rivet"]
        if self._address.token is not None:
            subprotocols.append(f"rivet_token.{self._address.token}")
        protocol = ClientProtocol(
            uri,
            subprotocols=[Subprotocol(name) for name in subprotocols],
            max_size=None,
            logger=_FRAMES,
        )
        link = WebSocketLink(protocol, EnvoyCodec(self._version), self._clock)
        await asyncio.get_running_loop().create_connection(
            lambda: link,
            uri.host,
            uri.port,
            ssl=ssl.create_default_context() if uri.secure else None,
            server_hostname=uri.host if uri.secure else None,
        )
        try:
            await link.opened()
        except BaseException:
            link.abort()
            raise
        return link


class WebSocketLink(asyncio.Protocol):
    """``EnvoyLink`` over an open websocket."""

    def __init__(self, protocol: ClientProtocol, codec: EnvoyCodec, clock: Clock) -> None:
        self._protocol = protocol
        self._codec = codec
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._turn_end: asyncio.Handle | None = None
        self._written_at = 0.0
        self._incoming: deque[ToEnvoy] = deque()
        self._partial: list[bytes] = []
        self._changed = asyncio.Event()
        self._handshake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: LinkLost | None = None

    @property
    def version(self) -> int:
        return self._codec.version

    async def opened(self) -> None:
        """Wait for the end of the handshake.

        Raises:
            LinkLost: The server refused, or is no websocket server.
        """
        await self._handshake

    def send(self, message: ToRivet) -> None:
        if self._lost is not None or self._protocol.state is not OPEN:
            return
        self._protocol.send_binary(self._codec.encode_to_rivet(message))
        if self._turn_end is None:
            self._flush()
            self._turn_end = asyncio.get_running_loop().call_soon(self._end_turn)
        elif not isinstance(message, ToRivetTunnel) or self._is_late():
            self._flush()

    async def writable(self) -> None:
        await self._writable.wait()

    async def receive(self) -> ToEnvoy:
        while not self._incoming:
            if self._lost is not None:
                raise self._lost
            self._changed.clear()
            await self._changed.wait()
        return self._incoming.popleft()

    async def close(self, code: int, reason: str) -> None:
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
        try:
            async with self._clock.timeout(_CLOSE_TIMEOUT):
                await self._gone.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_CONGESTED)
        shared = cast("socket.socket | None", transport.get_extra_info("socket"))
        if shared is not None:
            # uvloop's own makes a new socket object for every call.
            self._socket = socket.socket(fileno=os.dup(shared.fileno()))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._socket is not None and _QUICK_ACK is not None:
            # The engine's socket may hold a second small frame back until the first is acknowledged.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self._protocol.receive_data(data)
        self._after_input()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._after_input()

    def connection_lost(self, exc: Exception | None) -> None:
        code, reason = self._protocol.close_code, self._protocol.close_reason
        if code is None or code == 1006:
            self._end(LinkLost(1006, "the connection broke" if exc is None else str(exc)))
        else:
            self._end(LinkLost(code, reason or ""))
        self._gone.set()
        if self._turn_end is not None:
            self._turn_end.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- inside ---------------------------------------------------------------------------------

    def _after_input(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif isinstance(event, Response):
                self._shaken(event)
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()

    def _shaken(self, response: Response) -> None:
        if self._handshake.done():
            return
        failure = self._protocol.handshake_exc
        if failure is None and self._protocol.state is not CONNECTING:
            self._handshake.set_result(None)
            return
        lost = LinkLost(1006, f"the server answered {response.status_code}; is it a Rivet Engine?")
        self._end(lost)

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.CONT, Opcode.TEXT):
            return
        if frame.opcode is Opcode.BINARY and frame.fin:
            self._decode(bytes(frame.data))
            return
        self._partial.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._partial)
            self._partial.clear()
            if frame.opcode is not Opcode.TEXT:
                self._decode(whole)

    def _decode(self, data: bytes) -> None:
        try:
            message = self._codec.decode_to_envoy(data)
        except ProtocolError as failure:
            log.error("a message of the engine cannot be read and is dropped: %s", failure.reason)
            return
        self._incoming.append(message)
        self._changed.set()

    def _end_turn(self) -> None:
        self._turn_end = None
        self._flush()

    def _is_late(self) -> bool:
        """Whether the turn takes so long that those who wait for an answer would notice."""
        return self._clock.monotonic() - self._written_at > _LONGEST_TURN

    def _flush(self) -> None:
        transport, unsent = self._transport, self._protocol.data_to_send()
        if transport is None or transport.is_closing() or not unsent:
            return  # on a closing one nobody gets it, and uvloop would raise
        ends = not unsent[-1]
        transport.writelines(unsent[:-1] if ends else unsent)
        if ends and transport.can_write_eof():
            transport.write_eof()
        self._written_at = self._clock.monotonic()
        if transport.get_write_buffer_size() > _MAX_UNSENT:
            self._end(LinkLost(1006, "the engine does not read what it is sent"))
            transport.abort()

    def _end(self, lost: LinkLost) -> None:
        if self._lost is None:
            self._lost = lost
            self._changed.set()
        self._writable.set()
        if not self._handshake.done():
            self._handshake.set_exception(lost)
