"""The engine's side of a tunnel, with real actors behind the other side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.tunnel.exchange import HttpHandler, serve_actor_http
from rivetkit_core.host.engine.tunnel.sockets import CanHibernate
from rivetkit_core.host.engine.tunnel.tunnel import Tunnel
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketOpen,
    HostWebSocketClose,
    MessageId,
    RequestId,
    RequestStart,
    ResponseChunk,
    ResponseStart,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivetTunnel,
    ToRivetTunnelKind,
    WebSocketMessage,
)
from rivetkit_core.wire.messages import Encoding, ToClient, ToServer
from tests.unit.actor.scripted import World

GATEWAY = b"gate"


def request_id(number: int) -> RequestId:
    return RequestId(GATEWAY, number.to_bytes(4, "big"))


class Engine:
    """Sends messages of clients into a tunnel and keeps what comes back, by request.

    Attributes:
        reads: Whether it takes what the host sends.
    """

    def __init__(
        self,
        clock: FakeClock,
        actors: Sequence[ActorTask] = (),
        *,
        handler: HttpHandler = serve_actor_http,
        can_hibernate: CanHibernate = lambda _actor, _head: False,
    ) -> None:
        self.clock = clock
        self.actors = list(actors)
        self.start_failure: RivetError | None = None
        self.sent: list[ToRivetTunnel] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.tunnel = Tunnel(
            find=self._find,
            send=self.sent.append,
            writable=self._writable,
            clock=clock,
            handler=handler,
            can_hibernate=can_hibernate,
        )
        self._indices: dict[int, int] = {}

    async def give(self, number: int, *kinds: ToEnvoyTunnelKind) -> None:
        """Deliver messages of one request and wait until everything waits."""
        for kind in kinds:
            index = self._indices.get(number, -1) + 1
            self._indices[number] = index
            self.give_at(number, index, kind)
        await settle()

    def give_at(self, number: int, index: int, kind: ToEnvoyTunnelKind) -> None:
        """Deliver one message with a number of its own."""
        id = request_id(number)
        self.tunnel.receive(ToEnvoyTunnel(MessageId(id.gateway_id, id.request_id, index), kind))

    def about(self, number: int) -> list[ToRivetTunnelKind]:
        """What the host said about one request."""
        return [message.kind for message in self._of(number)]

    def indices(self, number: int) -> list[int]:
        return [message.message_id.message_index for message in self._of(number)]

    def answer(self, number: int) -> ResponseStart:
        """The one whole answer of a request."""
        (answer,) = self.about(number)
        assert isinstance(answer, ResponseStart)
        assert not answer.stream
        return answer

    def streamed(self, number: int) -> bytes:
        """The body of a streamed answer, as far as it came."""
        return b"".join(kind.body for kind in self.about(number) if isinstance(kind, ResponseChunk))

    def frames(self, number: int, encoding: Encoding = Encoding.JSON) -> list[ToClient]:
        """What a client's websocket received, decoded."""
        codec = Codec(encoding)
        return [
            codec.decode_to_client(kind.data)
            for kind in self.about(number)
            if isinstance(kind, WebSocketMessage)
        ]

    def closes(self, number: int) -> list[tuple[int | None, str | None]]:
        return [
            (kind.code, kind.reason) for kind in self.about(number) if isinstance(kind, HostWebSocketClose)
        ]

    def _of(self, number: int) -> list[ToRivetTunnel]:
        id = request_id(number)
        return [
            message
            for message in self.sent
            if (message.message_id.gateway_id, message.message_id.request_id)
            == (id.gateway_id, id.request_id)
        ]

    async def _writable(self) -> None:
        await self.reads.wait()

    def _find(self, actor_id: str, generation: int | None) -> ActorTask | None:
        if self.start_failure is not None:
            raise self.start_failure
        for actor in self.actors:
            if actor.identity.actor_id == actor_id and generation in (None, actor.identity.generation):
                return actor
        return None


@contextlib.asynccontextmanager
async def engine_of(
    world: World,
    *,
    handler: HttpHandler = serve_actor_http,
    can_hibernate: CanHibernate = lambda _actor, _head: False,
) -> AsyncGenerator[Engine]:
    """An engine with one running actor; the tunnel is closed on leaving."""
    engine = Engine(world.clock, [await world.started()], handler=handler, can_hibernate=can_hibernate)
    try:
        yield engine
    finally:
        closing = asyncio.create_task(engine.tunnel.close())
        await world.clock.advance(10)  # what still runs is cancelled
        await closing


def action(
    name: str, *args: object, generation: int | None = None, params: str | None = None
) -> RequestStart:
    """An action call as the default gateway sends it; with a generation, as the streaming one does."""
    codec = Codec(Encoding.BARE)
    return RequestStart(
        World.ACTOR_ID,
        "POST",
        f"/action/{name}",
        {"x-rivet-encoding": "bare"} | ({} if params is None else {"x-rivet-conn-params": params}),
        codec.encode_action_request(cbor.encode(list(args))),
        actor_generation=generation,
        response_stream=generation is not None,
    )


def get(path: str, *, generation: int | None = None) -> RequestStart:
    return RequestStart(
        World.ACTOR_ID,
        "GET",
        path,
        {},
        actor_generation=generation,
        response_stream=generation is not None,
    )


def upload(
    path: str, *, generation: int | None = 1, headers: Mapping[str, str] | None = None
) -> RequestStart:
    """A request whose body follows in chunks."""
    return RequestStart(
        World.ACTOR_ID,
        "POST",
        path,
        headers or {},
        stream=True,
        actor_generation=generation,
        response_stream=generation is not None,
    )


def output(answer: ResponseStart) -> object:
    """What an action returned."""
    return cbor.decode(Codec(Encoding.BARE).decode_action_response(answer.body or b""))


def connect(
    path: str = "/connect", *, encoding: str = "json", actor_id: str = World.ACTOR_ID, **headers: str
) -> EngineWebSocketOpen:
    offered = f"rivet, rivet_encoding.{encoding}"
    return EngineWebSocketOpen(actor_id, path, {"sec-websocket-protocol": offered, **headers})


def frame(message: ToServer) -> WebSocketMessage:
    return WebSocketMessage(Codec(Encoding.JSON).encode_to_server(message), binary=False)
