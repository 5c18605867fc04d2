"""The engine host: the actors the engine places on this process, and the connection they live by.

    engine --commands--> EngineHost --> HostedActor (one task each) --> ActorTask
           --traffic---> Tunnel -------------------------------------> ActorTask

Invariants
    At most one generation of an actor runs here; a newer one waits until the older one has ended.
    When the lease runs out, everything here ends without writing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from rivetkit_core._version import VERSION
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.deletions import Deletions
from rivetkit_core.host.engine.envoy import Envoy
from rivetkit_core.host.engine.hosted import HostedActor, Outcome
from rivetkit_core.host.engine.layout import PRELOADED_KEYS
from rivetkit_core.host.engine.link import Dialer
from rivetkit_core.host.engine.tunnel.tunnel import Tunnel
from rivetkit_core.host.engine.watchdog import Watchdog
from rivetkit_core.host.port import ActorAccess
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.wire.envoy.messages import (
    ActorEvent,
    Checkpoint,
    CommandEntry,
    EnvoyInit,
    Metadata,
    RequestId,
    StartActor,
    StopActor,
    StopReason,
    ToEnvoyTunnel,
)
from rivetkit_core.wire.persisted import CONN_PREFIX, QUEUE_MESSAGE_PREFIX, QUEUE_METADATA_KEY
from rivetkit_core.wire.subprotocols import close_reason

log = logging.getLogger("rivetkit.envoy")

_DRAIN_MARGIN = 5.0
_PING_STALE_AFTER = 20.0
_PRELOADED_BYTES = 64 * 1024


class Environment(Protocol):
    """How the host gets to its engine; see ``environment``."""

    @property
    def endpoint(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    async def prepare(self) -> Dialer:
        """Look at the engine, make it ready for this pool, and return the way to connect.

        Raises:
            RivetError: ``engine.unreachable``, ``engine.refused``.
        """
        ...

    async def has_company(self) -> bool:
        """Whether other processes of the pool could take our actors over."""
        ...

    async def delete(self, actor_id: str) -> None:
        """Destroy an actor; returns when it has stopped.

        Raises:
            RivetError: The engine did not do it.
        """
        ...

    async def close(self) -> None:
        """Give back what ``prepare`` took, whether or not it succeeded. Idempotent."""
        ...


class EngineHost:
    """Runs actors for an engine. ``open`` before use, ``close`` to hand every actor over and stop.

    Args:
        access: How the actors reach others; the host closes it.
        connect_timeout: Seconds until the engine must have accepted this process.
        metrics: Where its actors' numbers are added up; hosts may share it.
        linger: Seconds between the end of the last actor and that of the connection, for late requests.
    """

    def __init__(
        self,
        factories: Iterable[ActorFactory],
        *,
        environment: Environment,
        access: ActorAccess,
        clock: Clock,
        entropy: Entropy,
        expose_errors: bool = False,
        connect_timeout: float = 30.0,
        linger: float = 1.0,
        metrics: ProcessMetrics | None = None,
        inspector: InspectorOptions | None = None,
    ) -> None:
        self.clock = clock
        self.entropy = entropy
        self.access = access
        self.expose_errors = expose_errors
        self.metrics = metrics or ProcessMetrics()
        self.inspector = inspector or InspectorOptions()
        self.factories: Mapping[str, ActorFactory] = {factory.name: factory for factory in factories}
        self._environment = environment
        self._connect_timeout = connect_timeout
        self._linger = linger
        self._envoy: Envoy | None = None
        self._tunnel = Tunnel(
            find=self._find,
            send=lambda message: self.envoy.send_tunnel(message),
            writable=lambda: self.envoy.tunnel_writable(),
            clock=clock,
        )
        self._current: dict[str, HostedActor] = {}
        self._tasks: dict[HostedActor, asyncio.Task[Outcome]] = {}
        self._ended = asyncio.Event()
        self._watchdog = Watchdog(clock)
        self._deletions = Deletions(environment.delete, clock)
        self._unsaved = 0
        self._sleepy = False
        self.is_open = False
        self.is_closing = False

    @property
    def running_count(self) -> int:
        """How many generations are here, starting and stopping ones included."""
        return len(self._tasks)

    @property
    def envoy(self) -> Envoy:
        """The connection to the engine.

        Raises:
            RivetError: ``registry.shut_down`` before ``open``.
        """
        if self._envoy is None:
            raise error("registry.shut_down")
        return self._envoy

    @property
    def has_ended(self) -> bool:
        """Whether the engine will place nothing here any more, so that only ``close`` is left to do."""
        return self._envoy is None or self._envoy.has_ended

    @property
    def is_in_touch(self) -> bool:
        """Whether the engine was heard of lately."""
        last = None if self._envoy is None else self._envoy.last_contact
        return last is not None and self.clock.monotonic() - last <= _PING_STALE_AFTER

    async def open(self) -> None:
        """Connect to the engine; on return it may place actors here.

        Raises:
            RivetError: ``engine.unreachable``, ``engine.refused``.
        """
        try:
            await self._open()
        except BaseException:
            await self._environment.close()
            raise

    async def _open(self) -> None:
        dialer = await self._environment.prepare()
        self._envoy = Envoy(
            dialer,
            self,
            endpoint=self._environment.endpoint,
            namespace=self._environment.namespace,
            metadata=self._metadata(),
            clock=self.clock,
            entropy=self.entropy,
        )
        await self._envoy.open(self._connect_timeout)
        self._watchdog.start()
        self.is_open = True

    async def close(self) -> int:
        """Part with every actor, finish what was accepted, and disconnect. Idempotent.

        The engine moves the actors to other processes of the pool. Where there is none they are put to
        sleep, because an engine that finds nobody for a moved actor keeps trying, at a cost. Bounded by the
        longest shutdown grace period of the actors and a margin; what has not ended by then ends here.

        Returns:
            How many actors could not save their last changes; the log names them.
        """
        if not self.is_open or self.is_closing:
            return 0
        self.is_closing = True
        if self._tasks:
            await self._part_with_actors()
            # Late requests are told to look elsewhere. And the engine must have taken note of who sleeps
            # before it hears that this envoy leaves, or it would move them.
            await self.clock.sleep(self._linger)
            await self._end_by_force_after(self._grace() + _DRAIN_MARGIN)
        await self._deletions.close(_DRAIN_MARGIN)
        self.envoy.begin_drain()
        await self._tunnel.close()
        await self.access.aclose()
        await self.envoy.close()
        self._watchdog.stop()
        await self._environment.close()
        self.is_open = False
        return self._unsaved

    async def begin(self, entry: CommandEntry) -> None:
        """Handle a start that came with a request, at most once, however often and wherever it comes.

        Raises:
            RivetError: ``engine.unreachable`` when the connection, which actors live by, does not come back
                in time; ``registry.shut_down``.
        """
        await self.envoy.connected(self._connect_timeout)
        if not self.is_open or self.is_closing:
            raise error("registry.shut_down")
        self.envoy.take_commands((entry,))

    async def ended(self, actor_id: str, generation: int) -> None:
        """Wait until a generation does not run here, which is at once if it never did. Safe to cancel."""
        for hosted, task in tuple(self._tasks.items()):
            if (hosted.actor_id, hosted.generation) == (actor_id, generation):
                await asyncio.wait([task])

    def hosted(self, actor_id: str) -> HostedActor | None:
        """The generation of an actor that is here, be it starting or stopping."""
        return self._current.get(actor_id)

    async def _part_with_actors(self) -> None:
        if await self._environment.has_company():
            log.info("handing %d actors over to the others of the pool", len(self._tasks))
            self.envoy.begin_drain()
        else:
            log.info("putting %d actors to sleep", len(self._tasks))
            self._sleepy = True
            for hosted in tuple(self._tasks):
                hosted.ask_to_sleep()
        await self._end_by_force_after(self._grace() + _DRAIN_MARGIN)

    async def _end_by_force_after(self, bound: float) -> None:
        """Wait until nothing runs here; after ``bound`` seconds see to it."""
        if await self._wait_until_empty(bound):
            return
        log.warning("%d actors were not taken away in time and end here", len(self._tasks))
        for hosted in tuple(self._tasks):
            hosted.stop(StopReason.GOING_AWAY)
        if not await self._wait_until_empty(bound):
            self.on_lost()
            await self._wait_until_empty(None)

    # --- EnvoyOwner -----------------------------------------------------------------------------

    def on_init(self, init: EnvoyInit) -> None:
        self._tunnel.max_payload = init.max_response_payload_size

    def on_command(self, entry: CommandEntry) -> None:
        checkpoint = entry.checkpoint
        current = self._current.get(checkpoint.actor_id)
        match entry.command:
            case StartActor() as start:
                if current is None or current.generation < checkpoint.generation:
                    self._begin(checkpoint, start, current)
            case StopActor(reason=reason):
                if current is not None and current.generation == checkpoint.generation:
                    if reason is StopReason.LOST:
                        current.lose()
                    else:
                        current.stop(reason)

    def on_tunnel(self, message: ToEnvoyTunnel) -> None:
        self._tunnel.receive(message)

    def on_lost(self) -> None:
        for hosted in tuple(self._tasks):
            hosted.lose()

    # --- Platform -------------------------------------------------------------------------------

    def factory(self, name: str) -> ActorFactory:
        found = self.factories.get(name)
        if found is None:
            raise error("actor.not_registered", actor_name=name, registered=sorted(self.factories))
        return found

    def report(self, actor_id: str, generation: int, *events: ActorEvent) -> None:
        self.envoy.report(actor_id, generation, *events)

    def expected(self, actor_id: str, listed: Sequence[RequestId]) -> Sequence[RequestId]:
        return self._tunnel.expect(actor_id, listed)

    def resumed(self, actor: ActorTask, listed: Sequence[RequestId], expected: Sequence[RequestId]) -> None:
        self._tunnel.resume(actor, listed, expected)

    def turned_away(self, listed: Sequence[RequestId], failure: RivetError | None) -> None:
        if failure is None:
            self._tunnel.give_up(listed)
        else:
            self._tunnel.refuse(listed, close_reason(failure.group, failure.code))

    def destroy(self, actor_id: str) -> None:
        self._deletions.begin(actor_id)

    async def released(self, actor_id: str, generation: int) -> None:
        await self._tunnel.actor_ended(actor_id, generation)

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self, checkpoint: Checkpoint, start: StartActor, older: HostedActor | None) -> None:
        envoy = self.envoy
        envoy.events.supersede(checkpoint.actor_id, checkpoint.generation)
        predecessor: asyncio.Task[Outcome] | None = None
        if older is not None:
            older.lose()  # the engine gave up on it, or it would have asked it to stop
            predecessor = self._tasks.get(older)
        scope = envoy.requests.scope(checkpoint.actor_id, checkpoint.generation, envoy.lease.valid)
        hosted = HostedActor(checkpoint, start, scope, self)
        self._current[checkpoint.actor_id] = hosted
        waiting = None if predecessor is None else _quietly(predecessor)
        task = asyncio.create_task(hosted.run(waiting), name=f"actor {checkpoint.actor_id}")
        self._tasks[hosted] = task
        task.add_done_callback(lambda done: self._end(hosted, done))
        if self._sleepy:
            hosted.ask_to_sleep()

    def _end(self, hosted: HostedActor, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[hosted]
        if self._current.get(hosted.actor_id) is hosted:
            del self._current[hosted.actor_id]
        self.envoy.finish_generation(hosted.actor_id, hosted.generation)
        if not task.cancelled():
            self._unsaved += task.result().unsaved
        self._ended.set()

    def _find(self, actor_id: str, generation: int | None) -> ActorTask | None:
        hosted = self._current.get(actor_id)
        if hosted is None or generation not in (None, hosted.generation):
            return None
        return hosted.running()

    async def _wait_until_empty(self, timeout: float | None) -> bool:
        try:
            async with self.clock.timeout(timeout):
                while self._tasks:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def _grace(self) -> float:
        configs = (factory.config for factory in self.factories.values())
        return max((config.effective_sleep_grace_period() for config in configs), default=0.0)

    def _metadata(self) -> Metadata:
        names = {name: json.dumps(_describe(factory)) for name, factory in self.factories.items()}
        return Metadata(names, json.dumps({"rivetkit": {"version": VERSION}}))


async def _quietly(task: asyncio.Task[Outcome]) -> None:
    await asyncio.wait([task])


def _describe(factory: ActorFactory) -> dict[str, object]:
    """What dashboards show of an actor name, and which records should come with its start commands."""
    config = factory.config
    keys, prefixes = list[bytes](PRELOADED_KEYS), [CONN_PREFIX]  # what every start reads
    if factory.queues:
        keys.append(QUEUE_METADATA_KEY)
        prefixes.append(QUEUE_MESSAGE_PREFIX)
    # A prefix that does not fit is left out as a whole, so what is there is complete.
    wanted = [{"prefix": list(prefix), "maxBytes": _PRELOADED_BYTES, "partial": False} for prefix in prefixes]
    shown: dict[str, object] = {"preload": {"keys": [list(key) for key in keys], "prefixes": wanted}}
    if config.icon is not None:
        shown["icon"] = config.icon
    if config.display_name is not None:
        shown["name"] = config.display_name
    return shown
