"""The signal that a generation is ending, given once, at the beginning of its grace period."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.clock import Clock
from rivetkit_core.errors import error


class AbortSignal:
    """Whether the actor has begun to end, to be asked, awaited or subscribed to."""

    def __init__(self, clock: Clock, log: ActorLog = NO_ACTOR) -> None:
        self._log = log
        self._clock = clock
        self._event = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def aborted(self) -> bool:
        return self._event.is_set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the actor begins to end, or for ``timeout`` seconds; whether it does. Safe to cancel."""
        if timeout is None or self.aborted:
            await self._event.wait()
            return True
        bound = self._clock.timeout(timeout)
        with contextlib.suppress(TimeoutError):
            async with bound:
                await self._event.wait()
        return self.aborted

    def raise_if_aborted(self) -> None:
        """Leave a long computation that has become useless.

        Raises:
            RivetError: ``actor.aborted``.
        """
        if self.aborted:
            raise error("actor.aborted")

    def add_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when the actor begins to end, at once if it has; returns what takes the callback back."""
        if self.aborted:
            callback()
        else:
            self._callbacks.append(callback)
        return lambda: self._remove(callback)

    def _remove(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(ValueError):
            self._callbacks.remove(callback)


class Abort(AbortSignal):
    """The signal, for whoever gives it."""

    def fire(self) -> None:
        """Give the signal. Idempotent; a failing callback is logged."""
        if self._event.is_set():
            return
        self._event.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - the log has it, and the others must be told
                self._log.exception("a callback of the abort signal failed")
