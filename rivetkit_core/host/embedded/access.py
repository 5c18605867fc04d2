"""``ActorAccess`` without a socket: code in this process reaches actors of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rivetkit_core.actor.hibernation import SocketOrigin
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.edge.local import LocalChannel, LocalLink, LocalPipe, serve_local
from rivetkit_core.edge.local_raw import LocalExchange, LocalRaw, LocalRawSocket, LocalSocket
from rivetkit_core.edge.raw import SOCKET_PREFIX, RawHead
from rivetkit_core.edge.raw_socket import serve_raw_socket
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorKey, Link, RawAnswer, RawRequest, RawSocket, Target
from rivetkit_core.wire.json_form import cbor_to_json
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

if TYPE_CHECKING:
    from rivetkit_core.host.embedded.host import EmbeddedHost


class LocalAccess:
    """Forwards to the host, with the limits and errors a socket would bring."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._host = host

    async def resolve(self, target: Target) -> str:
        return (await self._host.place(target)).actor_id

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        return (await self._host.create(name, key, input=input, region=region)).actor_id

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        actor = await self._host.reach(target)
        config = actor.factory.config
        if len(args) > config.max_incoming_message_size:
            raise error("message.incoming_too_long")
        output = await actor.call_detached(action, args, params)
        if len(output) > config.max_outgoing_message_size:
            raise error("message.outgoing_too_long")
        return output

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        actor = await self._host.reach(target)
        config = actor.factory.config
        if len(request.body) > config.max_incoming_message_size:
            raise error("message.incoming_too_long")
        answer = await actor.enqueue(queue, request, params)
        if answer.response is not None and len(answer.response) > config.max_outgoing_message_size:
            raise error("message.outgoing_too_long")
        return answer

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        actor = await self._host.reach(target, lasting=True)
        pipe = LocalPipe(actor.factory.config)
        channel = LocalChannel(pipe, SocketOrigin(self._host.kept.new_id(), "/connect", {}))

        async def serve(actor: ActorTask, resumed: bool) -> bool:
            return await serve_local(actor, channel, params, resumed=resumed)

        self._host.own(self._host.kept.keep(actor, channel, serve))
        return LocalLink(pipe)

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        actor = await self._host.reach(target)
        headers = [] if params is None else [(b"x-rivet-conn-params", cbor_to_json(params).encode())]
        exchange = LocalExchange(request, headers)
        return await exchange.answered(self._host.own(exchange.serve(actor)))

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        actor = await self._host.reach(target, lasting=True)
        shared = LocalRaw()
        route, _, query = path.partition("?")
        offered = [(b"sec-websocket-protocol", ", ".join(protocols).encode())] if protocols else []
        head = RawHead("GET", SOCKET_PREFIX + route, query, offered)

        async def serve() -> None:
            await serve_raw_socket(actor, head, params, LocalSocket(shared), self._host.clock)

        self._host.own(serve())
        return LocalRawSocket(shared)

    async def aclose(self) -> None:
        """Nothing to give back: the host owns its connections."""
