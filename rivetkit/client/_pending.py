"""Calls over a live connection that have no answer yet.

waiting    not sent: the connection is down; bounded, sent in order once it is up
in flight  sent: answered by id, or lost with the link they were sent over, never sent again
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from rivetkit_core.errors import RivetError, error
from rivetkit_core.wire.messages import ActionRequest

MAX_WAITING = 512


@dataclass(eq=False, slots=True)
class PendingCall:
    """One call; ``answer`` may be cancelled by its caller at any moment."""

    request: ActionRequest
    answer: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    sent: bool = False

    def succeed(self, output: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(output)

    def fail(self, failure: RivetError) -> None:
        if not self.answer.done():
            self.answer.set_exception(failure)


class PendingCalls:
    """Every call of one connection. Ids are never used twice, so that a late answer finds nobody."""

    def __init__(self) -> None:
        self._calls: dict[int, PendingCall] = {}
        self._next_id = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, name: str, args: bytes) -> PendingCall:
        """Register a call that was not sent yet.

        Raises:
            Overloaded: Too many calls wait for the connection.
        """
        if len(self.waiting()) >= MAX_WAITING:
            raise error("actor.overloaded", channel="connection", capacity=MAX_WAITING, operation=name)
        call = PendingCall(ActionRequest(self._next_id, name, args))
        self._next_id += 1
        self._calls[call.request.id] = call
        return call

    def forget(self, call: PendingCall) -> None:
        """The caller is gone; an answer that still comes is dropped."""
        self._calls.pop(call.request.id, None)
        if call.answer.done() and not call.answer.cancelled():
            call.answer.exception()  # seen, so that asyncio does not report it as lost

    def waiting(self) -> list[PendingCall]:
        """Calls that were not sent, oldest first."""
        return [call for call in self._calls.values() if not call.sent]

    def succeed(self, action_id: int, output: bytes) -> None:
        if call := self._calls.get(action_id):
            call.succeed(output)

    def fail(self, action_id: int, failure: RivetError) -> None:
        if call := self._calls.get(action_id):
            call.fail(failure)

    def lose(self, failure: RivetError) -> None:
        """The link is gone: fail what was sent over it, keep what waits."""
        for call in list(self._calls.values()):
            if call.sent:
                call.fail(twin(failure))

    def end(self, failure: RivetError) -> None:
        """Nothing will be sent or answered any more: fail everything."""
        for call in list(self._calls.values()):
            call.fail(twin(failure))


def twin(failure: RivetError) -> RivetError:
    """An equal error of the same type: one exception object must not be raised in several tasks."""
    kind = type(failure)
    equal = kind.__new__(kind, *failure.args)
    vars(equal).update(vars(failure))
    equal.__cause__ = failure.__cause__
    return equal
