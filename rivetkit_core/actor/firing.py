"""Fires what is due: the local timer, the claim, the dispatch (actor-runtime 8.3).

Invariants
    What is dispatched was claimed durably before, so a crash runs it once less, never once more (unless its
    author asked for retries).
    What was claimed is dispatched, whatever else fails. Like every action it ends with the grace period.
    There is one timer and one drain; an older timer that fires does nothing.
    Nothing is claimed before ``begin`` and after ``suspend``.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, Timer, time_ms
from rivetkit_core.errors import RivetError

CLAIM_SIZE = 128
"""One-shots claimed in one write."""

_LONGEST_WAIT = 3600.0  # the wall clock may be set, and stands still for timers while a machine sleeps
_RETRY_WAIT = 1.0

FireKind = Literal["at", "cron", "every"]


@dataclass(frozen=True, slots=True)
class ScheduledFire:
    """Why an action runs without a caller. Times are milliseconds since the Unix epoch.

    Attributes:
        kind: A one-shot, or what kind of recurring schedule.
        id: The event's id.
        name: The recurring schedule's name; None for a one-shot.
        scheduled_at: When it was due; of several missed ticks, the first.
        fired_at: When it was claimed.
        attempt: 1, and more when a one-shot with retries is tried again.
    """

    kind: FireKind
    id: str
    name: str | None
    scheduled_at: int
    fired_at: int
    attempt: int = 1


current_fire: contextvars.ContextVar[ScheduledFire | None] = contextvars.ContextVar(
    "rivetkit_scheduled_fire", default=None
)
"""What the running code was fired by; tasks it starts inherit it."""


async def _nothing(failure: RivetError | None) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Claim:
    """One run that is now ours. ``finish`` is told how it went."""

    fire: ScheduledFire
    action: str
    args: bytes
    finish: Callable[[RivetError | None], Awaitable[None]] = field(default=_nothing)


class Source(Protocol):
    """Something that becomes due."""

    def next_at(self) -> int | None:
        """The first due time, in milliseconds."""
        ...

    async def prepare(self, now: int) -> None:
        """Read what ``claim`` needs for everything due at ``now``."""
        ...

    def claim(self, batch: Batch, now: int) -> Sequence[Claim]:
        """Take what is due into ``batch``, earliest first, as much as fits one write."""
        ...


class Firing:
    """Runs the actions of its sources on time. ``changed`` is awaited after every drain."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        clock: Clock,
        work: WorkRegistry,
        commit: Callable[[Callable[[Batch], None]], Awaitable[None]],
        run: Callable[[str, bytes], Awaitable[object]],
        changed: Callable[[], Awaitable[None]],
        log: ActorLog,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._work = work
        self._commit = commit
        self._run = run
        self._changed = changed
        self._log = log
        self._enabled = False
        self._suspended = False
        self._draining = False
        self._epoch = 0
        self._timer: Timer | None = None

    def next_at(self) -> int | None:
        """The first due time of all sources."""
        times = [at for source in self._sources if (at := source.next_at()) is not None]
        return min(times, default=None)

    async def begin(self) -> None:
        """Start firing; on return everything overdue was claimed and is running. Not after ``suspend``."""
        if self._suspended:
            return
        self._enabled = self._draining = True
        await self._drain()

    def suspend(self) -> None:
        """Claim nothing any more. What was claimed runs on."""
        self._suspended = True
        self._enabled = False
        self._disarm()

    def rearm(self) -> None:
        """Set the timer to the next due time."""
        self._disarm()
        if not self._enabled or self._draining:
            return
        at = self.next_at()
        if at is not None:
            self._arm(min(max(0.0, at / 1000 - self._clock.now()), _LONGEST_WAIT))

    def _arm(self, delay: float) -> None:
        self._epoch += 1
        ring = partial(self._ring, self._epoch)
        # An empty context: what fires is not part of the call that happened to set the timer.
        self._timer = contextvars.Context().run(self._clock.call_later, delay, ring)

    def _disarm(self) -> None:
        self._epoch += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, epoch: int) -> None:
        if epoch != self._epoch or not self._enabled:
            return
        at = self.next_at()
        if at is None or at > time_ms(self._clock):
            self.rearm()
            return
        self._draining = True
        self._work.spawn(WorkKind.INTERNAL, self._drain())

    async def _drain(self) -> None:
        failed = False
        try:
            while self._enabled and (claims := await self._claim()):
                for claim in claims:
                    contextvars.Context().run(self._dispatch, claim)
        except Exception:  # noqa: BLE001 - whatever it is, what is due stays due
            failed = True
            self._log.exception("what is due could not be claimed, trying again")
        finally:
            self._draining = False
        if failed and self._enabled:
            self._arm(_RETRY_WAIT)
        else:
            self.rearm()
        await self._changed()

    async def _claim(self) -> list[Claim]:
        now = time_ms(self._clock)
        at = self.next_at()
        if at is None or at > now:
            return []
        for source in self._sources:
            await source.prepare(now)
        claims: list[Claim] = []

        def take(batch: Batch) -> None:
            for source in self._sources:
                claims.extend(source.claim(batch, now))

        await self._commit(take)
        return sorted(claims, key=lambda claim: (claim.fire.scheduled_at, claim.fire.id))

    def _dispatch(self, claim: Claim) -> None:
        self._work.spawn(WorkKind.SCHEDULED, self._perform(claim))

    async def _perform(self, claim: Claim) -> None:
        current_fire.set(claim.fire)
        failure: RivetError | None = None
        try:
            await self._run(claim.action, claim.args)
        except RivetError as raised:
            failure = raised
            self._log.error("scheduled action %s failed: %s", claim.action, raised)
        try:
            await claim.finish(failure)
        except RivetError as lost:
            self._log.error("how scheduled action %s ended could not be noted: %s", claim.action, lost)
