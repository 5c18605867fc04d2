"""What the core offers to the code of one actor: a facade over its subsystems, with no logic of its own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivetkit_core.actor.abort import Abort, AbortSignal
from rivetkit_core.actor.awake import KeepAwake, background
from rivetkit_core.actor.connections import Connections
from rivetkit_core.actor.logs import NAME, ActorLog
from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ActorSpecifier, error
from rivetkit_core.host.port import ActorAccess, ActorHost, ActorKey
from rivetkit_core.wire import actor_key

if TYPE_CHECKING:
    from rivetkit_core.actor.alarm import Alarm
    from rivetkit_core.actor.database import Database
    from rivetkit_core.actor.kv import KeyValues
    from rivetkit_core.actor.observer import StateObserver
    from rivetkit_core.actor.run import RunHandler
    from rivetkit_core.actor.saver import Saver
    from rivetkit_core.actor.schedule import Schedule
    from rivetkit_core.actor.sleep import Sleep


@dataclass(frozen=True, slots=True)
class ActorIdentity:
    """Which life of which actor this is. Generations count from 1, one per start."""

    actor_id: str
    name: str
    key: ActorKey
    generation: int
    region: str = ""
    specifier: ActorSpecifier = field(init=False, repr=False, compare=False)
    log: ActorLog = field(init=False, repr=False, compare=False)
    """A logger that carries the actor's id, name, key and generation; one, since every part holds it."""

    def __post_init__(self) -> None:
        specifier = ActorSpecifier(self.actor_id, self.generation, actor_key.display(self.key))
        object.__setattr__(self, "specifier", specifier)
        fields = {
            "actor_id": self.actor_id,
            "actor_name": self.name,
            "actor_key": list(self.key),
            "generation": self.generation,
        }
        object.__setattr__(self, "log", ActorLog(logging.getLogger(NAME), fields))


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
        queue: ActorQueue,
        saver: Saver,
        schedule: Schedule,
        alarm: Alarm,
        observer: Callable[[], StateObserver | None],
        host: ActorHost,
        work: WorkRegistry,
        run: RunHandler,
        sleep: Sleep,
        kv: KeyValues,
        database: Database,
    ) -> None:
        self.identity = identity
        self.config = config
        self.clock = clock
        self.entropy = entropy
        self.access = access
        self.connections = connections
        self.kv = kv
        self.database = database
        self.queue = queue
        self.schedule = schedule
        self.input: bytes | None = None
        self.log = work.log
        self._saver = saver
        self._observer = observer
        self._host = host
        self._alarm = alarm
        self._work = work
        self._run = run
        self._sleep = sleep
        self._abort = Abort(clock, self.log)
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
    def abort_signal(self) -> AbortSignal:
        """Given when this generation begins to end."""
        return self._abort

    @property
    def aborted(self) -> bool:
        """Whether this generation is shutting down."""
        return self._abort.aborted

    async def wait_aborted(self) -> None:
        """Wait until this generation begins to shut down. Safe to cancel."""
        await self._abort.wait()

    def abort(self) -> None:
        """Tell the actor that this generation is shutting down. Once is enough."""
        self._abort.fire()

    def broadcast(self, event: str, args: bytes) -> None:
        """Send an event to every connection subscribed to it. ``args`` is a CBOR array."""
        self.connections.broadcast(event, args)

    def request_save(self, *, immediate: bool = False, max_wait: float | None = None) -> None:
        """Ask for a save, within ``max_wait`` seconds if that is sooner; never waits, never raises."""
        self._saver.request(immediate=immediate, max_wait=max_wait)

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
        self._host.request_destroy()

    def sleep(self) -> None:
        """Ask to be put to sleep, whatever is going on. Returns before that happened. Idempotent.

        Raises:
            RivetError: ``actor.starting`` during the start, ``actor.stopping`` when the actor ends already.
        """
        if not self.started:
            raise error("actor.starting")
        if self.destroy_requested or self.aborted:
            raise error("actor.stopping")
        self.request_save(immediate=True)
        self._sleep.request()

    def keep_awake(self) -> KeepAwake:
        """A region of the current task for which the actor stays awake."""
        return KeepAwake(self._work)

    def wait_until(self, work: Awaitable[object]) -> None:
        """Run ``work`` in the background; the actor may sleep meanwhile, but its end waits for it."""
        background(self._work, WorkKind.WAIT_UNTIL, work)

    def register_task(self, work: Awaitable[object]) -> None:
        """``wait_until`` for a runtime's own work."""
        background(self._work, WorkKind.REGISTERED, work)

    def queue_wait(self) -> AbstractContextManager[None]:
        """Wait for a message inside: a ``run`` that only waits lets the actor sleep."""
        return self._work.queue_wait()

    @property
    def prevent_sleep(self) -> bool:
        """The legacy switch; while on, the actor does not sleep and its end waits, up to the deadline."""
        return self._sleep.prevented

    @prevent_sleep.setter
    def prevent_sleep(self, value: bool) -> None:
        self._sleep.prevented = value

    async def restart_run(self) -> None:
        """Cancel ``run`` and begin it anew.

        Raises:
            RivetError: ``actor.invalid_operation`` without ``run``, ``actor.stopping`` when the actor ends.
        """
        await self._run.restart()

    async def set_alarm(self, at_ms: int | None) -> None:
        """See ``Alarm.set``."""
        await self._alarm.set(at_ms)

    def check_state_assignment(self) -> None:
        """Refuse replacing the state inside ``on_state_change`` (``actor.state_mutation_reentrant``)."""
        observer = self._observer()
        if observer is not None:
            observer.check_assignment()
