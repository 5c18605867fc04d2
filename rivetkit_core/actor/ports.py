"""What a host gives to one generation of an actor."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.port import ActorAccess, ActorDatabase, ActorHost, ActorStorage, WriteLimit
from rivetkit_core.metrics.process import ProcessMetrics


@dataclass(frozen=True, slots=True)
class ActorPorts:
    """What the host gives one generation.

    Args:
        database: None where the host has no databases for actors.
        expose_errors: Clients see the messages of internal errors.
        metrics: Where the generation's numbers are added up; None if nobody asks for those of the process.
        write_limit: What one write of ``storage`` takes.
    """

    storage: ActorStorage
    access: ActorAccess
    clock: Clock
    entropy: Entropy
    host: ActorHost
    database: ActorDatabase | None = None
    expose_errors: bool = False
    metrics: ProcessMetrics | None = None
    inspector: InspectorOptions = field(default_factory=InspectorOptions)
    write_limit: WriteLimit | None = None
