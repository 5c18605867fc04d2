"""The way into an actor: who may enter, how many at once, and how failures leave (actor-runtime 4, 12).

Invariants
    Nothing of refused work has run.
    Every failure that leaves is masked and carries the actor; what clients do not see is in the log.
    A CancelledError leaves only if the task itself was cancelled by somebody outside the actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.outbox import Durability
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.errors import RivetError, StorageError, error, find, is_public, masked, rebuild
from rivetkit_core.metrics.recorder import Recorder

T = TypeVar("T")

_COMMANDS = {"connect": "connect", "dispatch_queue_send": "queue_send"}
_SHOWN = 128  # of names that clients may have made up


class Gate:
    """Admission, accounting and error translation around client work."""

    def __init__(
        self,
        *,
        identity: ActorIdentity,
        capacity: int,
        work: WorkRegistry,
        log: ActorLog,
        refusal: Callable[[], str | None],
        metrics: Recorder,
        expose_errors: bool,
    ) -> None:
        self._identity = identity
        self._capacity = capacity
        self._work = work
        self._log = log
        self._refusal = refusal
        self._metrics = metrics
        self._expose_errors = expose_errors
        self._accepted = 0

    @property
    def accepted(self) -> int:
        """How much was accepted and has no answer yet."""
        return self._accepted

    def accept(self, operation: str, kind: WorkKind = WorkKind.ACTION) -> Accepted:
        """Run what is inside as accepted work of the current task.

        Raises:
            RivetError: As a client may see it.
        """
        return Accepted(self, operation, kind)

    def enter(self, operation: str, kind: WorkKind) -> asyncio.Task[object]:
        """Begin accepted work; ``leave`` must follow."""
        self.admit(operation)
        if self._log.verbose:
            self._note("dispatch command received", operation, "enqueued")
        task = self._work.enter(kind)
        self._accepted += 1
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """End accepted work, however it went."""
        self._accepted -= 1
        self._work.leave(task)

    def translate(
        self, operation: str, failure: BaseException, task: asyncio.Task[object], cancelled_before: int
    ) -> BaseException:
        """What may leave the actor in place of ``failure``."""
        if isinstance(failure, asyncio.CancelledError):
            if self._work.was_cancelled(task):
                task.uncancel()
                return self.stamped(error("actor.aborted"))
            if task.cancelling() > cancelled_before:
                return failure
            # Nobody cancelled this task: user code awaited something that was cancelled.
            return self._explain(operation, failure)
        return self._explain(operation, failure) if isinstance(failure, Exception) else failure

    async def translated(self, operation: str, work: Awaitable[T]) -> T:
        """Await work that was admitted earlier, so that nothing refuses it now.

        Raises:
            RivetError: As a client may see it.
        """
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        try:
            return await work
        except BaseException as failure:
            seen = self.translate(operation, failure, task, cancelled_before)
            if seen is failure:
                raise
            raise seen from failure

    def admit(self, operation: str) -> None:
        """Refuse work that must not start now.

        Raises:
            RivetError: ``actor.overloaded``, or what the actor's state says.
        """
        refusal = self._refusal()
        if refusal is not None:
            self._note("dispatch command rejected", operation, "rejected_lifecycle", reason=refusal)
            raise self.stamped(error(refusal))
        if self._accepted >= self._capacity:
            self._metrics.count("dispatch_inbox_overload_total", _COMMANDS.get(operation, "action"))
            self._note("dispatch command rejected", operation, "overloaded")
            full = error(
                "actor.overloaded", channel="dispatch_inbox", capacity=self._capacity, operation=operation
            )
            raise self.stamped(full)

    def _note(self, message: str, operation: str, outcome: str, **more: object) -> None:
        command = _COMMANDS.get(operation, "action")
        fields = {"command": command, "operation": operation[:_SHOWN], "outcome": outcome, **more}
        self._log.debug(message, extra=fields)

    def _explain(self, operation: str, failure: BaseException) -> RivetError:
        known = find(failure)
        if known is None or not is_public(known.group, known.code):
            self._log.error("%s failed", operation, exc_info=failure, extra={"operation": operation})
        elif isinstance(known, StorageError):
            self._log.error("%s was not acknowledged: %s", operation, known, extra={"operation": operation})
        return self.stamped(masked(failure, expose=self._expose_errors))

    def explain_start(self, failure: BaseException, stage: str) -> RivetError:
        """What whoever caused a failed start is told; the log has the rest."""
        self._log.error(
            "the actor failed to start, in %s",
            stage,
            exc_info=failure,
            extra={"operation": "start", "stage": stage},
        )
        seen = masked(failure, expose=self._expose_errors)
        if (seen.group, seen.code) == ("rivetkit", "internal_error"):
            seen = rebuild("actor", "start_failed", None, seen.metadata)
        return self.stamped(seen)

    def stamped(self, failure: RivetError) -> RivetError:
        """The error, with this actor as its origin unless it has one."""
        if failure.actor is None:
            failure.actor = self._identity.specifier
        return failure


class Accepted:
    """One piece of accepted work; a class of its own because every action passes through here."""

    __slots__ = ("_cancelled_before", "_durability", "_gate", "_kind", "_operation", "_task")

    def __init__(self, gate: Gate, operation: str, kind: WorkKind) -> None:
        self._gate = gate
        self._operation = operation
        self._kind = kind
        self._durability = Durability(None)

    def __enter__(self) -> None:
        self._task = self._gate.enter(self._operation, self._kind)
        self._cancelled_before = self._task.cancelling()
        self._durability.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._durability.__exit__()
        try:
            if failure is None:
                return
            seen = self._gate.translate(self._operation, failure, self._task, self._cancelled_before)
        finally:
            self._gate.leave(self._task)
        if seen is not failure:
            raise seen from failure
