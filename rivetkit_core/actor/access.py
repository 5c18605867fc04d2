"""The way out of an actor: its calls to other actors pass its output gate first."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.errors import StorageError
from rivetkit_core.host.port import ActorAccess, ActorKey, Link, RawAnswer, RawRequest, RawSocket, Target
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse, ToClient, ToServer


class GatedAccess:
    """An ``ActorAccess`` whose calls wait until the caller's state is durable, if it is strict."""

    def __init__(self, access: ActorAccess, outbox: Outbox) -> None:
        self._access = access
        self._outbox = outbox

    async def resolve(self, target: Target) -> str:
        await self._outbox.settled()
        return await self._access.resolve(target)

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        await self._outbox.settled()
        return await self._access.create(name, key, input=input, region=region)

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        await self._outbox.settled()
        return await self._access.call(target, action, args, params=params)

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        await self._outbox.settled()
        return await self._access.enqueue(target, queue, request, params=params)

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        await self._outbox.settled()
        return _GatedLink(await self._access.connect(target, params=params), self._outbox)

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        await self._outbox.settled()
        return await self._access.fetch(target, request, params=params)

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        await self._outbox.settled()
        opened = await self._access.websocket(target, path, protocols=protocols, params=params)
        return _GatedSocket(opened, self._outbox)

    async def aclose(self) -> None:
        """Nothing to give back: the shared access belongs to the host."""


class _GatedLink:
    def __init__(self, link: Link, outbox: Outbox) -> None:
        self._link = link
        self._outbox = outbox

    def send(self, message: ToServer) -> None:
        self._outbox.post(lambda: self._link.send(message))

    async def receive(self) -> ToClient:
        return await self._link.receive()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with contextlib.suppress(StorageError):  # what was sent is lost then, but the link must not stay open
            await self._outbox.settled()
        await self._link.close(code, reason)


class _GatedSocket:
    def __init__(self, socket: RawSocket, outbox: Outbox) -> None:
        self._socket = socket
        self._outbox = outbox

    async def receive(self) -> str | bytes:
        return await self._socket.receive()

    async def send(self, message: str | bytes) -> None:
        await self._outbox.settled()
        await self._socket.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)
