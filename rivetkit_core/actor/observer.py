"""Tells an actor that its state changed (actor-runtime 6.2).

State is a plain object that nobody watches, so a change is found by comparing encoded bytes, once per
turn of the event loop in which user code ran, and only for actors that define ``on_state_change``.

Invariants
    The callback never overlaps itself; changes during it lead to exactly one further run.
    A mutation made by the callback itself is an error, however deep: every step of the callback is
    compared before and after, so changes of concurrent actions are not blamed on it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Generator

from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.errors import RivetError, error

_inside: contextvars.ContextVar[object | None] = contextvars.ContextVar(
    "rivetkit_on_state_change", default=None
)


class StateObserver:
    """Runs ``callback`` when ``capture`` gives other bytes than at the last look."""

    def __init__(
        self,
        *,
        work: WorkRegistry,
        capture: Callable[[], bytes],
        callback: Callable[[], Coroutine[object, object, None]],
    ) -> None:
        self._work = work
        self._capture = capture
        self._callback = callback
        self._seen = b""
        self._running = False

    def reset(self) -> None:
        """Take the current state as seen; for creation and loading, which are not changes."""
        self._seen = self._capture()

    def check_assignment(self) -> None:
        """Refuse ``self.state = ...`` inside the callback.

        Raises:
            RivetError: ``actor.state_mutation_reentrant``.
        """
        if _inside.get() is self:
            raise error("actor.state_mutation_reentrant")

    def look(self) -> None:
        """User code ran: call back soon if it changed state. Never waits."""
        if self._running or _inside.get() is self:
            return
        self._running = True
        try:
            self._work.spawn(WorkKind.STATE_CHANGE, self._run())
        except RivetError:
            self._running = False  # teardown began

    async def _run(self) -> None:
        _inside.set(self)
        try:
            while (current := self._capture()) != self._seen:
                self._seen = current
                await self._call_back()
        finally:
            self._running = False

    async def _call_back(self) -> None:
        watched = _Watched(self._callback(), self._capture)
        try:
            await watched
        except Exception:
            self._work.log.exception("on_state_change failed")
        if watched.mutated and not watched.changed_outside:
            self._seen = self._capture()


class _Watched:
    """Awaits a coroutine and fails it at the step in which it changed the state.

    Attributes:
        mutated: The coroutine changed the state.
        changed_outside: The state changed while the coroutine was suspended.
    """

    def __init__(self, steps: Coroutine[object, object, None], capture: Callable[[], bytes]) -> None:
        self._steps = steps
        self._capture = capture
        self.mutated = False
        self.changed_outside = False

    def __await__(self) -> Generator[object, object, None]:
        thrown: BaseException | None = None
        before = self._capture()
        while True:
            try:
                waited_for = self._steps.send(None) if thrown is None else self._steps.throw(thrown)
            except StopIteration:
                if self._compare(before):
                    raise error("actor.state_mutation_reentrant") from None
                return
            except BaseException:
                self._compare(before)
                raise
            after = self._capture()
            if after != before:
                self.mutated = True
                self._steps.close()
                raise error("actor.state_mutation_reentrant")
            thrown = None
            try:
                yield waited_for
            except BaseException as failure:  # noqa: BLE001 - handed to the coroutine, which decides
                thrown = failure
            before = self._capture()
            self.changed_outside = self.changed_outside or before != after

    def _compare(self, before: bytes) -> bool:
        self.mutated = self._capture() != before
        return self.mutated
