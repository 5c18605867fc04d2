"""A websocket to an engine as an ``EnvoyLink``, with nothing of a host in it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from rivetkit_core.host.engine.link import LinkLost
from rivetkit_core.wire.envoy.codec import SUPPORTED_VERSIONS, EnvoyCodec
from rivetkit_core.wire.envoy.messages import ToEnvoy, ToRivet


class SocketLink:
    """Implements ``EnvoyLink``."""

    def __init__(self, socket: ClientConnection, version: int) -> None:
        self.version = version
        self._socket = socket
        self._codec = EnvoyCodec(version if version in SUPPORTED_VERSIONS else 8)
        self._outgoing: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._writing = asyncio.create_task(self._write())

    @classmethod
    async def open(
        cls,
        port: int,
        *,
        envoy_key: str = "envoy-1",
        pool: str = "default",
        namespace: str = "default",
        version: int = 1,
        protocol: int = 8,
        token: str | None = None,
    ) -> Self:
        query = urlencode(
            {
                "protocol_version": protocol,
                "namespace": namespace,
                "envoy_key": envoy_key,
                "version": version,
                "pool_name": pool,
            }
        )
        offered = ["rivet"] if token is None else ["rivet", f"rivet_token.{token}"]
        socket = await connect(
            f"ws://127.0.0.1:{port}/envoys/connect?{query}",
            subprotocols=[Subprotocol(name) for name in offered],
            compression=None,
            max_size=None,
        )
        assert socket.subprotocol == "rivet"
        return cls(socket, protocol)

    def send(self, message: ToRivet) -> None:
        self._outgoing.append(self._codec.encode_to_rivet(message))
        self._more.set()

    async def writable(self) -> None:
        """It keeps whatever it is given."""

    async def receive(self) -> ToEnvoy:
        try:
            data = await self._socket.recv(decode=False)
        except ConnectionClosed as ended:
            close = ended.rcvd
            raise LinkLost(close.code if close else 1006, close.reason if close else "") from ended
        return self._codec.decode_to_envoy(data)

    async def close(self, code: int, reason: str) -> None:
        self._writing.cancel()
        await asyncio.wait([self._writing])
        await self._socket.close(code, reason)

    def abort(self) -> None:
        self._socket.transport.abort()

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._outgoing:
                try:
                    await self._socket.send(self._outgoing.popleft())
                except ConnectionClosed:
                    return
