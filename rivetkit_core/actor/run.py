"""The background loop of an actor: started with it, restarted on request, ended with it (actor-runtime 3.2).

Invariants
    At most one ``run`` of a generation is under way.
    Its failure never fails the actor's start, and is reported once.
    It is cancelled only to be restarted, or when the time for an orderly end is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError, error

_RESTART_LIMIT = 5.0


class RunHandler:
    """Owns the task of ``run``.

    Args:
        failed: Told about an exception that is not the actor's own end.
        ended: Called whenever ``run`` has ended.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[None]],
        *,
        clock: Clock,
        aborted: Callable[[], bool],
        failed: Callable[[Exception], None],
        ended: Callable[[], None],
        log: ActorLog = NO_ACTOR,
    ) -> None:
        self._log = log
        self._run = run
        self._clock = clock
        self._aborted = aborted
        self._failed = failed
        self._ended = ended
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        """Begin. For an actor without ``run``, this is never called."""
        # A context of its own: it outlives whatever happened to start the actor.
        task = asyncio.get_running_loop().create_task(self._live(), context=contextvars.Context())
        self._task = task
        self._begun = True
        task.add_done_callback(self._done)

    async def restart(self) -> None:
        """Cancel ``run``, wait briefly for its end, and begin anew.

        Raises:
            RivetError: ``actor.invalid_operation`` without ``run``, or if it does not end,
                ``actor.stopping`` when the actor ends.
        """
        if not self._begun:
            raise _cannot_restart("the actor has no run")
        if self._aborted():
            raise error("actor.stopping")
        task = self._task
        if task is not None:
            if task is asyncio.current_task():
                raise _cannot_restart("it was called from run itself")
            self.cancel()
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(_RESTART_LIMIT):
                    await asyncio.wait([task])
            if not task.done():
                raise _cannot_restart("run ignores its cancellation")
            if self._aborted():
                raise error("actor.stopping")
        if self._task is None or self._task is task:  # nobody else restarted it meanwhile
            self.start()

    def cancel(self) -> None:
        """End it where it stands; ``wait`` for the end."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Wait until it has ended. Safe to cancel; bound it with a timeout."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _live(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled it: user code awaited something that was cancelled.
            self._failed(RuntimeError("run awaited something that was cancelled"))
        except Exception as failure:  # noqa: BLE001 - reported by whoever is told
            known = failure if isinstance(failure, RivetError) else None
            if self._aborted() and known is not None and (known.group, known.code) == ("actor", "aborted"):
                self._log.debug("run ended with the actor")
                return
            self._failed(failure)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        self._ended()


def _cannot_restart(reason: str) -> RivetError:
    return error("actor.invalid_operation", operation="restart_run", reason=reason)
