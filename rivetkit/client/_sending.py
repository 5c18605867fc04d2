"""Messages to queues, by reference and by name: what handles and connections have in common.

Messages travel as requests of their own, never over an open connection.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from rivetkit.client._bounds import bounded
from rivetkit.client._calling import require_queue
from rivetkit.client._payload import encode_params, encode_value
from rivetkit.client._retry import repeat_between_lives
from rivetkit.client._scope import ClientScope
from rivetkit_core.errors import error
from rivetkit_core.host.port import Target
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

if TYPE_CHECKING:
    from rivetkit._contract import Contract
    from rivetkit._job import QueueRef

A = TypeVar("A", bound="Contract")
B = TypeVar("B")
R = TypeVar("R", default=None)


class SendsMessages(ABC, Generic[A]):
    """Sends to the queues of one actor.

    A body that does not fit raises ``ValidationError`` before anything is sent.
    """

    @abstractmethod
    async def _enqueue(self, name: str, request: QueueSendRequest) -> QueueSendResponse: ...

    async def send(self, ref: QueueRef[A, B, Any], body: B, /) -> None:
        """Send a message; on return it is stored and will be received, whatever happens to the actor.

        Cancelling leaves open whether it was sent.

        Raises:
            RivetError: ``queue.full``, ``queue.message_too_large``, ``auth.forbidden``, or a ``client.*``
                error if no answer came; the message may have been stored then.
        """
        require_queue(ref)
        await self._enqueue(ref.name, QueueSendRequest(ref.encode_body(body)))

    async def send_and_wait(self, ref: QueueRef[A, B, R], body: B, /, *, timeout: float | None = None) -> R:
        """Send a message and return the reply it is completed with; None for a queue without replies.

        When no reply comes in time, and after a cancellation, the message stays in the queue.

        Args:
            ref: The queue.
            body: The message.
            timeout: Seconds to wait for the completion. Without it, and at the latest, the actor's
                ``action_timeout`` ends the wait with ``actor.action_timed_out``.

        Raises:
            ValueError: The timeout is negative or not finite.
            RivetError: As for ``send``; ``queue.timed_out``, or ``queue.no_reply`` if the message was
                completed without one, for instance as a duplicate of a message handled before.
            ValidationError: The reply does not fit its declared type.
        """
        require_queue(ref)
        milliseconds = None if timeout is None else _milliseconds(timeout)
        request = QueueSendRequest(ref.encode_body(body), wait=True, timeout=milliseconds)
        answer = await self._enqueue(ref.name, request)
        if answer.status == "timedOut":
            raise error("queue.timed_out", timeout_ms=milliseconds or 0)
        return ref.decode_reply(answer.response)

    async def send_by_name(self, name: str, body: object, /) -> None:
        """Send a message to a queue without a declaration. An actor that has no such queue ignores it.

        Raises:
            RivetError: As for ``send``.
        """
        await self._enqueue(name, QueueSendRequest(encode_value(body, f"queue `{name}` message")))


async def deliver(
    scope: ClientScope, target: Target, params: object, name: str, request: QueueSendRequest
) -> QueueSendResponse:
    """Send a message, again while its actor is between two lives, and return the answer."""

    async def attempt() -> QueueSendResponse:
        encoded = await encode_params(params)
        return await scope.access.enqueue(target, name, request, params=encoded)

    scope.require_open()
    asked = 0.0 if request.timeout is None else request.timeout / 1000
    repeated = repeat_between_lives(attempt, target, clock=scope.clock, entropy=scope.entropy)
    return await bounded(scope.clock, scope.timeout + asked, repeated)


def _milliseconds(seconds: float) -> int:
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"timeout is a number of seconds, at least 0, not {seconds}")
    return round(seconds * 1000)
