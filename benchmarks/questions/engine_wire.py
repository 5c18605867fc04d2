"""What an action costs between the engine and a host, next to an envoy that only answers.

The engine is the scripted one, in the load process; hosts are processes of their own.

    requests       actions/s and latency through the default gateway
    live           the same over websockets through the tunnel, one for each caller
    bytes          of all messages for one action, both directions
    round trips    answers of the engine that the host waits for
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.comparison import Comparison, Row, Setup, calling, counted
from benchmarks.processes import ServerProcess
from benchmarks.questions.http import check_count
from benchmarks.sockets import CODEC
from rivetkit_core.clock import SystemClock
from rivetkit_core.testing.engine import (
    ActorState,
    EngineSettings,
    ScriptedClientSocket,
    ScriptedEngine,
    ScriptedEngineServer,
    Traffic,
)
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionRequest, ActionResponse

YARDSTICK = "bare envoy"
SUBJECT = "engine host"

_CALLERS = (1, 64)
_COUNTED_ACTIONS = 500
_ACTION = CODEC.encode_action_request(cbor.encode([1]))
_FRAME = CODEC.encode_to_server(ActionRequest(1, "increment", cbor.encode([1])))
_HEADERS = {"x-rivet-encoding": "bare", "content-type": "application/octet-stream"}
_SOCKET_HEADERS = {"sec-websocket-protocol": "rivet, rivet_encoding.bare"}


class Caller(Protocol):
    """One caller of an action that counts."""

    calls: int

    async def __call__(self) -> None: ...

    def result(self) -> object:
        """The last answer."""
        ...


class _RequestCaller:
    """Actions as requests."""

    def __init__(self, engine: ScriptedEngine, actor_id: str) -> None:
        self._engine = engine
        self._actor_id = actor_id
        self._last = b""
        self.calls = 0

    async def __call__(self) -> None:
        path = "/action/increment"
        response = await self._engine.request(self._actor_id, "POST", path, _HEADERS, _ACTION)
        self._last = await response.read()
        self.calls += 1
        if response.status != 200:
            raise RuntimeError(f"an action was answered with {response.status}: {self._last[:200]!r}")

    def result(self) -> object:
        return cbor.decode(CODEC.decode_action_response(self._last))


class _LiveCaller:
    """Actions over one websocket."""

    def __init__(self, socket: ScriptedClientSocket) -> None:
        self._socket = socket
        self._last = b""
        self.calls = 0

    async def __call__(self) -> None:
        self._socket.send(_FRAME)
        frame = await self._socket.receive()
        if frame is None:
            raise RuntimeError(f"a websocket was closed with {self._socket.closed}")
        self._last = frame.data
        self.calls += 1

    def result(self) -> object:
        answer = CODEC.decode_to_client(self._last)
        return cbor.decode(answer.output) if isinstance(answer, ActionResponse) else answer


@dataclass(slots=True)
class _Served:
    """One host, and the engine it is connected to."""

    name: str
    engine: ScriptedEngine
    traffic: Traffic
    process: ServerProcess

    async def requests(self, name: str, key: str, callers: int) -> list[Caller]:
        """Callers of a new actor of that name."""
        actor_id = await self._actor(name, key)
        return [_RequestCaller(self.engine, actor_id) for _ in range(callers)]

    async def lives(self, name: str, key: str, callers: int) -> list[Caller]:
        """Callers of a new actor of that name, each with a websocket."""
        actor_id = await self._actor(name, key)
        return [await self._live(actor_id) for _ in range(callers)]

    async def _actor(self, name: str, key: str) -> str:
        actor_id = self.engine.create_actor(name, key)
        await self.engine.reached(actor_id, ActorState.RUNNING)
        return actor_id

    async def _live(self, actor_id: str) -> _LiveCaller:
        socket = self.engine.websocket(actor_id, "/connect", _SOCKET_HEADERS)
        await socket.receive()  # Init
        return _LiveCaller(socket)


_Opens = Callable[[_Served, str, str, int], Awaitable[list[Caller]]]
_CASES: dict[str, tuple[str, _Opens]] = {
    "request": ("throttled", _Served.requests),
    "strict request": ("strict", _Served.requests),
    "live": ("throttled", _Served.lives),
}


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    subject, yardstick = (
        await _serve(setup, "engine-host", SUBJECT),
        await _serve(setup, "bare-envoy", YARDSTICK),
    )
    for (kind, (actor, opens)), count in itertools.product(_CASES.items(), _CALLERS):
        case = f"{kind}, {counted(count)}"
        ours, theirs = [
            await opens(host, actor, case.replace(" ", "-"), count) for host in (subject, yardstick)
        ]
        compared = await Comparison.of(
            setup,
            "engine_wire",
            case,
            calling(SUBJECT, ours, subject.process),
            calling(YARDSTICK, theirs, yardstick.process),
        )
        _check(ours)
        yield compared.row(SUBJECT, YARDSTICK)
    for actor, case in (("throttled", "one action"), ("strict", "one action and save")):
        ours, theirs = await _cost(subject, actor), await _cost(yardstick, actor)
        for unit, value in ours.items():
            yield _row(case, unit, value, theirs[unit])


def _check(callers: Sequence[Caller]) -> None:
    check_count([caller.result() for caller in callers], sum(caller.calls for caller in callers))


async def _serve(setup: Setup, kind: str, name: str) -> _Served:
    engine = ScriptedEngine(SystemClock(), EngineSettings(recording=False))
    server = await setup.stack.enter_async_context(ScriptedEngineServer(engine))
    engine.connections.pools.add("default")
    return _Served(name, engine, server.traffic, await setup.server(kind, server.endpoint))


async def _cost(host: _Served, actor: str) -> dict[str, float]:
    (act,) = await host.requests(actor, "cost", 1)
    await act()
    before = host.traffic.copy()
    for _ in range(_COUNTED_ACTIONS):
        await act()
    seen = host.traffic.since(before)
    size = seen.to_engine.bytes.total() + seen.to_host.bytes.total()
    return {"bytes": size / _COUNTED_ACTIONS, "round trips": seen.round_trips / _COUNTED_ACTIONS}


def _row(case: str, unit: str, value: float, yardstick_value: float) -> Row:
    ratio = value / yardstick_value if yardstick_value else 1.0
    return Row("engine_wire", case, unit, SUBJECT, YARDSTICK, value, yardstick_value, ratio, ratio, ratio)
