"""What the scripted engine knows about one actor. ``lifecycle`` is the only module that changes it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

from rivetkit_core.clock import Timer
from rivetkit_core.testing.engine.envoys import Envoy
from rivetkit_core.testing.engine.kv import ActorKv
from rivetkit_core.testing.engine.sql import ActorSql
from rivetkit_core.wire.envoy.messages import RequestId, StopReason


class ActorState(enum.Enum):
    PENDING = "pending"
    """Waits for an envoy that may take it."""
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ASLEEP = "asleep"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class GatewayFailure:
    """What the gateway tells a client when the actor cannot."""

    status: int
    code: str


class Visitor(Protocol):
    """A client's request or websocket on its way to an actor, or there."""

    def actor_ready(self, actor: ScriptedActor) -> None:
        """The actor runs; the visitor is attached to this generation until it leaves or that ends."""
        ...

    def actor_refused(self, failure: GatewayFailure) -> None:
        """The actor will not run for this visitor."""
        ...

    def actor_ended(self, actor: ScriptedActor, *, lost: bool) -> None:
        """The generation it was attached to is over; ``lost`` means that its envoy disappeared."""
        ...


@dataclass(slots=True, eq=False)
class ScriptedActor:
    """One actor, over all its generations.

    Attributes:
        error: Why the last generation failed, until one runs again.
        alarm_ts: Milliseconds since the Unix epoch.
        hibernating: Websockets that outlive a sleep.
    """

    actor_id: str
    namespace: str
    name: str
    key: str | None
    pool: str
    input: bytes | None
    kv: ActorKv
    sql: ActorSql = field(default_factory=ActorSql)
    state: ActorState = ActorState.ASLEEP
    generation: int = 0
    envoy: Envoy | None = None
    next_command: int = 1
    last_event: int = -1
    acked_event: int = -1
    stop_reason: StopReason | None = None
    wake_wanted: bool = False
    failed_wakes: int = 0
    error: str | None = None
    alarm_ts: int | None = None
    alarm_fired: bool = False
    alarm_timer: Timer | None = None
    start_timer: Timer | None = None
    hibernating: list[RequestId] = field(default_factory=list[RequestId])
    waiting: list[Visitor] = field(default_factory=list[Visitor])
    attached: list[Visitor] = field(default_factory=list[Visitor])
