"""One generation in the embedded host, and what it may ask: the ``ActorHost`` of this process.

Invariants
    A request that a generation made never ends a later one.
    The alarm in the store is what this generation set, or what an earlier one set and this one has not yet
    had the time to set again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.errors import StorageError
from rivetkit_core.host.embedded.alarms import AlarmClock
from rivetkit_core.host.embedded.store_port import ActorRow, HostStore
from rivetkit_core.registry import ActorRegistry

log = logging.getLogger("rivetkit.host")


class Resident:
    """Asks on behalf of one generation. Give it its actor with ``move_in`` before that starts."""

    def __init__(
        self,
        row: ActorRow,
        *,
        registry: ActorRegistry,
        store: HostStore,
        clock: Clock,
        alarms: AlarmClock,
        own: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        destroy: Callable[[], None],
        slept: Callable[[], None],
    ) -> None:
        self._actor_id = row.actor_id
        self._registry = registry
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._own = own
        self._destroy = destroy
        self._slept = slept
        self._actor: ActorTask | None = None
        self._alarm: int | None = None
        self._stored_alarm = row.alarm_ts
        self._setting = asyncio.Lock()

    def move_in(self, actor: ActorTask) -> None:
        """The actor whose requests come through here."""
        self._actor = actor

    def request_sleep(self) -> None:
        self._own(self._sleep(asked=True))

    def request_destroy(self) -> None:
        self._destroy()

    def report_crash(self, message: str) -> None:
        log.error("actor %s crashed: %s", self._actor_id, message, extra={"actor_id": self._actor_id})
        self._own(self._sleep(asked=False))

    async def set_alarm(self, at_ms: int | None) -> None:
        async with self._setting:  # the last one to be asked for is the last one to be stored
            self._alarm = at_ms
            if at_ms != self._stored_alarm:
                await self._store.set_alarm(self._actor_id, at_ms)
                self._stored_alarm = at_ms

    async def forget_old_alarm(self) -> None:
        """At the end of the start: an alarm that was not set again has rung or is not wanted any more.

        Raises:
            StorageError: It is still there, and will wake the actor once too often.
        """
        await self.set_alarm(self._alarm)

    async def sleep(self) -> None:
        """Put the actor to sleep, whether or not it is idle."""
        await self._sleep(asked=False)

    async def crash(self) -> None:
        """End the generation as the loss of its process would: no hooks, nothing is saved."""
        if await self._registry.kill(self._actor_id):
            await self._note_end()

    async def _sleep(self, *, asked: bool) -> None:
        actor = self._actor
        if actor is None or (asked and not actor.sleep.still_wanted()):
            return
        if actor.context.destroy_requested:  # which overrules sleep, and is under way
            return
        if await self._registry.stop(self._actor_id, StopKind.SLEEP, only=actor):
            await self._note_end()

    async def _note_end(self) -> None:
        self._slept()
        try:
            await self._store.end_generation(self._actor_id, time_ms(self._clock))
        except StorageError as failure:
            log.error(
                "actor %s sleeps, which could not be noted: %s",
                self._actor_id,
                failure,
                extra={"actor_id": self._actor_id},
            )
        if self._stored_alarm is not None:
            self._alarms.expect(self._stored_alarm)
