"""What the core offers to the code of one actor: a facade over its subsystems, with no logic of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivetkit_core.actor.connections import Connections
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ActorSpecifier, error
from rivetkit_core.host.port import ActorAccess, ActorKey
from rivetkit_core.wire import actor_key

if TYPE_CHECKING:
    from rivetkit_core.actor.observer import StateObserver
    from rivetkit_core.actor.saver import Saver
    from rivetkit_core.actor.schedule import Schedule


@dataclass(frozen=True, slots=True)
class ActorIdentity:
    """Which life of which actor this is. Generations count from 1, one per start."""

    actor_id: str
    name: str
    key: ActorKey
    generation: int
    region: str = ""

    @property
    def specifier(self) -> ActorSpecifier:
        return ActorSpecifier(self.actor_id, self.generation, actor_key.display(self.key))

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that carries the actor's name, key and id."""
        fields = {"actor_id": self.actor_id, "actor_name": self.name, "actor_key": list(self.key)}
        return logging.LoggerAdapter(logging.getLogger("rivetkit.actor"), fields)


class ActorContext:
    """Handed to ``ActorFactory.create``; valid for one generation."""

    def __init__(
        self,
        *,
        identity: ActorIdentity,
        config: ActorConfig,
        clock: Clock,
        entropy: Entropy,
        access: ActorAccess,
        connections: Connections,
        saver: Saver,
        schedule: Schedule,
        observer: Callable[[], StateObserver | None],
        request_destroy: Callable[[], None],
    ) -> None:
        self.identity = identity
        self.config = config
        self.clock = clock
        self.entropy = entropy
        self.access = access
        self.connections = connections
        self.schedule = schedule
        self.input: bytes | None = None
        self.log = identity.log
        self._saver = saver
        self._observer = observer
        self._request_destroy = request_destroy
        self._abort = asyncio.Event()
        self.started = False
        self.destroy_requested = False

    @property
    def actor_id(self) -> str:
        return self.identity.actor_id

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def key(self) -> ActorKey:
        return self.identity.key

    @property
    def generation(self) -> int:
        return self.identity.generation

    @property
    def region(self) -> str:
        return self.identity.region

    @property
    def aborted(self) -> bool:
        """Whether this generation is shutting down."""
        return self._abort.is_set()

    async def wait_aborted(self) -> None:
        """Wait until this generation begins to shut down. Safe to cancel."""
        await self._abort.wait()

    def abort(self) -> None:
        """Tell the actor that this generation is shutting down. Once is enough."""
        self._abort.set()

    def broadcast(self, event: str, args: bytes) -> None:
        """Send an event to every connection subscribed to it. ``args`` is a CBOR array."""
        self.connections.broadcast(event, args)

    def request_save(self, *, immediate: bool = False) -> None:
        """Ask for a save; never waits, never raises."""
        self._saver.request(immediate=immediate)

    async def save_state(self) -> None:
        """Save now; durable on return. Cancelling stops the waiting, not the save.

        Raises:
            StorageError: The state could not be written; it is retried in the background.
        """
        await self._saver.request_and_wait()

    async def destroy(self) -> None:
        """End this actor for good: its state goes, its key becomes free. Returns before that happened.

        Raises:
            RivetError: ``actor.starting`` during the start, ``actor.stopping`` when already asked.
        """
        if not self.started:
            raise error("actor.starting")
        if self.destroy_requested:
            raise error("actor.stopping")
        self.destroy_requested = True
        self._request_destroy()

    def check_state_assignment(self) -> None:
        """Refuse replacing the state inside ``on_state_change`` (``actor.state_mutation_reentrant``)."""
        observer = self._observer()
        if observer is not None:
            observer.check_assignment()
