"""Who may hear which event (actor-runtime 9.6): asked when a client subscribes, never when it unsubscribes.

Invariants
    Whoever was refused hears nothing, and learns of it only when that may be seen.
    A connection that closed while the actor was asked is not subscribed.
"""

from __future__ import annotations

from collections.abc import Callable

from rivetkit_core.actor.budget import bounded
from rivetkit_core.actor.connections import Connection, Connections
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig


class Subscribing:
    """The way from a client's wish to hear an event to a subscription.

    Args:
        touched: Told that user code ran.
    """

    def __init__(
        self,
        *,
        instance: Callable[[], ActorInstance],
        config: ActorConfig,
        clock: Clock,
        gate: Gate,
        work: WorkRegistry,
        outbox: Outbox,
        connections: Connections,
        touched: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._timeout = config.on_before_connect_timeout
        self._clock = clock
        self._gate = gate
        self._work = work
        self._outbox = outbox
        self._connections = connections
        self._touched = touched

    async def subscribe(self, conn: Connection, event: str) -> None:
        """Ask the actor, if it wants to be asked, and subscribe.

        A wish is no dispatch: it is granted or refused also while the actor goes to sleep.

        Raises:
            RivetError: As a client may see it: ``auth.forbidden``, what a hook raised, or that it was late.
        """
        if self._instance().guards_subscriptions:
            with self._work.region(WorkKind.CONNECT), self._outbox.durability(None):
                await self._gate.translated("subscribe", self._ask(conn, event))
        if conn.is_open:
            self._connections.subscribe(conn, event)

    async def _ask(self, conn: Connection, event: str) -> None:
        try:
            asking = self._instance().admit_subscription(event, conn)
            await bounded(self._clock, "can_subscribe", self._timeout, asking)
        except Exception:
            self._touched()
            await self._outbox.settled()
            raise
        self._touched()
