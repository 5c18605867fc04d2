"""What an action costs between the engine and a host, next to an envoy that only answers.

The engine is the scripted one, in the load process; hosts are processes of their own. ``HOSTS`` names the
kinds of ``benchmarks.servers`` to compare: each gets the engine's endpoint, connects to the pool ``default``,
runs actors ``throttled`` and ``strict``, and prints a number once it is connected.

    requests       requests/s and latency through the default gateway
    bytes          of all messages for one action, both directions
    round trips    answers of the engine that the host waits for
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from benchmarks.load import Call
from benchmarks.processes import ServerProcess
from benchmarks.sockets import CODEC
from rivetkit_core.clock import SystemClock
from rivetkit_core.testing.engine import (
    ActorState,
    EngineSettings,
    ScriptedEngine,
    ScriptedEngineServer,
    Traffic,
)
from rivetkit_core.wire import cbor
from rivetkit_core.wire.envoy.codec import EnvoyCodec
from rivetkit_core.wire.envoy.messages import (
    CommandEntry,
    Commands,
    EventEntry,
    Events,
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
)

YARDSTICK = "bare-envoy"
HOSTS: dict[str, str] = {YARDSTICK: "bare envoy"}
"""Kinds of server and what they are called; the yardstick is compared with itself while it is alone."""

_CALLERS = (1, 64)
_COUNTED_ACTIONS = 500
_ACTION = CODEC.encode_action_request(cbor.encode([1]))
_HEADERS = {"x-rivet-encoding": "bare", "content-type": "application/octet-stream"}
_ANSWER = b"\x04\x00\x01\x01"
_RECORD = b"x" * 64


@dataclass(slots=True)
class _Served:
    """One host, and the engine it is connected to."""

    name: str
    engine: ScriptedEngine
    traffic: Traffic
    process: ServerProcess

    async def actor(self, name: str, key: str) -> Call:
        """An action of a new actor of that name, as a call."""
        actor_id = self.engine.create_actor(name, key)
        await self.engine.reached(actor_id, ActorState.RUNNING)

        async def act() -> None:
            response = await self.engine.request(actor_id, "POST", "/action/increment", _HEADERS, _ACTION)
            body = await response.read()
            if response.status != 200:
                raise RuntimeError(f"an action was answered with {response.status}: {body[:200]!r}")

        return act


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    hosts = [await _serve(setup, kind, name) for kind, name in HOSTS.items()]
    yardstick = hosts[0]
    subjects = hosts[1:] or hosts
    for count in _CALLERS:
        contenders = [
            calling(host.name, [await host.actor("throttled", f"{count}")] * count, host.process)
            for host in hosts
        ]
        compared = await Comparison.of(setup, "engine_wire", counted(count), *contenders)
        for subject in subjects:
            yield compared.row(subject.name, yardstick.name, "requests/s")
    for actor, case in (("throttled", "one action"), ("strict", "one action and save")):
        costs = {host.name: await _cost(host, actor) for host in hosts}
        for subject, unit in itertools.product(subjects, ("bytes", "round trips")):
            yield _row(case, unit, subject.name, costs[subject.name][unit], costs[yardstick.name][unit])


async def _serve(setup: Setup, kind: str, name: str) -> _Served:
    engine = ScriptedEngine(SystemClock(), EngineSettings(recording=False))
    server = await setup.stack.enter_async_context(ScriptedEngineServer(engine))
    engine.connections.pools.add("default")
    process = await ServerProcess.start(kind, server.endpoint)
    setup.stack.push_async_callback(process.stop)
    return _Served(name, engine, server.traffic, process)


async def _cost(host: _Served, actor: str) -> dict[str, float]:
    act = await host.actor(actor, "cost")
    await act()
    before = host.traffic.copy()
    for _ in range(_COUNTED_ACTIONS):
        await act()
    seen = host.traffic.since(before)
    size = seen.to_engine.bytes.total() + seen.to_host.bytes.total()
    return {"bytes": size / _COUNTED_ACTIONS, "round trips": seen.round_trips / _COUNTED_ACTIONS}


def _row(case: str, unit: str, subject: str, value: float, yardstick_value: float) -> Row:
    ratio = value / yardstick_value if yardstick_value else 1.0
    return Row(
        "engine_wire", case, unit, subject, HOSTS[YARDSTICK], value, yardstick_value, ratio, ratio, ratio
    )


class _BareEnvoy:
    """Answers every request at once; an actor named ``strict`` writes one record before."""

    def __init__(self) -> None:
        self._strict: set[str] = set()
        self._saves: dict[int, MessageId] = {}
        self._request_ids = itertools.count(1)

    def answer(self, message: ToEnvoy) -> ToRivet | None:
        match message:
            case ToEnvoyTunnel(message_id, RequestStart(actor_id)):
                if actor_id not in self._strict:
                    return _respond(message_id)
                number = next(self._request_ids)
                self._saves[number] = message_id
                return KvRequest(actor_id, number, KvPut((b"state",), (_RECORD,)))
            case KvResponse(number):
                return _respond(self._saves.pop(number))
            case Commands(entries):
                return Events(tuple(map(self._obey, entries)))
            case Ping(ts):
                return Pong(ts)
            case _:
                return None

    def _obey(self, entry: CommandEntry) -> EventEntry:
        place = entry.checkpoint
        if isinstance(entry.command, StopActor):
            return EventEntry(place, Stopped(StopCode.OK))
        if entry.command.name == "strict":
            self._strict.add(place.actor_id)
        return EventEntry(place, Running())


def _respond(to: MessageId) -> ToRivetTunnel:
    headers = {"content-type": "application/octet-stream"}
    return ToRivetTunnel(MessageId(to.gateway_id, to.request_id, 0), ResponseStart(200, headers, _ANSWER))


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
            answer = envoy.answer(codec.decode_to_envoy(data))
            ready.set()
            if answer is not None:
                await socket.send(codec.encode_to_rivet(answer))
