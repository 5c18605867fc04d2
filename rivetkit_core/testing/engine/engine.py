"""An engine that does what a test says: the protocol's rules in memory, without bytes, sockets or tasks.

    engine = ScriptedEngine(clock)
    host = ...(engine.dialer())                      # the code under test
    actor_id = engine.create_actor("counter")
    response = await engine.request(actor_id, "GET", "/")
    engine.faults.drop()
    engine.close()                                   # raises what rules the host broke

Everything happens in callbacks of the event loop and in timers of the clock, so one history follows from
one test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.entropy import SeededEntropy, new_actor_id
from rivetkit_core.testing.engine.actors import ActorState, ScriptedActor
from rivetkit_core.testing.engine.client_sockets import ScriptedClientSocket
from rivetkit_core.testing.engine.connections import Connections
from rivetkit_core.testing.engine.envoys import Connection, Envoy, Hello, Peer
from rivetkit_core.testing.engine.exchanges import ClientRequest, GatewayPort
from rivetkit_core.testing.engine.faults import Faults
from rivetkit_core.testing.engine.gateway import Gateway
from rivetkit_core.testing.engine.kv import ActorKv
from rivetkit_core.testing.engine.lifecycle import Lifecycle
from rivetkit_core.testing.engine.links import ScriptedDialer
from rivetkit_core.testing.engine.response import ScriptedResponse
from rivetkit_core.testing.engine.settings import EngineSettings
from rivetkit_core.testing.engine.storage import Storage, StorageRequest, valid_id
from rivetkit_core.wire.envoy.messages import (
    AckCommands,
    EventEntry,
    Events,
    KvRequest,
    Metadata,
    Pong,
    SqlExec,
    SqlExecute,
    SqlExecuteBatch,
    Stopping,
    StopReason,
    ToRivet,
    ToRivetTunnel,
)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it arrived; ``counted`` is False for those of another generation, or seen before."""

    entry: EventEntry
    counted: bool


class ScriptedEngine:
    """One engine with the namespace and the pool ``default``.

    Attributes:
        faults: What can be made to go wrong.
        received: Every message of every host, oldest first.
        events: Every event among them.
        actors: By id, destroyed ones included.
        up: While False, nobody can connect.
    """

    def __init__(
        self, clock: Clock, settings: EngineSettings | None = None, *, lost_threshold_ms: int = 15_000
    ) -> None:
        self.settings = settings or EngineSettings(lost_threshold_ms=lost_threshold_ms)
        self.actors: dict[str, ScriptedActor] = {}
        self.received: list[ToRivet] = []
        self.events: list[RecordedEvent] = []
        self.up = True
        self._clock = clock
        self._ids = SeededEntropy(0)
        self.connections = Connections(
            clock, self.settings, lambda connection: self._end(connection, 1011, "ws.timed_out#ray")
        )
        self._lifecycle = Lifecycle(clock, self.settings, self.connections.all)
        self._lifecycle.observe(self._actor_changed)
        self._gateway = Gateway(GatewayPort(clock, self.settings, self._lifecycle))
        self._storage = Storage(self.actors)
        self.faults = Faults(self.connections.all, self._gateway, self._end)
        self._changed: asyncio.Event | None = None

    # What a host connects to

    def dialer(
        self,
        pool: str = "default",
        envoy_key: str = "envoy-1",
        version: int = 1,
        *,
        namespace: str = "default",
        protocol: int = 8,
    ) -> ScriptedDialer:
        """A way for a host to connect. ``version`` is its deployment's, ``protocol`` the messages'."""
        return ScriptedDialer(self, Hello(envoy_key, pool, namespace, version, protocol))

    # What the management API does

    def create_actor(
        self,
        name: str,
        key: str | None = None,
        *,
        input: bytes | None = None,
        pool: str = "default",
        namespace: str = "default",
    ) -> str:
        """Create an actor and start it; without an envoy it waits for one."""
        kv = ActorKv(lambda: time_ms(self._clock))
        actor = ScriptedActor(new_actor_id(self._ids), namespace, name, key, pool, input, kv)
        self.actors[actor.actor_id] = actor
        self._lifecycle.wake(actor)
        return actor.actor_id

    def wake_actor(self, actor_id: str) -> None:
        self._lifecycle.wake(self.actors[actor_id])

    def sleep_actor(self, actor_id: str) -> None:
        self._lifecycle.stop(self.actors[actor_id], StopReason.SLEEP_INTENT)

    def reschedule_actor(self, actor_id: str) -> None:
        self._lifecycle.stop(self.actors[actor_id], StopReason.GOING_AWAY)

    async def destroy_actor(self, actor_id: str) -> None:
        """Destroy, and wait until the host has stopped it. Cancelling does not take it back."""
        self._lifecycle.stop(self.actors[actor_id], StopReason.DESTROY)
        await self.reached(actor_id, ActorState.DESTROYED)

    async def reached(self, actor_id: str, state: ActorState) -> None:
        """Wait until the actor is in a state; one that it only passes through may be missed."""
        actor = self.actors[actor_id]
        while actor.state is not state:
            self._changed = self._changed or asyncio.Event()
            await self._changed.wait()

    # What clients do

    def request(
        self,
        actor_id: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        streaming: bool | None = None,
        uploading: bool = False,
    ) -> ScriptedResponse:
        """Send a request through a gateway, the one of the settings by default; await it for the head.

        With ``uploading``, the body comes from ``ScriptedResponse.upload``.
        """
        actor = self.actors[actor_id]
        request = ClientRequest(actor, method, path, dict(headers or {}), None if uploading else body)
        return self._gateway.request(request, streaming=self._streams(actor, streaming))

    def websocket(
        self, actor_id: str, path: str = "/", headers: Mapping[str, str] | None = None
    ) -> ScriptedClientSocket:
        """Open a websocket to an actor; frames may be sent at once."""
        return self._gateway.websocket(self.actors[actor_id], path, headers or {})

    # The end

    def close(self) -> None:
        """End every connection and timer.

        Raises:
            ProtocolViolation: The first rule that a host broke.
        """
        self.up = False
        self.faults.go_away()
        self.connections.forget_timers(self.connections.all())
        for actor in self.actors.values():
            self._lifecycle.forget_timers(actor)
            actor.sql.close()
        for violation in self._gateway.violations:
            raise violation

    # What connections bring

    def connect(self, hello: Hello, peer: Peer) -> Connection:
        """Take a connection; the verdict is delivered in a later turn of the event loop."""
        connection = self.connections.open(hello, peer)
        asyncio.get_running_loop().call_soon(self._judge, connection, hello)
        return connection

    def handle(self, connection: Connection, message: ToRivet) -> None:
        """Take one message of a host."""
        if self.settings.recording:
            self.received.append(message)
        envoy = connection.envoy
        match message:
            case Metadata():
                envoy.metadata = message
            case Events(entries):
                self._take_events(connection, entries)
            case AckCommands(checkpoints):
                if self._check_ids(connection, [done.actor_id for done in checkpoints]):
                    envoy.acknowledge(checkpoints)
            case Stopping():
                self._lifecycle.drain(envoy)
            case Pong():
                connection.last_pong = self._clock.monotonic()
            case KvRequest() | SqlExec() | SqlExecute() | SqlExecuteBatch():
                self._answer(connection, message)
            case ToRivetTunnel():
                self._gateway.take(message)

    def disconnected(self, connection: Connection) -> None:
        """The host, or the network, ended a connection."""
        self.connections.ended(connection, self._lifecycle)
        for actor in self.actors.values():
            actor.sql.end_session(connection)

    def _judge(self, connection: Connection, hello: Hello) -> None:
        if not connection.is_open:
            return
        reason = self.connections.refusal(hello)
        refusal = self.faults.refusal() or (None if reason is None else (1011, f"{reason}#ray"))
        if refusal is not None:
            connection.is_open = False
            connection.peer.end(*refusal)
            return
        self.connections.welcome(connection, hello, lambda: self.faults.pings)
        self._lifecycle.allocate_pending(self.actors.values())

    def _answer(self, connection: Connection, request: StorageRequest) -> None:
        failure = self.faults.kv_error(request.request_id) if isinstance(request, KvRequest) else None
        self.faults.pass_answer(connection, failure or self._storage.answer(connection, request))

    def _take_events(self, connection: Connection, entries: tuple[EventEntry, ...]) -> None:
        if not self._check_ids(connection, [entry.checkpoint.actor_id for entry in entries]):
            return
        touched: dict[str, ScriptedActor] = {}
        for entry in entries:
            actor = self.actors.get(entry.checkpoint.actor_id)
            counted = actor is not None and self._lifecycle.take_event(connection.envoy, entry, actor)
            if self.settings.recording:
                self.events.append(RecordedEvent(entry, counted))
            if actor is not None and counted:
                touched[actor.actor_id] = actor
        self._lifecycle.acknowledge_events(connection.envoy, touched.values())

    def _check_ids(self, connection: Connection, actor_ids: list[str]) -> bool:
        if all(map(valid_id, actor_ids)):
            return True
        self._end(connection, 1011, "core.internal_error#ray")
        return False

    def _end(self, connection: Connection, code: int, reason: str) -> None:
        self.connections.end(connection, code, reason)
        self.disconnected(connection)

    def _streams(self, actor: ScriptedActor, wanted: bool | None) -> bool:
        streaming = self.settings.streaming if wanted is None else wanted
        hosts: list[Envoy] = [actor.envoy] if actor.envoy is not None else self.connections.all()
        return streaming and all(envoy.protocol >= 7 for envoy in hosts)

    def _actor_changed(self, _actor: ScriptedActor) -> None:
        if self._changed is not None:
            changed, self._changed = self._changed, None
            changed.set()
