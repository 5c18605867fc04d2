"""What one generation of an actor counts.

Invariants
    Nothing here raises for a caller, waits, or keeps an actor from anything.
    Label values come from code, never from clients: what they could invent would grow without bound.
    What can be looked up when somebody asks is not counted: ``read`` gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from rivetkit_core.clock import Clock
from rivetkit_core.metrics.names import BY_KEY
from rivetkit_core.metrics.series import Counter, Histogram, Key, Series


class ActionMeter:
    """The series of one action, bound once. ``began`` and ``ended`` are all that a call costs."""

    __slots__ = ("_calls", "_clock", "_duration", "_errors", "_task", "active")

    def __init__(self, recorder: Recorder, name: str, kind: str) -> None:
        self._clock = recorder.clock
        self._calls = recorder.counter("action_call_total", name)
        self._errors = recorder.counter("action_error_total", name)
        self._duration = recorder.histogram("action_duration_seconds", name)
        self._task = recorder.histogram("user_task_duration_seconds", kind)
        self.active = 0

    def began(self) -> float:
        """A call begins; returns what ``ended`` must be given."""
        self._calls.value += 1
        self.active += 1
        return self._clock.monotonic()

    def ended(self, began: float, *, failed: bool) -> float:
        """That call is over; returns the seconds it took."""
        took = self._clock.monotonic() - began
        self.active -= 1
        self._duration.observe(took)
        self._task.observe(took)
        if failed:
            self._errors.value += 1
        return took


class Recorder:
    """The numbers of one generation.

    Attributes:
        read: Gives the values of gauges at this moment; set by whoever knows them.
        started: Whether the start succeeded.
        is_new: Whether it creates the actor; None until that is known.
    """

    __slots__ = (
        "_actions",
        "_active",
        "_series",
        "_set",
        "actor_id",
        "actor_name",
        "clock",
        "is_new",
        "read",
        "started",
    )

    def __init__(self, clock: Clock, actor_id: str, actor_name: str) -> None:
        self.clock = clock
        self.actor_id = actor_id
        self.actor_name = actor_name
        self.started = False
        self.is_new: bool | None = None
        self.read: Callable[[], Mapping[Key, float]] = dict
        self._series: dict[Key, Series] = {}
        self._set: dict[Key, float] = {}
        self._active: dict[str, int] = {}
        self._actions: dict[tuple[str, bool], ActionMeter] = {}

    def action(self, name: str, *, scheduled: bool = False) -> ActionMeter:
        """The meter of an action that exists."""
        meter = self._actions.get((name, scheduled))
        if meter is None:
            kind = "scheduled_action" if scheduled else "action"
            meter = self._actions[name, scheduled] = ActionMeter(self, name, kind)
        return meter

    def counter(self, metric: str, *labels: str) -> Counter:
        """A counter, made when it is first asked for."""
        found = self._series.get((metric, *labels))
        if not isinstance(found, Counter):
            found = self._series[metric, *labels] = Counter()
        return found

    def histogram(self, metric: str, *labels: str) -> Histogram:
        """A histogram, made when it is first asked for."""
        found = self._series.get((metric, *labels))
        if not isinstance(found, Histogram):
            found = self._series[metric, *labels] = Histogram(BY_KEY[metric].bounds)
        return found

    def count(self, metric: str, *labels: str, by: int = 1) -> None:
        """Something happened ``by`` times."""
        self.counter(metric, *labels).value += by

    def observe(self, metric: str, *labels: str, seconds: float) -> None:
        """Something took that long."""
        self.histogram(metric, *labels).observe(seconds)

    def hook(self, name: str, seconds: float) -> None:
        """A hook of the start took that long."""
        self._set[f"{name}_ms",] = seconds * 1000
        if f"{name}_duration_seconds" in BY_KEY:
            self.observe(f"{name}_duration_seconds", seconds=seconds)

    def start_succeeded(self) -> None:
        """The generation runs."""
        self.started = True
        self.count("started_total")

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """One phase of the start, for the duration of a block."""
        began, outcome = self.clock.monotonic(), "error"
        try:
            yield
            outcome = "success"
        finally:
            took = self.clock.monotonic() - began
            is_new = "unknown" if self.is_new is None else str(self.is_new).lower()
            self.observe("startup_phase_duration_seconds", name, is_new, outcome, seconds=took)
            if name == "total":
                self._set["total_startup_ms",] = took * 1000

    def stopwatch(self, kind: str) -> Callable[..., None]:
        """Work of one kind begins, which somebody else counts; call the result when it is over."""
        began = self.clock.monotonic()

        def stop(*_: object) -> None:
            self.observe("user_task_duration_seconds", kind, seconds=self.clock.monotonic() - began)

        return stop

    @contextmanager
    def task(self, kind: str) -> Generator[None]:
        """Work of one kind, for the duration of a block."""
        self._active[kind] = self._active.get(kind, 0) + 1
        began = self.clock.monotonic()
        try:
            yield
        finally:
            self._active[kind] -= 1
            self.observe("user_task_duration_seconds", kind, seconds=self.clock.monotonic() - began)

    def series(self) -> dict[Key, Series]:
        """What was counted, as it is: not a copy of the numbers."""
        return self._series.copy()

    def take_shared(self) -> dict[Key, Series]:
        """Part with what is shown of the process alone: an actor that lives long need not keep it."""
        shared = [key for key in self._series if BY_KEY[key[0]].actor is None]
        return {key: self._series.pop(key) for key in shared}

    def gauges(self) -> dict[Key, float]:
        """What holds now."""
        values = {**self._set, **self.read()}
        values["http_requests_active",] = self._active.get("http", 0)
        for kind, active in tuple(self._active.items()):
            values["user_tasks_active", kind] = values.get(("user_tasks_active", kind), 0) + active
        for (_, scheduled), meter in tuple(self._actions.items()):
            key = ("user_tasks_active", "scheduled_action" if scheduled else "action")
            values[key] = values.get(key, 0) + meter.active
        return values
