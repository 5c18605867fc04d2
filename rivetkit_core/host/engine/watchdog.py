"""Notices that the event loop is blocked, and says in whose code, before the engine gives our actors away.

A thread has the loop set an event, again and again. If that takes seconds, nothing else runs either: no
action, no answer to a ping. The thread then looks at what the loop's thread is doing. It changes nothing.

Invariants
    A block is reported once for each of the times in ``limits``, and never after the loop moved on.
    A process that was paused as a whole is not taken for blocked.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock

log = logging.getLogger("rivetkit.envoy")

_LIMITS = (2.0, 5.0)
_PAUSE = 0.5
_JOIN_TIMEOUT = 2.0
_OURS = frozenset({"rivetkit", "rivetkit_core"})


class Watchdog:
    """Watches the event loop in which it is started. ``start`` once, then ``stop``.

    Args:
        clock: For measuring only; the thread waits by itself.
        limits: Seconds of a block after which it is reported, ascending.
        pause: Seconds between two looks at a loop that runs.
    """

    def __init__(self, clock: Clock, *, limits: Sequence[float] = _LIMITS, pause: float = _PAUSE) -> None:
        self._clock = clock
        self._limits = tuple(limits)
        self._pause = pause
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the running loop, which runs on the calling thread."""
        arguments = (asyncio.get_running_loop(), threading.get_ident())
        self._thread = threading.Thread(
            target=self._watch, args=arguments, name="rivetkit watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; on return the thread has ended, or will within moments. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._answered.set()
            thread.join(_JOIN_TIMEOUT)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        while not self._stopping.wait(self._pause):
            self._answered.clear()
            if self._stopping.is_set():
                return
            asked = self._clock.monotonic()
            try:
                loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop was closed under us
                return
            self._wait_for_answer(asked, thread_id)

    def _wait_for_answer(self, asked: float, thread_id: int) -> None:
        waited = 0.0
        for limit in self._limits:
            if self._answered.wait(limit - waited):
                return
            # Much later than meant: this thread did not run either, so the loop is not to blame for it all.
            if self._clock.monotonic() - asked > limit + self._limits[0]:
                return
            self._report(limit, thread_id)
            waited = limit
        self._answered.wait()

    def _report(self, seconds: float, thread_id: int) -> None:
        innermost = sys._current_frames().get(thread_id)  # pyright: ignore[reportPrivateUsage]  # the documented way
        frames = list(_outwards(innermost))
        if frames and not self._answered.is_set():
            log.warning(
                "the event loop is blocked for %g s %sat %s: nothing else runs in this process, and if it "
                "goes on the engine gives its actors away. Await instead, or use asyncio.to_thread",
                seconds,
                _actor(frames),
                _place(frames),
            )


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frames: Sequence[FrameType]) -> str:
    """Where the innermost code is that neither we nor Python's authors wrote; else the innermost at all."""
    for frame in frames:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _OURS and package not in sys.stdlib_module_names:
            return _line(frame)
    return _line(frames[0])


def _line(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"


def _actor(frames: Sequence[FrameType]) -> str:
    """Whose code it is, if an actor's; with the action, where it is one."""
    owner, action = None, None
    for frame in frames:
        local = frame.f_locals
        if isinstance(task := local.get("self"), ActorTask):
            owner = task
            action = action or local.get("name")
    if owner is None:
        return ""
    what = f"action {action!r} of " if isinstance(action, str) else ""
    return f"by {what}actor {owner.identity.name} {owner.identity.specifier.key} "
