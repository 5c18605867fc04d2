"""One generation of an actor on this envoy, from its start command to its last event (envoy-protocol 5).

    start --ok--> running --stop command--> stopping --> Stopped
      \\--error--> failed: answers with the error for a moment, then asks to sleep, or to be destroyed if it
                  never was initialized, so that a failed creation leaves nothing behind
    lost, at any time: ends without hooks; storage was closed to it before

Invariants
    Exactly one task runs a generation, and it reports exactly one Stopped, as its last event.
    Stopped(OK) is reported only after a stop command: without one the engine would destroy the actor.
    Storage is closed to the generation before Stopped is reported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.hibernation import SocketId
from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.actor.lifecycle import Lifecycle, StopKind
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ActorSpecifier, RivetError, error, masked
from rivetkit_core.host.engine.layout import open_storage
from rivetkit_core.host.engine.sql import RemoteDatabase
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.port import ActorAccess, ActorStorage
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.wire import actor_key
from rivetkit_core.wire.envoy.messages import (
    ActorEvent,
    Checkpoint,
    RequestId,
    Running,
    SetAlarm,
    SleepIntent,
    StartActor,
    StopCode,
    StopIntent,
    Stopped,
    StopReason,
)
from rivetkit_core.wire.persisted import ACTOR_KEY, decode_actor

log = logging.getLogger("rivetkit.envoy")

_FAILED_AT_MOST = 5.0
_FAILED_AFTER_ANSWER = 0.25
_MESSAGE_LIMIT = 2048

_KINDS = {
    StopReason.SLEEP_INTENT: StopKind.SLEEP,
    StopReason.STOP_INTENT: StopKind.DESTROY,
    StopReason.DESTROY: StopKind.DESTROY,
    StopReason.GOING_AWAY: StopKind.SLEEP,
}


_LOST = Stopped(StopCode.ERROR, "the engine gave this generation up, or this envoy was out of touch with it")


class Platform(Protocol):
    """What a generation needs of its envoy."""

    @property
    def clock(self) -> Clock: ...

    @property
    def entropy(self) -> Entropy: ...

    @property
    def access(self) -> ActorAccess: ...

    @property
    def expose_errors(self) -> bool: ...

    @property
    def metrics(self) -> ProcessMetrics: ...

    @property
    def inspector(self) -> InspectorOptions: ...

    def factory(self, name: str) -> ActorFactory:
        """The factory of an actor name.

        Raises:
            RivetError: ``actor.not_registered``.
        """
        ...

    def report(self, actor_id: str, generation: int, *events: ActorEvent) -> None:
        """Tell the engine."""
        ...

    def expected(self, actor_id: str, listed: Sequence[RequestId]) -> Sequence[RequestId]:
        """Hold what clients say whose websockets the engine kept; which ones those may be."""
        ...

    def resumed(self, actor: ActorTask, listed: Sequence[RequestId], expected: Sequence[RequestId]) -> None:
        """Give a started actor the websockets back that the engine kept for it."""
        ...

    def turned_away(self, listed: Sequence[RequestId], failure: RivetError | None) -> None:
        """Part with them instead, as far as this envoy is concerned: for good, if the start failed."""
        ...

    def destroy(self, actor_id: str) -> None:
        """Have the engine destroy an actor that it is stopping for another reason."""
        ...

    async def released(self, actor_id: str, generation: int) -> None:
        """End what clients still have open to a generation, before its end is reported."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a generation ended. ``unsaved``: its last changes could not be stored."""

    event: Stopped
    unsaved: bool = False


class HostedActor:
    """One generation. ``run`` it once, in a task of its own; ``stop`` and ``lose`` end it."""

    def __init__(
        self, checkpoint: Checkpoint, start: StartActor, scope: RequestScope, platform: Platform
    ) -> None:
        self.actor_id = checkpoint.actor_id
        self.generation = checkpoint.generation
        self._start_command = start
        self._scope = scope
        self._platform = platform
        scope.on_fenced = self.lose
        self._storage: ActorStorage | None = None
        self._stop: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()
        self._wanted = asyncio.Event()
        self._starting: asyncio.Task[ActorTask] | None = None
        self._actor: ActorTask | None = None
        self._failure: RivetError | None = None
        self._sleepy = False
        self._running = False
        self._alarm: int | None = None
        self._crash: str | None = None
        self._intent: SleepIntent | StopIntent | None = None
        self._kept: Sequence[RequestId] = ()

    def running(self) -> ActorTask | None:
        """The actor, if it takes requests.

        Raises:
            RivetError: It could not start; this is the answer for whoever waited for it.
        """
        if self._failure is not None:
            self._wanted.set()
            raise self._failure
        actor = self._actor
        return actor if actor is not None and actor.lifecycle is not Lifecycle.TERMINATED else None

    def stop(self, reason: StopReason) -> None:
        """End this generation as the engine says; takes effect after its start. Only the first one counts."""
        self._wanted.set()
        if not self._stop.done():
            self._stop.set_result(reason)

    def ask_to_sleep(self) -> None:
        """Have the engine put the actor to sleep as soon as it runs. Idempotent."""
        self._sleepy = True
        if self._actor is not None:
            self._intend(SleepIntent())

    def request_sleep(self) -> None:
        self._intend(SleepIntent())

    def request_destroy(self) -> None:
        self._intend(StopIntent())
        if self._stop.done() and _KINDS.get(self._stop.result()) is StopKind.SLEEP:
            self._platform.destroy(self.actor_id)  # an intent would come too late

    def report_crash(self, message: str) -> None:
        """Told to the engine with the end that it then asks for: one with an error destroys nothing."""
        self._crash = message
        self._intend(StopIntent())

    async def set_alarm(self, at_ms: int | None) -> None:
        """Hand it to the connection, which repeats it until the engine has counted it."""
        self._alarm = at_ms
        if self._running:
            self._report(SetAlarm(at_ms))

    def lose(self) -> None:
        """The engine may run the actor elsewhere: write nothing from now on, and end at once."""
        self._scope.close()
        self._wanted.set()
        if self._starting is not None:
            self._starting.cancel()
        if not self._stop.done():  # else it is stopping; with its storage closed it can only fail to save
            self._stop.set_result(StopReason.LOST)

    async def run(self, predecessor: Awaitable[object] | None) -> Outcome:
        """Live. ``predecessor`` is an older generation whose end is waited for first. Never raises."""
        if predecessor is not None:
            await predecessor
        self._kept = self._platform.expected(self.actor_id, self._start_command.hibernating_requests)
        try:
            outcome = await self._live()
        except asyncio.CancelledError:
            self._scope.close()
            if self._actor is not None:
                await self._actor.kill()
            raise
        except Exception as failure:
            log.exception("actor %s, generation %d", self.actor_id, self.generation, extra=self._about)
            outcome = Outcome(_stopped(failure), unsaved=True)
        await self._platform.released(self.actor_id, self.generation)
        self._scope.close()
        self._report(outcome.event)
        return outcome

    # --- inside ---------------------------------------------------------------------------------

    async def _live(self) -> Outcome:
        listed = self._start_command.hibernating_requests
        kept = self._kept
        try:
            self._actor = await self._start_unless_lost()
        except RivetError as failure:
            self._platform.turned_away(kept, masked(failure))
            return await self._fail(failure)
        if self._actor is None:
            self._platform.turned_away(kept, None)
            return Outcome(_LOST)
        self._platform.resumed(self._actor, listed, kept)
        # Waking does not clear an alarm, so every start says anew when the next one is due.
        self._running = True
        self._report(Running(), SetAlarm(self._alarm))
        if self._intent is not None:  # its run was quick
            self._report(self._intent)
        if self._sleepy:
            self._intend(SleepIntent())
        return await self._finish(self._actor, await self._stop)

    async def _start_unless_lost(self) -> ActorTask | None:
        self._starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait([self._starting])
        except asyncio.CancelledError:
            self._starting.cancel()
            await asyncio.wait([self._starting])
            raise
        starting, self._starting = self._starting, None
        return None if starting.cancelled() else starting.result()

    async def _start(self) -> ActorTask:
        platform, command = self._platform, self._start_command
        key = actor_key.deserialize(command.key)
        database = RemoteDatabase(self._scope, platform.clock)
        storage = self._storage = await open_storage(self._scope, database, command.preloaded_kv)
        try:
            actor = ActorTask(
                platform.factory(command.name),
                ActorIdentity(self.actor_id, command.name, key, self.generation),
                ActorPorts(
                    storage=storage,
                    access=platform.access,
                    clock=platform.clock,
                    entropy=platform.entropy,
                    host=self,
                    database=database,
                    expose_errors=platform.expose_errors,
                    metrics=platform.metrics,
                    inspector=platform.inspector,
                ),
            )
        except RivetError:
            raise
        except Exception as failure:
            log.exception("actor %s could not be made", self.actor_id, extra=self._about)
            raise error("actor.start_failed") from failure
        live = [SocketId(id.gateway_id, id.request_id) for id in self._kept]
        await actor.start(command.input, live=live)
        return actor

    async def _finish(self, actor: ActorTask, reason: StopReason) -> Outcome:
        if reason is StopReason.LOST:
            await actor.kill()
            return Outcome(_LOST)
        crashed = reason is StopReason.STOP_INTENT and not actor.context.destroy_requested
        crash = self._crash if crashed else None
        kind = _KINDS[reason] if crash is None else StopKind.SLEEP
        if kind is StopKind.SLEEP and actor.context.destroy_requested:
            self._platform.destroy(self.actor_id)  # its intent came after another one, which won
            kind = StopKind.DESTROY
        try:
            await actor.stop(kind)
        except Exception as failure:
            log.exception(
                "actor %s stopped without saving its last changes", self.actor_id, extra=self._about
            )
            await actor.kill()
            return Outcome(_stopped(failure), unsaved=True)
        return Outcome(Stopped(StopCode.OK) if crash is None else _stopped(RuntimeError(crash)))

    async def _fail(self, failure: RivetError) -> Outcome:
        """Let those who wait for the actor have its start's error, instead of a start after another."""
        name = self._start_command.name
        log.error("actor %s (%s) could not start: %s", self.actor_id, name, failure, extra=self._about)
        seen = masked(failure, expose=self._platform.expose_errors)
        key = self._start_command.key or actor_key.serialize(())
        seen.actor = ActorSpecifier(self.actor_id, self.generation, key)
        self._failure = seen
        stillborn = await self._is_stillborn()
        self._running = True
        self._report(Running())
        clock = self._platform.clock
        try:
            async with clock.timeout(_FAILED_AT_MOST):
                await self._wanted.wait()
            await clock.sleep(_FAILED_AFTER_ANSWER)
        except TimeoutError:
            pass
        self._intend(StopIntent() if stillborn else SleepIntent())
        reason = await self._stop
        if _KINDS.get(reason) is StopKind.DESTROY:
            return Outcome(Stopped(StopCode.OK))
        return Outcome(_stopped(failure))

    async def _is_stillborn(self) -> bool:
        if self._storage is None:  # what cannot be read is not ours to destroy
            return False
        try:
            stored = (await self._storage.load([ACTOR_KEY])).get(ACTOR_KEY)
            return stored is None or not decode_actor(stored).has_initialized
        except RivetError:
            return False

    def _intend(self, intent: SleepIntent | StopIntent) -> None:
        """Ask the engine for a stop command; to be destroyed overrules to sleep."""
        if self._intent is None or (isinstance(self._intent, SleepIntent) and isinstance(intent, StopIntent)):
            self._intent = intent
            if self._actor is not None and isinstance(intent, SleepIntent):
                self._actor.sleep.commit()
            if self._running:
                self._report(intent)

    @property
    def _about(self) -> dict[str, object]:
        """What log records say of this generation."""
        name = self._start_command.name
        return {"actor_id": self.actor_id, "actor_name": name, "generation": self.generation}

    def _report(self, *events: ActorEvent) -> None:
        self._platform.report(self.actor_id, self.generation, *events)


def _stopped(failure: Exception) -> Stopped:
    text = str(failure)
    if len(text) > _MESSAGE_LIMIT:
        text = text[:_MESSAGE_LIMIT] + "... (truncated)"
    return Stopped(StopCode.ERROR, text)
