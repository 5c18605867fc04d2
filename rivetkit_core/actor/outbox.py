"""What one actor says to the world, in order, and not before it may.

A ``strict`` actor (or action) promises that nobody sees an effect that a crash could still undo. So
replies, events and outgoing calls wait here until the state they reflect is durable.

Invariants
    Deliveries happen in the order of ``post``, gated or not.
    A gated delivery happens only after a save that began after it was posted.
    When nothing is gated and nothing waits, a post is delivered at once.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.saver import Saver

_NOTHING: AbstractContextManager[None] = nullcontext()
_strict: contextvars.ContextVar[bool | None] = contextvars.ContextVar("rivetkit_strict", default=None)


class Outbox:
    """The output gate of one actor."""

    def __init__(self, saver: Saver, *, strict: bool, log: ActorLog = NO_ACTOR) -> None:
        self._log = log
        self._saver = saver
        self._strict = strict
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        saver.on_complete = self._release

    @property
    def gated(self) -> bool:
        """Whether the running code's output must wait for durability."""
        chosen = _strict.get()
        return self._strict if chosen is None else chosen

    def durability(self, strict: bool | None) -> Durability:
        """Choose for the code inside; None keeps the actor's own choice."""
        return Durability(strict)

    def post(self, deliver: Callable[[], None]) -> None:
        """Deliver now, or when everything before it was delivered and the state it reflects is durable.

        When the write fails the delivery stays queued behind the next attempt. Never waits.
        """
        if self.gated:
            self._waiting.append((self._saver.request(immediate=True), deliver))
        elif self._waiting:
            self._waiting.append((self._waiting[-1][0], deliver))
        else:
            deliver()

    async def settled(self) -> None:
        """Return when everything the caller did so far may be seen by others.

        Raises:
            StorageError: The state could not be stored; the caller must not tell anybody.
        """
        if self.gated:
            await self._saver.request_and_wait()
        elif self._waiting:
            await self._saver.completion(self._waiting[-1][0])

    def whole(self) -> AbstractContextManager[None]:
        """Around strict code whose effects belong together: no save of a timer parts them."""
        return self._saver.whole() if self.gated else _NOTHING

    def discard(self) -> int:
        """Forget what still waits, because its state will never be durable; returns how many that were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def _release(self, completed: int) -> None:
        while self._waiting and self._waiting[0][0] <= completed:
            _, deliver = self._waiting.popleft()
            try:
                deliver()
            except Exception:  # noqa: BLE001 - one broken transport must not keep the others from their messages
                self._log.exception("a message could not be handed over")


class Durability:
    """The choice for one block; a class of its own because every action passes through here."""

    __slots__ = ("_strict", "_token")

    def __init__(self, strict: bool | None) -> None:
        self._strict = strict
        self._token: contextvars.Token[bool | None] | None = None

    def __enter__(self) -> None:
        self._token = _strict.set(self._strict)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _strict.reset(self._token)
