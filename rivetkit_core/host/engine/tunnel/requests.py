"""HTTP requests under way, by their id (envoy-protocol 6.2, 6.3).

Invariants
    A request that is delivered again while it runs is not run again; afterwards its answer is repeated.
    Every request gets one answer or one abort, unless the engine aborted it: then nothing more is sent.
    What was aborted from here is forgotten, so that it can be delivered again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from rivetkit_core.actor.task import ActorTask
from rivetkit_core.clock import Clock
from rivetkit_core.edge.errors import error_json
from rivetkit_core.errors import RivetError, error, masked, status_of
from rivetkit_core.host.engine.tunnel.body import RequestBody
from rivetkit_core.host.engine.tunnel.exchange import (
    HttpExchange,
    HttpHandler,
    Refused,
    require_running,
    serve_start_failure,
)
from rivetkit_core.host.engine.tunnel.indices import Outgoing, Send, Writable
from rivetkit_core.host.engine.tunnel.memory import Answers, Recent
from rivetkit_core.host.engine.tunnel.placement import Placement, generation_of
from rivetkit_core.host.engine.tunnel.response import Response
from rivetkit_core.host.engine.tunnel.tasks import TunnelTasks
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    RequestAbort,
    RequestChunk,
    RequestId,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseStart,
)

log = logging.getLogger("rivetkit.tunnel")

_ABORTED_SECONDS = 30.0
# The header is what engines know; the body is what makes every client ask again.
_NOT_HERE = ResponseStart(
    503,
    {"content-type": "application/json", "x-rivet-error": "envoy.actor_not_found"},
    error_json(error("actor.stopping")),
)
_STOPPED = "the actor has stopped"
_AGAIN = ResponseAbort(AbortReason(AbortKind.INTERNAL_ERROR, _STOPPED))
"""Makes the default gateway deliver the request to the generation that comes next."""


def _answer(failure: RivetError) -> ResponseStart:
    headers = {"content-type": "application/json", "x-rivet-error": f"{failure.group}.{failure.code}"}
    return ResponseStart(status_of(failure.group, failure.code), headers, error_json(failure))


_STOPPING = _answer(error("actor.stopping"))
"""Tells a client of the streaming gateway that nothing ran and that it may try again."""
_FAILED = _answer(RivetError("envoy", "fetch_failed", "actor fetch failed", metadata={}))


@dataclass(slots=True)
class _Request:
    """One request that runs; ``exact`` when only this generation may answer it."""

    id: RequestId
    exact: bool
    outgoing: Outgoing
    body: RequestBody
    response: Response
    task: asyncio.Task[None] | None = None


class Requests:
    """Runs requests and answers them."""

    def __init__(
        self,
        *,
        placement: Placement,
        send: Send,
        writable: Writable,
        clock: Clock,
        tasks: TunnelTasks,
        handler: HttpHandler,
    ) -> None:
        self._placement = placement
        self._send = send
        self._writable = writable
        self._tasks = tasks
        self._handler = handler
        self._running: dict[RequestId, _Request] = {}
        self._answers = Answers(clock)
        self._aborted: Recent[RequestId] = Recent(clock, seconds=_ABORTED_SECONDS)

    def start(self, id: RequestId, start: RequestStart, max_payload: int) -> None:
        """A request came, perhaps not for the first time."""
        exact = start.actor_generation is not None
        if id in self._running or (exact and id in self._aborted):
            return
        outgoing = Outgoing(id, self._send, writable=self._writable)
        answer = self._answers.get(id)
        if answer is not None:
            outgoing.send(answer)
            return
        found = self._placement.find(start.actor_id, start.actor_generation)
        if found is None:
            if self._placement.moved(start.actor_id):
                outgoing.send(_STOPPING if exact else _AGAIN)
            else:
                outgoing.send(_NOT_HERE)
            return
        body = RequestBody(outgoing, start.body, streamed=start.stream)
        response = Response(outgoing, streams=start.response_stream, max_payload=max_payload)
        exchange = HttpExchange(start.method, start.path, start.headers, body, response)
        request = self._running[id] = _Request(id, exact, outgoing, body, response)
        served = (start.actor_id, generation_of(found))
        request.task = self._tasks.spawn(served, self._run(found, request, exchange))

    def chunk(self, id: RequestId, chunk: RequestChunk) -> None:
        """A part of a request's body came."""
        request = self._running.get(id)
        if request is not None and not request.body.feed(chunk.body, finish=chunk.finish):
            log.warning("the engine sent more of a request than it had credit for")
            request.response.abort(AbortKind.INTERNAL_ERROR, "the request overran its window")
            self._cancel(request)

    def cut(self, id: RequestId) -> None:
        """The engine sends nothing more of a body, because we said so or because it cannot."""
        request = self._running.get(id)
        if request is not None:
            request.body.cut()

    def credit(self, id: RequestId, update: ResponseBodyWindowUpdate) -> None:
        """The client took a part of a response."""
        request = self._running.get(id)
        if request is not None:
            request.response.credit(update.consumed_bytes)

    def abort(self, id: RequestId, abort: RequestAbort) -> None:
        """The client went away, or the engine gave up: end the handler and say nothing more."""
        request = self._running.get(id)
        if request is None:
            self._aborted.add(id)
            return
        log.debug("a request was aborted: %s", abort.reason.detail)
        self._cancel(request)

    def _cancel(self, request: _Request) -> None:
        request.outgoing.end()
        del self._running[request.id]
        if request.task is not None:
            request.task.cancel()

    async def _serve(self, found: ActorTask | RivetError, exchange: HttpExchange) -> None:
        if isinstance(found, RivetError):
            await serve_start_failure(found, exchange)
            return
        require_running(found)
        await self._handler(found, exchange)

    async def _run(self, found: ActorTask | RivetError, request: _Request, exchange: HttpExchange) -> None:
        try:
            await self._serve(found, exchange)
            request.body.cancel()
            request.response.finish()
        except Refused:
            self._refuse(request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._interrupt(request)
                raise
            self._fail(request)  # the handler awaited something that was cancelled
        except RivetError as failure:
            self._reject(request, failure)
        except Exception:
            log.exception("serving a request failed")
            self._fail(request)
        finally:
            self._done(request)

    def _done(self, request: _Request) -> None:
        if self._running.get(request.id) is request:
            del self._running[request.id]
            if request.response.answer is not None:
                self._answers.keep(request.id, request.response.answer)

    def _refuse(self, request: _Request) -> None:
        """Nothing of it ran. The default gateway takes it to the next generation, or else the client can."""
        request.body.cancel()
        request.outgoing.send(_STOPPING if request.exact else _AGAIN)
        request.outgoing.end()

    def _interrupt(self, request: _Request) -> None:
        """It ran in part. The default gateway takes it to the next generation all the same."""
        if request.exact and request.response.undecided:
            self._reject(request, error("actor.aborted"))
        else:
            request.body.cancel()
            request.response.abort(AbortKind.INTERNAL_ERROR, _STOPPED)

    def _reject(self, request: _Request, failure: RivetError) -> None:
        self._give_up(request, _answer(masked(failure)))

    def _fail(self, request: _Request) -> None:
        self._give_up(request, _FAILED)

    def _give_up(self, request: _Request, answer: ResponseStart) -> None:
        request.body.cancel()
        if request.response.undecided:
            request.response.whole(answer.status, answer.headers, answer.body or b"")
        else:
            request.response.abort(AbortKind.HANDLER_ERROR, "the handler failed")
