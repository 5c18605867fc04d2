"""Warnings that could come by the thousand: a few are shown, the others counted (actor-runtime 13.3)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rivetkit_core.clock import Clock

WINDOW = 30.0
EACH = 3
ALL = 30
_KNOWN = 1024


@dataclass(slots=True)
class _Window:
    began: float
    shown: int = 0
    suppressed: int = 0


class Repeated:
    """Decides which warnings are shown: in 30 seconds 3 of each actor, and 30 of all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = _Window(clock.monotonic())
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def admit(self, actor_id: str) -> int | None:
        """None to stay silent; otherwise how many of this actor were not shown since the last one was."""
        own, everybody = self._window(actor_id), self._current(self._all)
        if own.shown >= EACH or everybody.shown >= ALL:
            own.suppressed += 1
            return None
        own.shown += 1
        everybody.shown += 1
        suppressed, own.suppressed = own.suppressed, 0
        return suppressed

    def _window(self, actor_id: str) -> _Window:
        window = self._windows.setdefault(actor_id, _Window(self._clock.monotonic()))
        self._windows.move_to_end(actor_id)
        if len(self._windows) > _KNOWN:
            self._windows.popitem(last=False)
        return self._current(window)

    def _current(self, window: _Window) -> _Window:
        now = self._clock.monotonic()
        if now - window.began >= WINDOW:
            window.began, window.shown = now, 0
        return window
