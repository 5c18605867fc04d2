"""What holds at the moment at which somebody reads an actor's metrics (actor-runtime 4.8, 13.1)."""

from __future__ import annotations

from rivetkit_core.actor.connections import Connections
from rivetkit_core.actor.database import Database
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.metered_database import MeteredDatabase
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.work import AWAKE, BACKGROUND, TIMED, WorkKind, WorkRegistry
from rivetkit_core.metrics.series import Key


class Gauges:
    """Looks at the parts of one generation."""

    def __init__(
        self,
        *,
        work: WorkRegistry,
        connections: Connections,
        queue: ActorQueue,
        gate: Gate,
        database: Database,
        metered: MeteredDatabase | None,
    ) -> None:
        self._work = work
        self._connections = connections
        self._queue = queue
        self._gate = gate
        self._database = database
        self._metered = metered

    def read(self) -> dict[Key, float]:
        """The values by name and labels."""
        counts = self._work.counts()
        values: dict[Key, float] = {
            ("active_connections",): len(self._connections),
            ("queue_depth",): self._queue.depth,
            ("shutdown_tasks_active",): sum(counts.get(kind, 0) for kind in BACKGROUND),
            ("user_tasks_active", "queue_wait"): self._work.queue_waits,
            ("sqlite_worker_queue_depth",): self._database.waiting,
            ("sqlite_workers_active",): self._metered is not None and self._metered.in_use,
        }
        for kind in AWAKE:
            values["keep_awake_active", kind.label] = counts.get(kind, 0)
        values["keep_awake_active", WorkKind.INTERNAL.label] += counts.get(WorkKind.SCHEDULED, 0)
        for kind in TIMED:
            values["user_tasks_active", kind.label] = counts.get(kind, 0)
        for inbox, depth in (("lifecycle", 0), ("dispatch", self._gate.accepted), ("lifecycle_event", 0)):
            values["inbox_depth", inbox] = values[f"{inbox}_inbox_depth",] = depth
        return values
