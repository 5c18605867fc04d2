"""Messages from clients: what may enter a queue, and how its sender is answered (actor-runtime 7.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivetkit_core.actor.queue import ActorQueue
from rivetkit_core.clock import within
from rivetkit_core.errors import RivetError, error
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection
    from rivetkit_core.actor.context import ActorContext
    from rivetkit_core.actor.factory import ActorFactory, ActorInstance

COMPLETED = QueueSendResponse("completed")
TIMED_OUT = QueueSendResponse("timedOut")


async def accept_message(
    factory: ActorFactory,
    instance: ActorInstance,
    context: ActorContext,
    conn: Connection,
    name: str,
    request: QueueSendRequest,
) -> QueueSendResponse:
    """Check a client's message and send it; with ``wait``, answer when it is completed.

    A queue that is not declared swallows its messages, as in every RivetKit SDK.

    Raises:
        RivetError: ``auth.forbidden``, ``actor.validation_error``, ``queue.*``, or
            ``actor.action_timed_out`` when everything together takes longer than an action may.
    """
    if name not in factory.queues:
        context.log.warning("a message for the queue %r was ignored: it is not declared", name)
        return COMPLETED
    sending = _send(instance, context.queue, conn, name, request)
    return await within(
        context.clock, factory.config.action_timeout, sending, lambda: error("actor.action_timed_out")
    )


async def _send(
    instance: ActorInstance, queue: ActorQueue, conn: Connection, name: str, request: QueueSendRequest
) -> QueueSendResponse:
    admitted = await instance.admit_message(name, request.body, conn)
    if not request.wait:
        await queue.send(name, admitted.body, key=admitted.key)
        return COMPLETED
    timeout = None if request.timeout is None else request.timeout / 1000
    try:
        response = await queue.enqueue_and_wait(name, admitted.body, key=admitted.key, timeout=timeout)
    except RivetError as failure:
        if (failure.group, failure.code) != ("queue", "timed_out"):
            raise
        return TIMED_OUT
    return QueueSendResponse("completed", response)
