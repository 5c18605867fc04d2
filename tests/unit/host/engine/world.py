"""An engine host over a scripted engine and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rivetkit_core.actor.factory import ActionSpec, ActorFactory
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import error
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.link import Dialer
from rivetkit_core.testing import FakeClock, settle
from rivetkit_core.testing.engine import ScriptedEngine
from rivetkit_core.testing.engine.actors import ActorState
from rivetkit_core.testing.links import ScriptedAccess
from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.envoy.messages import ActorEvent, Events
from rivetkit_core.wire.messages import Encoding
from tests.unit.actor.scripted import Script, Scripted

SCRIPTED = "scripted"


@dataclass
class ScriptedEnvironment:
    """Leads to the scripted engine. ``company``: whether other envoys could take actors over."""

    dialer: Dialer
    engine: ScriptedEngine
    company: bool = True
    failing_deletions: int = 0
    closed: bool = False
    endpoint: str = "http://engine.test"
    namespace: str = "default"

    async def prepare(self) -> Dialer:
        return self.dialer

    async def has_company(self) -> bool:
        return self.company

    async def delete(self, actor_id: str) -> None:
        if self.failing_deletions > 0:
            self.failing_deletions -= 1
            raise error("engine.unreachable", endpoint=self.endpoint, reason="it is a test")
        await self.engine.destroy_actor(actor_id)

    async def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """One host on one engine."""

    engine: ScriptedEngine
    host: EngineHost
    environment: ScriptedEnvironment
    clock: FakeClock
    factory: ActorFactory
    log: list[str] = field(default_factory=list[str])

    def another_host(self) -> EngineHost:
        """A further process of the same pool."""
        environment = ScriptedEnvironment(self.engine.dialer(envoy_key="envoy-2"), self.engine)
        return _host(self.factory, environment, self.clock)

    async def create(self, key: str = "a", input: object = None) -> str:
        """Create an actor and wait until it runs."""
        encoded = None if input is None else cbor.encode(input)
        actor_id = self.engine.create_actor(SCRIPTED, key, input=encoded)
        await self.engine.reached(actor_id, ActorState.RUNNING)
        return actor_id

    async def call(self, actor_id: str, action: str, *args: object, streaming: bool = False) -> object:
        """The output of an action, or ``group.code`` of its failure."""
        codec = Codec(Encoding.CBOR)
        answer = await self.engine.request(
            actor_id,
            "POST",
            f"/action/{action}",
            {"x-rivet-encoding": "cbor"},
            codec.encode_action_request(cbor.encode(list(args))),
            streaming=streaming,
        )
        body = await answer.read()
        if answer.status == 200:
            return cbor.decode(codec.decode_action_response(body))
        return answer.headers.get("x-rivet-error") or _code(codec, body)

    def events_of(self, actor_id: str) -> list[ActorEvent]:
        """What the engine heard of an actor and counted, oldest first."""
        return [
            recorded.entry.event
            for recorded in self.engine.events
            if recorded.counted and recorded.entry.checkpoint.actor_id == actor_id
        ]

    def batches(self) -> list[int]:
        """How many events travelled in each message."""
        return [len(message.entries) for message in self.engine.received if isinstance(message, Events)]

    def received(self, kind: type[object]) -> int:
        """How many messages of a kind the engine has received."""
        return sum(isinstance(message, kind) for message in self.engine.received)


@asynccontextmanager
async def running(script: Script | None = None, *, protocol: int = 8) -> AsyncGenerator[World]:
    """A connected host; at the end it must be possible to close it, and no rule may have been broken."""
    clock = FakeClock()
    engine = ScriptedEngine(clock)
    environment = ScriptedEnvironment(engine.dialer(protocol=protocol), engine)
    chosen = script or Script()
    log: list[str] = []
    factory = ActorFactory(
        name=SCRIPTED,
        create=lambda context: Scripted(chosen, context, log),
        actions={name: chosen.specs.get(name, ActionSpec()) for name in chosen.actions},
        queues=chosen.queues,
        config=chosen.config,
    )
    host = _host(factory, environment, clock)
    await host.open()
    world = World(engine, host, environment, clock, factory, log)
    try:
        yield world
    finally:
        await _close(world)
        engine.close()


def _host(factory: ActorFactory, environment: ScriptedEnvironment, clock: FakeClock) -> EngineHost:
    return EngineHost(
        [factory],
        environment=environment,
        access=ScriptedAccess(),
        clock=clock,
        entropy=SeededEntropy(1),
        linger=0.0,
    )


async def _close(world: World) -> None:
    closing = asyncio.create_task(world.host.close())
    while not closing.done():
        await settle()
        if not closing.done():
            await world.clock.advance(1.0)
    await closing


def _code(codec: Codec, body: bytes) -> str:
    failure = codec.decode_http_error(body)
    return f"{failure.group}.{failure.code}"
