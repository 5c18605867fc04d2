"""The clock that wakes sleeping actors at their time, also when that time passed while nothing ran here.

Alarms live in the store; in memory there is one timer, for the earliest.

Invariants
    Actors are woken in the order of their alarms, a bounded number at once.
    A running actor is left alone: it has its own clock. Going to sleep, it reports to ``expect``.
    An actor that cannot start is tried again, less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

from rivetkit_core.clock import Clock, Timer, time_ms
from rivetkit_core.errors import RivetError
from rivetkit_core.host.embedded.store_port import HostStore

log = logging.getLogger("rivetkit.host")

_AT_ONCE = 64
_PAGE = 256
_LONGEST_TIMER = 3600.0
"""Seconds after which the wall clock is looked at again, should it have jumped."""
_FIRST_RETRY_MS = 1000
_LAST_RETRY_MS = 60_000


class AlarmClock:
    """Wakes the actors of one host.

    Args:
        is_here: Whether an actor runs, starts or ends here.
        wake: Starts an actor.
        own: Runs a task of the host.
    """

    def __init__(
        self,
        *,
        store: HostStore,
        clock: Clock,
        namespace: str,
        is_here: Callable[[str], bool],
        wake: Callable[[str], Awaitable[object]],
        own: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._namespace = namespace
        self._is_here = is_here
        self._wake = wake
        self._own = own
        self._running = False
        self._ringing = False
        self._due: int | None = None
        self._timer: Timer | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._failing: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Begin with what is due already."""
        self._running = True
        self.expect(time_ms(self._clock))

    def stop(self) -> None:
        """Wake nobody any more. Idempotent."""
        self._running = False
        self._cancel_timer()

    def expect(self, at_ms: int) -> None:
        """Some sleeping actor has an alarm at this time."""
        if self._due is None or at_ms < self._due:
            self._due = at_ms
            self._arm()

    def _arm(self) -> None:
        self._cancel_timer()
        if not self._running or self._ringing or self._due is None:
            return
        delay = (self._due - self._clock.now() * 1000) / 1000
        self._timer = self._clock.call_later(min(max(delay, 0.0), _LONGEST_TIMER), self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._running or self._due is None:
            return
        if self._due > time_ms(self._clock):
            self._arm()
            return
        self._due = None
        self._ringing = True
        self._own(self._ring())

    async def _ring(self) -> None:
        now = time_ms(self._clock)
        try:
            await self._wake_due(now)
            following = await self._store.next_alarm(self._namespace, now)
        except RivetError as failure:
            log.error("alarms could not be read, trying again: %s", failure)
            following = now + _FIRST_RETRY_MS
        finally:
            self._ringing = False
        if following is not None:
            self.expect(following)
        self._arm()

    async def _wake_due(self, now: int) -> None:
        after: tuple[int, str] | None = None
        while self._running:
            due = await self._store.due_alarms(self._namespace, now, after=after, limit=_PAGE)
            for _, actor_id in due:
                if self._running and self._is_due(actor_id, now):
                    await self._slots.acquire()
                    self._own(self._wake_one(actor_id))
            if len(due) < _PAGE:
                return
            after = due[-1]

    def _is_due(self, actor_id: str, now: int) -> bool:
        _, again_at = self._failing.get(actor_id, (0, now))
        if again_at > now:
            self.expect(again_at)
            return False
        return not self._is_here(actor_id)

    async def _wake_one(self, actor_id: str) -> None:
        try:
            await self._wake(actor_id)
        except RivetError as failure:
            if self._running and failure.code != "not_found":
                self._try_again(actor_id, failure)
        else:
            self._failing.pop(actor_id, None)
        finally:
            self._slots.release()

    def _try_again(self, actor_id: str, failure: RivetError) -> None:
        failures, _ = self._failing.get(actor_id, (0, 0))
        delay = min(_FIRST_RETRY_MS * 2 ** min(failures, 10), _LAST_RETRY_MS)
        at = time_ms(self._clock) + delay
        self._failing[actor_id] = (failures + 1, at)
        log.error(
            "the alarm of actor %s could not wake it, again in %d ms: %s",
            actor_id,
            delay,
            failure,
            extra={"actor_id": actor_id, "delay_ms": delay},
        )
        self.expect(at)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
