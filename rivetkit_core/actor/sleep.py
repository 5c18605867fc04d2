"""When an actor has nothing to do, and how long it has had nothing to do (actor-runtime 5.1 to 5.3).

Invariants
    Whatever may have made the actor idle, or has shown that it is used, calls ``touch``.
    There is at most one timer, set again only when it fires early: activity moves a deadline, no timer.
    Sleep is asked for at most once, unless the host finds the actor busy and ``withdraw`` is called.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, Timer
from rivetkit_core.config import ActorConfig


class SleepBlocker(enum.Enum):
    """Why an actor stays awake, in the order in which the reasons are looked for."""

    NOT_READY = "not_ready"
    PREVENT_SLEEP = "prevent_sleep"
    NO_SLEEP = "no_sleep"
    ACTIVE_HTTP_REQUESTS = "active_http_requests"
    ACTIVE_KEEP_AWAKE = "active_keep_awake"
    ACTIVE_INTERNAL_KEEP_AWAKE = "active_internal_keep_awake"
    ACTIVE_RUN_HANDLER = "active_run_handler"
    ACTIVE_DISCONNECT_CALLBACKS = "active_disconnect_callbacks"
    ACTIVE_CONNECTIONS = "active_connections"
    ACTIVE_WEBSOCKET_CALLBACKS = "active_websocket_callbacks"


_NO_TIME = 1e-6  # what floats leave of a wait that is over; a timer for it would fire for ever
_KEEPING = frozenset({WorkKind.KEEP_AWAKE, WorkKind.STATE_CHANGE})
_NAMED = frozenset({WorkKind.HTTP, WorkKind.DISCONNECT, WorkKind.WEBSOCKET})


class Sleep:
    """Watches one generation and asks its host for sleep.

    Args:
        ready: Whether the generation has started and is not ending.
        connections: How many connections keep the actor awake.
        running: Whether its ``run`` is.
        request: Asks the host; called once at most.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        config: ActorConfig,
        work: WorkRegistry,
        ready: Callable[[], bool],
        connections: Callable[[], int],
        running: Callable[[], bool],
        request: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._timeout = config.sleep_timeout
        self._no_sleep = config.no_sleep
        self._work = work
        self._ready = ready
        self._connections = connections
        self._running = running
        self._request = request
        self._timer: Timer | None = None
        self._touched_at = 0.0
        self._watching = False
        self._prevented = False
        self._explicit = False
        self.requested = False

    @property
    def prevented(self) -> bool:
        """Legacy: while set, the actor does not go to sleep, and its end waits for the deadline."""
        return self._prevented

    @prevented.setter
    def prevented(self, value: bool) -> None:
        self._prevented = value
        self.touch()
        self._work.nudge()

    def begin(self) -> None:
        """Watch from now on."""
        self._watching = not self._no_sleep
        self.touch()

    def end(self) -> None:
        """Watch no more: the generation ends. Idempotent."""
        self._watching = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def touch(self) -> None:
        """The actor was used, or one of the reasons to stay awake is gone: count from now."""
        if not self._watching:
            return
        self._touched_at = self._clock.monotonic()
        if self._timer is None:
            self._timer = self._clock.call_later(self._timeout, self._look)

    def blocker(self) -> SleepBlocker | None:
        """Why the actor stays awake; None if it may sleep."""
        if not self._ready():
            return SleepBlocker.NOT_READY
        if self._prevented:
            return SleepBlocker.PREVENT_SLEEP
        if self._no_sleep:
            return SleepBlocker.NO_SLEEP
        counts = self._work.counts() if self._work.keeps_awake else {}
        if counts.get(WorkKind.HTTP):
            return SleepBlocker.ACTIVE_HTTP_REQUESTS
        if not _KEEPING.isdisjoint(counts):
            return SleepBlocker.ACTIVE_KEEP_AWAKE
        if any(kind.blocks_sleep and kind not in _NAMED for kind in counts):
            return SleepBlocker.ACTIVE_INTERNAL_KEEP_AWAKE
        if self._running() and not self._work.queue_waits:
            return SleepBlocker.ACTIVE_RUN_HANDLER
        if counts.get(WorkKind.DISCONNECT):
            return SleepBlocker.ACTIVE_DISCONNECT_CALLBACKS
        if self._connections():
            return SleepBlocker.ACTIVE_CONNECTIONS
        return SleepBlocker.ACTIVE_WEBSOCKET_CALLBACKS if counts.get(WorkKind.WEBSOCKET) else None

    @property
    def committed(self) -> bool:
        """Whether the actor will go to sleep, whatever comes now."""
        return self.requested and self._explicit

    def commit(self) -> None:
        """For a host that keeps to what it was asked for: nothing takes the request back."""
        self.requested = self._explicit = True

    def request(self) -> None:
        """Ask for sleep because the actor's own code wants it, busy or not. Idempotent."""
        self._explicit = True
        self._ask()

    def still_wanted(self) -> bool:
        """For the host, right before it stops the actor: False if work has come and sleep is off again."""
        blocker = self.blocker()
        if self._explicit or blocker is None:
            return True
        self._work.log.warning(
            "the actor stays awake: work came before it could sleep",
            extra={"reason": blocker.value},
        )
        self.requested = False
        self.touch()
        return False

    def _ask(self) -> None:
        if not self.requested:
            self.requested = True
            self._request()

    def _look(self) -> None:
        self._timer = None
        if not self._watching or self.requested:
            return
        blocker = self.blocker()
        if blocker is not None:  # whatever it is says so when it is gone
            self._work.log.debug("the idle timer elapsed", extra={"reason": blocker.value})
            return
        left = self._touched_at + self._timeout - self._clock.monotonic()
        if left > _NO_TIME:
            self._timer = self._clock.call_later(left, self._look)
        else:
            self._work.log.debug("the idle timer elapsed", extra={"reason": "idle"})
            self._ask()
