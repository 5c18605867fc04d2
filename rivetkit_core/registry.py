"""Factories by name, and the actors that run in this process (actor-runtime 14.1).

Invariants
    At most one generation of an actor runs here at a time.
    Whoever asks for an actor that is starting waits for that start; nobody starts it twice.
    An actor that is stopping is waited for, then started anew by the caller that needs it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.task import ActorTask, Lifecycle, StopKind, starting
from rivetkit_core.clock import Clock
from rivetkit_core.errors import error
from rivetkit_core.repeated import Repeated

log = logging.getLogger("rivetkit.registry")

_WAITING_CAPACITY = 1024
_READY_TIMEOUT = 30.0


class ActorRegistry:
    """The running actors. Hosts decide where an actor lives and call ``reach``."""

    def __init__(self, factories: Iterable[ActorFactory], clock: Clock) -> None:
        self.factories: Mapping[str, ActorFactory] = {factory.name: factory for factory in factories}
        self._clock = clock
        self._running: dict[str, ActorTask] = {}
        self._starting: dict[str, asyncio.Task[ActorTask]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, int] = {}
        self._self_calls = Repeated(clock)
        self._shut_down = False
        self._unsaved = 0

    def factory(self, name: str) -> ActorFactory:
        """The factory of an actor name.

        Raises:
            RivetError: ``actor.not_registered``.
        """
        found = self.factories.get(name)
        if found is None:
            raise error("actor.not_registered", actor_name=name, registered=sorted(self.factories))
        return found

    @property
    def running_count(self) -> int:
        return len(self._running)

    def running(self, actor_id: str, *, lasting: bool = False) -> ActorTask | None:
        """The actor if it runs and takes work, without waiting.

        ``lasting``: not one that is going to sleep, which still answers calls but takes no connection.
        """
        actor = self._running.get(actor_id)
        if actor is None or actor.lifecycle is Lifecycle.STARTED:
            return actor
        return actor if actor.takes_late_work and not lasting else None

    def is_here(self, actor_id: str) -> bool:
        """Whether the actor runs, starts or ends."""
        return actor_id in self._running or actor_id in self._starting

    async def reach(
        self, actor_id: str, launch: Callable[[], Awaitable[ActorTask]], *, lasting: bool = False
    ) -> ActorTask:
        """The running actor, as ``running``; ``launch`` makes and starts it when it does not run.

        Cancelling stops the waiting, not the start.

        Raises:
            RivetError: The start failed, ``guard.actor_ready_timeout`` after 30 s, ``actor.overloaded`` when
                too many callers wait already, ``actor.not_ready`` when an actor calls itself while starting.
        """
        actor = self.running(actor_id, lasting=lasting)
        if actor is not None:
            return actor
        if starting.get() == actor_id:
            suppressed = self._self_calls.admit(actor_id)
            if suppressed is not None:
                about = {"actor_id": actor_id, "suppressed": suppressed}
                log.warning("actor %s calls itself from a startup hook", actor_id, extra=about)
            raise error("actor.not_ready")
        self._enter_waiting(actor_id)
        bound = self._clock.timeout(_READY_TIMEOUT)
        try:
            async with bound:
                return await self._start_or_join(actor_id, launch)
        except TimeoutError:
            if not bound.expired():
                raise
            raise error("guard.actor_ready_timeout", timeout=_READY_TIMEOUT) from None
        finally:
            self._leave_waiting(actor_id)

    async def stop(self, actor_id: str, kind: StopKind, *, only: ActorTask | None = None) -> bool:
        """Stop a running actor; returns when it has ended. Does nothing for one that does not run.

        ``only``: this generation, no later one. Returns whether there was something to stop.

        Failures of the final save are logged. Cancelling stops the waiting, not the stopping.
        """
        joined = self._starting.get(actor_id)
        if joined is not None:
            await asyncio.wait([joined])
        stopping = self._stopping.get(actor_id)
        if stopping is None:
            actor = self._running.get(actor_id)
            if actor is None or only not in (None, actor):
                return False
            stopping = self._begin_end(actor, actor.stop(kind, sockets_stay=not self._shut_down))
        await asyncio.shield(stopping)
        return True

    async def kill(self, actor_id: str) -> bool:
        """End a running actor without hooks and without saving; whether there was one. For tests."""
        actor = self._running.get(actor_id)
        if actor is None:
            return False
        stopping = self._stopping.get(actor_id)
        if stopping is None:
            stopping = self._begin_end(actor, actor.kill())
        else:
            await actor.kill()
        await asyncio.shield(stopping)
        return True

    async def shut_down(self) -> int:
        """Refuse new actors and stop every running one, all at once; returns how many could not save."""
        self._shut_down = True
        if self._starting:
            await asyncio.wait(list(self._starting.values()))
        await asyncio.gather(*(self.stop(actor_id, StopKind.SLEEP) for actor_id in tuple(self._running)))
        return self._unsaved

    async def _start_or_join(self, actor_id: str, launch: Callable[[], Awaitable[ActorTask]]) -> ActorTask:
        while True:
            while (stopping := self._stopping.get(actor_id)) is not None:
                await asyncio.shield(stopping)
            actor = self._running.get(actor_id) or await self._start_once(actor_id, launch)
            if actor_id not in self._stopping:
                return actor

    async def _start_once(self, actor_id: str, launch: Callable[[], Awaitable[ActorTask]]) -> ActorTask:
        start = self._starting.get(actor_id)
        if start is None:
            if self._shut_down:
                raise error("guard.service_unavailable")
            # A context of its own: the actor outlives the call that happened to wake it.
            start = asyncio.create_task(self._start(actor_id, launch), context=contextvars.Context())
            self._starting[actor_id] = start
        return await asyncio.shield(start)

    async def _start(self, actor_id: str, launch: Callable[[], Awaitable[ActorTask]]) -> ActorTask:
        try:
            actor = await launch()
            self._running[actor_id] = actor
            return actor
        finally:
            del self._starting[actor_id]

    def _begin_end(self, actor: ActorTask, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        stopping = asyncio.create_task(self._end(actor, work))
        self._stopping[actor.identity.actor_id] = stopping
        return stopping

    async def _end(self, actor: ActorTask, work: Coroutine[object, object, None]) -> None:
        actor_id = actor.identity.actor_id
        try:
            await work
        except Exception:
            self._unsaved += 1
            log.exception(
                "actor %s stopped without saving its last changes", actor_id, extra=actor.context.log.fields
            )
        finally:
            if self._running.get(actor_id) is actor:
                del self._running[actor_id]
            del self._stopping[actor_id]

    def _enter_waiting(self, actor_id: str) -> None:
        count = self._waiting.get(actor_id, 0)
        if count >= _WAITING_CAPACITY:
            raise error(
                "actor.overloaded", channel="start_inbox", capacity=_WAITING_CAPACITY, operation="reach"
            )
        self._waiting[actor_id] = count + 1

    def _leave_waiting(self, actor_id: str) -> None:
        count = self._waiting[actor_id] - 1
        if count:
            self._waiting[actor_id] = count
        else:
            del self._waiting[actor_id]
