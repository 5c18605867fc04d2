"""How long this process may believe that the actors it runs are still its own.

The engine gives an actor to another envoy when it has not heard from this one for the lost threshold, and
it stops no write of the old one. So the old one stops by itself: its lease runs out no later than the
engine's patience, counted from the last moment both were known to be in touch (envoy-protocol 5.7).

A paused process learns of the pause before it writes: ``valid`` reads the clock, it waits for no timer.
"""

from __future__ import annotations

from collections.abc import Callable

from rivetkit_core.clock import Clock, Timer


class Lease:
    """Runs out unless renewed; tells its owner once when it does."""

    def __init__(self, clock: Clock, *, duration: float, on_expired: Callable[[], None]) -> None:
        self._clock = clock
        self._on_expired = on_expired
        self._timer: Timer | None = None
        self._until: float | None = None
        self.duration = duration

    def valid(self) -> bool:
        """Whether the actors here are certainly nobody else's. Must be asked right before every write."""
        return self._until is not None and self._clock.monotonic() < self._until

    def renew(self) -> None:
        """Both sides are in touch now. A lease that ran out without notice expires first."""
        if self._until is not None and not self.valid():
            self._expire()
        self._until = self._clock.monotonic() + self.duration
        if self._timer is None:
            self._timer = self._clock.call_later(self.duration, self._check)

    def end(self) -> None:
        """Stop counting, for an orderly end. Idempotent."""
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._until is None:
            return
        left = self._until - self._clock.monotonic()
        if left > 0:
            self._timer = self._clock.call_later(left, self._check)
        else:
            self._expire()

    def _expire(self) -> None:
        self.end()
        self._on_expired()
