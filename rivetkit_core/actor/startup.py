"""From storage to an actor that may be called: the steps of a start up to ``on_wake`` (actor-runtime 3).

    load -> on_migrate -> first state or stored one -> resources -> on_create -> vars -> on_wake

Invariants
    ``has_initialized`` is stored right after ``on_create``, so that a start that fails before is no start.
    Resources are open for every hook but those that make the state, which they may depend on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from rivetkit_core.actor.budget import bounded
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.hibernation import SocketId
from rivetkit_core.actor.inspector_token import INSPECTOR_TOKEN_KEY, InspectorToken
from rivetkit_core.actor.resources import Resources
from rivetkit_core.actor.restoring import RestoredConnections
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.schedule import SCHEDULE_KEYS, Schedule
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.persisted import ACTOR_KEY, CONN_PREFIX, ActorRecord, decode_actor

START_KEYS = (ACTOR_KEY, INSPECTOR_TOKEN_KEY, *SCHEDULE_KEYS)
"""What every start reads, at once."""


class Startup:
    """Runs the startup hooks of one generation.

    Args:
        capture: The state as it is to be stored.
        made: Told when the instance has a state.

    Attributes:
        stage: What is under way, or was when the start failed: a hook, ``load``, ``persist``, ``resources``.
    """

    def __init__(
        self,
        *,
        config: ActorConfig,
        clock: Clock,
        storage: ActorStorage,
        saver: Saver,
        schedule: Schedule,
        connections: RestoredConnections,
        resources: Resources,
        capture: Callable[[], bytes],
        made: Callable[[], None],
        metrics: Recorder,
        token: InspectorToken,
    ) -> None:
        self._config = config
        self._clock = clock
        self._storage = storage
        self._saver = saver
        self._schedule = schedule
        self._connections = connections
        self._resources = resources
        self._capture = capture
        self._made = made
        self.stage = "load"
        self._metrics = metrics
        self._token = token

    async def load(self, input: bytes | None, live: Collection[SocketId] = ()) -> ActorRecord:
        """The actor's record, or that of an actor that was never started.

        Raises:
            StorageError: Storage cannot be read.
        """
        found = await self._storage.load(START_KEYS)
        self._schedule.adopt(found)
        self._token.adopt(found)
        stored = found.get(ACTOR_KEY)
        if stored is None:
            return ActorRecord(input=input, has_initialized=False, state=b"")
        self._connections.adopt(await self._storage.list(CONN_PREFIX), live)
        return decode_actor(stored)

    async def run(self, instance: ActorInstance, record: ActorRecord) -> None:
        """Every hook in its order.

        Raises:
            Exception: What a hook raised, or ``actor.callback_timed_out``.
        """
        config, is_new = self._config, not record.has_initialized
        await self._hook("on_migrate", config.on_migrate_timeout, instance.on_migrate(is_new))
        self._token.ensure()
        if is_new:
            await self._create(instance, record)
        else:
            await self._restore(instance, record)
        await self._hook("create_vars", config.create_vars_timeout, instance.create_vars())
        await self._hook("on_wake", config.on_wake_timeout, instance.on_wake())
        self.stage = "persist"

    async def _create(self, instance: ActorInstance, record: ActorRecord) -> None:
        if instance.has_state:
            await self._create_state(instance, record)
            self._made()
        await self._open(instance)
        await self._hook("on_create", self._config.on_create_timeout, instance.on_create(record.input))
        self.stage = "persist"
        await self._saver.write(replace(record, has_initialized=True, state=self._capture()))

    async def _restore(self, instance: ActorInstance, record: ActorRecord) -> None:
        if instance.has_state:
            if record.state:
                self.stage = "restore_state"
                instance.restore_state(record.state)
            else:  # an earlier generation was initialized while its class had no state
                await self._create_state(instance, record)
                await self._saver.write(replace(record, state=self._capture()))
            self._made()
        self._connections.restore(instance)
        await self._open(instance)

    async def _create_state(self, instance: ActorInstance, record: ActorRecord) -> None:
        made = instance.create_state(record.input)
        await self._hook("create_state", self._config.create_state_timeout, made)

    async def _open(self, instance: ActorInstance) -> None:
        self.stage = "resources"
        await self._resources.open(instance.resources)

    async def _hook(self, name: str, timeout: float, hook: Awaitable[None]) -> None:
        self.stage = name
        began = self._clock.monotonic()
        await bounded(self._clock, name, timeout, hook)
        self._metrics.hook(name, self._clock.monotonic() - began)
