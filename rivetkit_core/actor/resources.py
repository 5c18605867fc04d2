"""What a generation holds open: entered one after another at the start, left in reverse at its end.

Each resource lives in a task of its own, from its first line to its last, because a context manager may
have to be left in the task that entered it (cancel scopes, task groups, context variables).

Invariants
    What was entered is left, also when the start fails half-way or the generation is killed.
    Killing unwinds: the resource is cancelled where it waits, so ``finally`` and ``async with`` run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import callback_timed_out

Resource = tuple[str, Callable[[], AbstractAsyncContextManager[object]]]
"""A name for logs and errors, and what makes the context manager."""

_UNWINDING_LIMIT = 5.0


class Resources:
    """The open resources of one generation. ``timeout`` bounds each entering and each leaving, in seconds."""

    def __init__(self, clock: Clock, *, timeout: float, log: ActorLog = NO_ACTOR) -> None:
        self._log = log
        self._clock = clock
        self._timeout = timeout
        self._held: list[_Held] = []

    async def open(self, resources: Sequence[Resource]) -> None:
        """Enter them in order. If one fails, ``abandon`` leaves those before it.

        Raises:
            RivetError: ``actor.callback_timed_out``.
            Exception: What a resource raised.
        """
        for name, make in resources:
            held = _Held(name, make, self._log)
            self._held.append(held)
            late = callback_timed_out(name, self._timeout)
            await within(self._clock, self._timeout, asyncio.shield(held.opened), lambda late=late: late)

    async def close(self) -> None:
        """Leave them in reverse order. A failure is logged and does not keep the others. Idempotent."""
        while self._held:
            held = self._held.pop()
            held.closing.set()
            if not await self._ended([held.task], self._timeout):
                self._log.error(
                    "%s took longer than %g s to close, and was cancelled", held.name, self._timeout
                )
                held.task.cancel()
                await self._ended([held.task], _UNWINDING_LIMIT)

    async def abandon(self) -> None:
        """Cancel what is open and wait for it briefly. Idempotent."""
        held, self._held = self._held, []
        for one in reversed(held):
            one.task.cancel()
        if held and not await self._ended([one.task for one in held], _UNWINDING_LIMIT):
            self._log.error("resources ignored their cancellation and were left behind")

    async def _ended(self, tasks: list[asyncio.Task[None]], timeout: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(timeout):
                await asyncio.wait(tasks)
        return all(task.done() for task in tasks)


class _Held:
    """One resource and its task."""

    def __init__(
        self, name: str, make: Callable[[], AbstractAsyncContextManager[object]], log: ActorLog
    ) -> None:
        self.name = name
        self._log = log
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = asyncio.Event()
        self.task = asyncio.create_task(self._live(make))

    async def _live(self, make: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        try:
            async with make():
                if not self.opened.done():
                    self.opened.set_result(None)
                await self.closing.wait()
        except asyncio.CancelledError:
            self.opened.cancel()
            raise
        except Exception as failure:  # noqa: BLE001 - whoever opens is told, or the log
            if not self.opened.done():
                self.opened.set_exception(failure)
                self.opened.exception()  # whoever opens may be gone
            else:
                self._log.exception("%s failed", self.name)
