"""One HTTP request through the streaming gateway: strict indices, and credit both ways (envoy-protocol 6.3).

A host that breaks a rule fails the request: whoever reads the response gets a ``ProtocolViolation``.
"""

from __future__ import annotations

from rivetkit_core.clock import Timer
from rivetkit_core.testing.engine.actors import GatewayFailure, ScriptedActor
from rivetkit_core.testing.engine.envoys import Envoy
from rivetkit_core.testing.engine.exchanges import ClientRequest, GatewayPort, Outgoing
from rivetkit_core.testing.engine.response import ProtocolViolation, ResponseCut, ScriptedResponse
from rivetkit_core.wire.envoy.messages import (
    AbortKind,
    AbortReason,
    RequestAbort,
    RequestBodyCancel,
    RequestBodyWindowUpdate,
    RequestChunk,
    RequestId,
    RequestStart,
    ResponseAbort,
    ResponseBodyWindowUpdate,
    ResponseChunk,
    ResponseStart,
    ToRivetTunnel,
)

WINDOW = 1024 * 1024
MAX_CHUNK = 65_536


class StreamedExchange:
    """A request to exactly one generation. Implements ``Visitor``.

    Attributes:
        uncredited: Bytes of the body that were sent and that the host did not report as consumed.
    """

    def __init__(self, port: GatewayPort, request_id: RequestId, request: ClientRequest) -> None:
        self._port = port
        self._request = request
        self._outgoing = Outgoing(request_id)
        self._expected = 0
        self._envoy: Envoy | None = None
        self._generation = 0
        self._timer: Timer | None = None
        self._body = b"" if request.body is None else request.body
        self._body_ended = request.body is not None
        self._sent = self._credited = 0
        self._body_finished = False
        self._received = self._consumed = 0
        self._begun = False
        self.done = False
        self.violation: ProtocolViolation | None = None
        self.response = ScriptedResponse()
        self.response.on_leave = self._left
        self.response.on_upload = self._upload
        self.response.on_consumed = self._consume

    @property
    def uncredited(self) -> int:
        return self._sent - self._credited

    def begin(self) -> None:
        self._port.lifecycle.join(self._request.actor, self)

    def redeliver(self) -> None:
        """The streaming gateway never delivers twice.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("the streaming gateway does not redeliver")

    def actor_ready(self, actor: ScriptedActor) -> None:
        assert actor.envoy is not None
        self._envoy, self._generation = actor.envoy, actor.generation
        request = self._request
        streams = not self._body_ended or bool(self._body)
        self._body_finished = not streams
        self._outgoing.send(
            actor.envoy,
            RequestStart(
                actor.actor_id,
                request.method,
                request.path,
                request.headers,
                stream=streams,
                actor_generation=actor.generation,
                response_stream=True,
            ),
        )
        limit = self._port.settings.response_start_timeout_ms / 1000
        self._timer = self._port.clock.call_later(limit, self._too_late)
        self._send_body()

    def actor_refused(self, failure: GatewayFailure) -> None:
        if not self.done:
            self._end(failure.status, failure.code)

    def actor_ended(self, actor: ScriptedActor, *, lost: bool) -> None:
        if self.done:
            return
        self._abort(AbortKind.INTERNAL_ERROR, "actor stopped")
        if lost:
            self._end(500, "core.internal_error")
        else:
            self._end(503, "guard.actor_stopped_while_waiting")

    def take(self, message: ToRivetTunnel) -> None:
        """What the host sent for this request."""
        if self.done:
            return
        if message.message_id.message_index != self._expected:
            self._violate(f"index {message.message_id.message_index} came instead of {self._expected}")
            return
        self._expected = (self._expected + 1) % 65_536
        match message.kind:
            case ResponseStart() as head:
                self._start(head)
            case ResponseChunk(body, finish):
                self._chunk(body, finish)
            case ResponseAbort():
                self._end(503, "guard.tunnel_request_aborted")
            case RequestBodyWindowUpdate(consumed):
                self._credit(consumed)
            case RequestBodyCancel():
                self._body_finished = True
                self._send(RequestBodyCancel())
            case _:
                self._violate(f"{type(message.kind).__name__} for an HTTP request")

    # The response

    def _start(self, head: ResponseStart) -> None:
        if self._begun:
            self._violate("a second ResponseStart")
            return
        self._begun = True
        if self._timer is not None:
            self._timer.cancel()
        if not head.stream and len(head.body or b"") > self._port.settings.max_response_payload_size:
            self._end(503, "guard.tunnel_request_aborted")
            return
        self.response.begin(head.status, head.headers)
        if head.stream:
            self._add(head.body or b"", finish=False)
        else:
            self.response.add(head.body or b"")
            self._finish()

    def _chunk(self, body: bytes, finish: bool) -> None:
        if not self._begun:
            self._violate("a ResponseChunk before the ResponseStart")
        else:
            self._add(body, finish=finish)

    def _add(self, body: bytes, *, finish: bool) -> None:
        self._received += len(body)
        if self._received - self._consumed > WINDOW:
            self._violate(f"{self._received - self._consumed} bytes of response without credit")
            return
        self.response.add(body)
        if finish:
            self._finish()

    def _consume(self, size: int) -> None:
        self._consumed += size
        if not self.done:
            self._send(ResponseBodyWindowUpdate(self._consumed))

    # The body of the request

    def _upload(self, data: bytes, last: bool) -> None:
        self._body += data
        self._body_ended = last
        self._send_body()

    def _send_body(self) -> None:
        """Send as much as there is credit for."""
        while self._envoy is not None and not self._body_finished:
            size = min(MAX_CHUNK, WINDOW - self.uncredited, len(self._body))
            ends = self._body_ended and size == len(self._body)
            if size == 0 and not ends:
                return
            data, self._body = self._body[:size], self._body[size:]
            self._sent += size
            self._body_finished = ends
            self._send(RequestChunk(data, ends))

    def _credit(self, consumed: int) -> None:
        if not self._credited <= consumed <= self._sent:
            self._violate(f"credit for {consumed} bytes after {self._credited}, of {self._sent} sent")
            return
        self._credited = consumed
        self._send_body()

    # The end

    def _left(self) -> None:
        if not self.done:
            self._abort(AbortKind.CANCELLED, "client disconnected")
            self._finish()

    def _too_late(self) -> None:
        self._abort(AbortKind.INTERNAL_ERROR, "no response in time")
        self._end(504, "guard.gateway_response_start_timeout")

    def _violate(self, rule: str) -> None:
        request = self._request
        self.violation = ProtocolViolation(f"{request.method} {request.path}: {rule}")
        self._abort(AbortKind.INTERNAL_ERROR, rule)
        self.response.fail(self.violation)
        self._finish()

    def _end(self, status: int, code: str) -> None:
        """Answer with an error, or cut the response that has begun."""
        if self._begun:
            self.response.fail(ResponseCut(code))
        else:
            self.response.refuse(status, code)
        self._finish()

    def _abort(self, kind: AbortKind, detail: str) -> None:
        self._send(RequestAbort(self._request.actor.actor_id, self._generation, AbortReason(kind, detail)))

    def _send(self, kind: RequestChunk | RequestAbort | RequestBodyCancel | ResponseBodyWindowUpdate) -> None:
        if self._envoy is not None:
            self._outgoing.send(self._envoy, kind)

    def _finish(self) -> None:
        self.done = True
        self.response.finish()
        if self._timer is not None:
            self._timer.cancel()
        self._port.lifecycle.leave(self._request.actor, self)
