"""Work of an actor whose caller may go away: the caller waits, the actor owns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.errors import RivetError


async def detached(
    work: WorkRegistry, call: Coroutine[object, object, bytes], dropped: Callable[[], RivetError]
) -> bytes:
    """Run ``call`` in a task of the actor and return its answer. Cancelling the caller does not stop it.

    Raises:
        RivetError: What it raised; what ``dropped`` makes if it ended without an answer.
    """
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def fail(failure: RivetError) -> None:
        if not answer.done():
            answer.set_exception(failure)
            answer.exception()  # the caller may be gone

    async def run() -> None:
        try:
            output = await call
        except RivetError as failure:
            fail(failure)
        else:
            if not answer.done():
                answer.set_result(output)

    task = work.spawn(WorkKind.ACTION, run())
    task.add_done_callback(lambda _: fail(dropped()))
    return await answer
