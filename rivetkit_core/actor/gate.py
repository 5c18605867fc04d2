"""The way into an actor: who may enter, how many at once, and how failures leave (actor-runtime 4, 12).

Invariants
    Nothing of refused work has run.
    Every failure that leaves is masked and carries the actor; what clients do not see is in the log.
    A CancelledError leaves only if the task itself was cancelled by somebody outside the actor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator

from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.work import WorkRegistry
from rivetkit_core.errors import RivetError, StorageError, error, find, is_public, masked, rebuild


class Gate:
    """Admission, accounting and error translation around client work."""

    def __init__(
        self,
        *,
        identity: ActorIdentity,
        capacity: int,
        work: WorkRegistry,
        outbox: Outbox,
        log: logging.LoggerAdapter[logging.Logger],
        refusal: Callable[[], str | None],
        expose_errors: bool,
    ) -> None:
        self._identity = identity
        self._capacity = capacity
        self._work = work
        self._outbox = outbox
        self._log = log
        self._refusal = refusal
        self._expose_errors = expose_errors
        self._accepted = 0

    @contextlib.contextmanager
    def accept(self, operation: str) -> Generator[None]:
        """Run what is inside as accepted work of the current task.

        Raises:
            RivetError: As a client may see it.
        """
        self.admit(operation)
        self._accepted += 1
        cancelled_before = _cancellations()
        try:
            with self._work.region(), self._outbox.durability(None):
                yield
        except asyncio.CancelledError as failure:
            task = asyncio.current_task()
            if task is not None and self._work.was_cancelled(task):
                task.uncancel()
                raise self.stamped(error("actor.aborted")) from None
            if _cancellations() > cancelled_before:
                raise
            # Nobody cancelled this task: user code awaited something that was cancelled.
            raise self._explain(operation, failure) from failure
        except Exception as failure:
            seen = self._explain(operation, failure)
            if seen is failure:
                raise
            raise seen from failure
        finally:
            self._accepted -= 1

    def admit(self, operation: str) -> None:
        """Refuse work that must not start now.

        Raises:
            RivetError: ``actor.overloaded``, or what the actor's state says.
        """
        refusal = self._refusal()
        if refusal is not None:
            raise self.stamped(error(refusal))
        if self._accepted >= self._capacity:
            full = error(
                "actor.overloaded", channel="dispatch_inbox", capacity=self._capacity, operation=operation
            )
            raise self.stamped(full)

    def _explain(self, operation: str, failure: BaseException) -> RivetError:
        known = find(failure)
        if known is None or not is_public(known.group, known.code):
            self._log.error("%s failed", operation, exc_info=failure)
        elif isinstance(known, StorageError):
            self._log.error("%s was not acknowledged: %s", operation, known)
        return self.stamped(masked(failure, expose=self._expose_errors))

    def explain_start(self, failure: BaseException) -> RivetError:
        """What whoever caused a failed start is told; the log has the rest."""
        self._log.error("the actor failed to start", exc_info=failure)
        seen = masked(failure, expose=self._expose_errors)
        if (seen.group, seen.code) == ("rivetkit", "internal_error"):
            seen = rebuild("actor", "start_failed", None, seen.metadata)
        return self.stamped(seen)

    def stamped(self, failure: RivetError) -> RivetError:
        """The error, with this actor as its origin unless it has one."""
        if failure.actor is None:
            failure.actor = self._identity.specifier
        return failure


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
