"""``Link`` over a websocket: messages in order, sending that never waits, decoding that fails loudly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from rivetkit.client._http import answered_failure, unreachable
from rivetkit_core._version import VERSION
from rivetkit_core.errors import ProtocolError, RivetError, error
from rivetkit_core.host.port import Link, LinkClosed
from rivetkit_core.wire import subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import ActionRequest, Encoding, ToClient, ToServer

MAX_FRAME = 32 * 1024 * 1024
MAX_BACKLOG = 1024
MAX_BACKLOG_BYTES = 16 * 1024 * 1024

_CLOSE_TIMEOUT = 5.0
_BAD_MESSAGE = 1002


async def open_link(
    url: str, codec: Codec, *, params_json: str | None, headers: Mapping[str, str], shown: str
) -> Link:
    """Open a websocket. Has no time limit: the caller bounds it.

    Args:
        url: An http or https URL of ``/connect``.
        codec: The encoding to ask for.
        params_json: Connection parameters.
        headers: Sent with the handshake.
        shown: The server as messages may name it; the URL holds the token.

    Raises:
        RivetError: The server cannot be reached or refused the handshake.
    """
    offered = subprotocols.build(codec.encoding.value, params_json)
    return WebSocketLink(await dial(url, offered, headers, shown, codec.encoding), codec)


async def dial(
    url: str, offered: Sequence[str], headers: Mapping[str, str], shown: str, encoding: Encoding
) -> ClientConnection:
    """Open a websocket, as ``open_link`` does. A refusal is read in ``encoding``."""
    try:
        return await connect(
            "ws" + url.removeprefix("http"),
            subprotocols=[Subprotocol(token) for token in offered],
            additional_headers=dict(headers),
            user_agent_header=f"RivetKit/{VERSION}",
            compression=None,
            max_size=MAX_FRAME,
            open_timeout=None,
            close_timeout=_CLOSE_TIMEOUT,
        )
    except InvalidStatus as refused:
        raise _refusal(refused, shown, encoding) from refused
    except (OSError, EOFError, InvalidHandshake) as failure:
        raise unreachable(shown, failure) from failure
    except InvalidURI as failure:
        raise error(
            "validation.invalid_input", reason="the endpoint cannot be used for websockets"
        ) from failure


class WebSocketLink:
    """One open websocket. Owns the task that writes to it, from the beginning until ``close``."""

    def __init__(self, websocket: ClientConnection, codec: Codec) -> None:
        self._websocket = websocket
        self._codec = codec
        self._text = codec.encoding is Encoding.JSON
        self._outgoing: deque[bytes] = deque()
        self._outgoing_bytes = 0
        self._wake = asyncio.Event()
        self._closed: LinkClosed | None = None
        self._writer = asyncio.create_task(self._write(), name="rivetkit websocket writer")

    def send(self, message: ToServer) -> None:
        """Queue a message.

        Raises:
            LinkClosed: The websocket has ended.
            Overloaded: The server does not read, and an action would exceed the buffer; nothing was sent. For
                a subscription, which cannot be refused, the websocket is given up instead.
            ProtocolError: The payload has no form in this encoding.
        """
        if self._closed is not None:
            raise self._closed
        frame = self._codec.encode_to_server(message)
        if len(self._outgoing) >= MAX_BACKLOG or self._outgoing_bytes + len(frame) > MAX_BACKLOG_BYTES:
            self._refuse(message)
        self._outgoing.append(frame)
        self._outgoing_bytes += len(frame)
        self._wake.set()

    async def receive(self) -> ToClient:
        """The next message.

        Raises:
            LinkClosed: The websocket has ended.
            ProtocolError: A message cannot be understood; the websocket is closed with code 1002.
        """
        try:
            frame = await self._websocket.recv(decode=False)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed
        try:
            return self._codec.decode_to_client(frame)
        except ProtocolError:
            await self.close(_BAD_MESSAGE, "protocol.malformed")
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and wait for the server's answer, for five seconds at most. Idempotent."""
        if self._closed is None:
            self._closed = LinkClosed(code, reason)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        await self._websocket.close(code, reason)

    async def _write(self) -> None:
        try:
            while True:
                while self._outgoing:
                    frame = self._outgoing.popleft()
                    await self._websocket.send(frame, text=self._text)
                    self._outgoing_bytes -= len(frame)
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed as closed:
            self._ended(closed)

    def _refuse(self, message: ToServer) -> None:
        if isinstance(message, ActionRequest):
            raise error(
                "actor.overloaded", channel="connection", capacity=MAX_BACKLOG, operation=message.name
            )
        self._websocket.transport.abort()
        raise LinkClosed(1006, "the server does not read")

    def _ended(self, closed: ConnectionClosed) -> LinkClosed:
        if self._closed is None:
            self._closed = link_closed(closed)
        return self._closed


def link_closed(closed: ConnectionClosed) -> LinkClosed:
    """How a websocket ended, as the port has it."""
    received = closed.rcvd
    return LinkClosed(
        1006 if received is None else received.code, str(closed) if received is None else received.reason
    )


def _refusal(refused: InvalidStatus, shown: str, encoding: Encoding) -> RivetError:
    response = refused.response
    content_type = response.headers.get("content-type", "")
    return answered_failure(shown, response.status_code, content_type, bytes(response.body or b""), encoding)
