"""An envoy with nothing of ours in it but the codec: what an engine and a host pay for the way alone.

It answers every request and every frame at once; an actor named ``strict`` writes one record before.
"""

from __future__ import annotations

import asyncio
import itertools
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.sockets import CODEC
from rivetkit_core.wire import cbor
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import (
    CommandEntry,
    Commands,
    EngineWebSocketOpen,
    EventEntry,
    Events,
    HostWebSocketOpen,
    KvPut,
    KvRequest,
    KvResponse,
    MessageId,
    Metadata,
    Ping,
    Pong,
    RequestStart,
    ResponseStart,
    Running,
    StopActor,
    StopCode,
    Stopped,
    ToEnvoy,
    ToEnvoyTunnel,
    ToRivet,
    ToRivetTunnel,
    ToRivetTunnelKind,
    WebSocketMessage,
)
from rivetkit_core.wire.messages import ActionResponse, Init

_ANSWER = CODEC.encode_action_response(cbor.encode(1))
_FRAME = WebSocketMessage(CODEC.encode_to_client(ActionResponse(1, cbor.encode(1))), binary=True)
_INIT = WebSocketMessage(CODEC.encode_to_client(Init("actor", "connection")), binary=True)
_RECORD = b"x" * 64


class _BareEnvoy:
    def __init__(self) -> None:
        self._strict: set[str] = set()
        self._saves: dict[int, MessageId] = {}
        self._request_ids = itertools.count(1)

    def answer(self, message: ToEnvoy) -> tuple[ToRivet, ...]:
        match message:
            case ToEnvoyTunnel(to, RequestStart(actor_id)):
                if actor_id not in self._strict:
                    return (_respond(to),)
                number = next(self._request_ids)
                self._saves[number] = to
                return (KvRequest(actor_id, number, KvPut((b"state",), (_RECORD,))),)
            case KvResponse(number):
                return (_respond(self._saves.pop(number)),)
            case ToEnvoyTunnel(to, EngineWebSocketOpen()):
                return _say(to, 0, HostWebSocketOpen(can_hibernate=False)), _say(to, 1, _INIT)
            case ToEnvoyTunnel(to, WebSocketMessage()):
                return (_say(to, 2, _FRAME),)
            case Commands(entries):
                return (Events(tuple(map(self._obey, entries))),)
            case Ping(ts):
                return (Pong(ts),)
            case _:
                return ()

    def _obey(self, entry: CommandEntry) -> EventEntry:
        place = entry.checkpoint
        if isinstance(entry.command, StopActor):
            return EventEntry(place, Stopped(StopCode.OK))
        if entry.command.name == "strict":
            self._strict.add(place.actor_id)
        return EventEntry(place, Running())


def _respond(to: MessageId) -> ToRivetTunnel:
    headers = {"content-type": "application/octet-stream"}
    return _say(to, 0, ResponseStart(200, headers, _ANSWER))


def _say(to: MessageId, index: int, kind: ToRivetTunnelKind) -> ToRivetTunnel:
    return ToRivetTunnel(MessageId(to.gateway_id, to.request_id, index), kind)


async def bare_envoy(endpoint: str, ready: asyncio.Event) -> None:
    """Be the yardstick until cancelled; ``ready`` is set once the engine took the connection."""
    codec, envoy = EnvoyCodec(8), _BareEnvoy()
    query = "protocol_version=8&namespace=default&envoy_key=bare-envoy&version=1&pool_name=default"
    url = f"ws://{urlsplit(endpoint).netloc}/envoys/connect?{query}"
    protocols = [Subprotocol("rivet")]
    async with connect(url, subprotocols=protocols, compression=None, max_size=None) as socket:
        await socket.send(codec.encode_to_rivet(Metadata()))
        async for data in socket:
            assert isinstance(data, bytes)
            answers = envoy.answer(codec.decode_to_envoy(data))
            ready.set()
            for answer in answers:
                await socket.send(codec.encode_to_rivet(answer))
