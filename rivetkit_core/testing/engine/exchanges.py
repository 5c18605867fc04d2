"""One HTTP request on its way through the gateways, as the host must see it (envoy-protocol 6.2, 6.3).

``BufferedExchange`` is the default gateway: whole bodies, any message index, at-least-once.
``StreamedExchange``, in ``streams``, is the streaming one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rivetkit_core.clock import Clock, Timer
from rivetkit_core.testing.engine.actors import GatewayFailure, ScriptedActor
from rivetkit_core.testing.engine.envoys import Envoy
from rivetkit_core.testing.engine.lifecycle import Lifecycle
from rivetkit_core.testing.engine.response import ScriptedResponse
from rivetkit_core.testing.engine.settings import EngineSettings
from rivetkit_core.wire.envoy.messages import (
    MessageId,
    RequestId,
    RequestStart,
    ResponseAbort,
    ResponseStart,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivetTunnel,
)

_MAX_ATTEMPTS = 7
_FIRST_RETRY = 0.15


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a client asked. ``body`` is None while the client is still sending it."""

    actor: ScriptedActor
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """What every request and websocket needs of the engine."""

    clock: Clock
    settings: EngineSettings
    lifecycle: Lifecycle


class Outgoing:
    """Numbers the messages of one client towards the host."""

    def __init__(self, request_id: RequestId) -> None:
        self.request_id = request_id
        self.next_index = 0

    def send(self, envoy: Envoy, kind: ToEnvoyTunnelKind) -> int:
        """Send the next message; says which index it got."""
        index, self.next_index = self.next_index, (self.next_index + 1) % 65_536
        message_id = MessageId(self.request_id.gateway_id, self.request_id.request_id, index)
        envoy.tunnel(ToEnvoyTunnel(message_id, kind))
        return index


class BufferedExchange:
    """A request through the default gateway. Implements ``Visitor``."""

    def __init__(self, port: GatewayPort, request_id: RequestId, request: ClientRequest) -> None:
        self._port = port
        self._request = request
        self._outgoing = Outgoing(request_id)
        self._attempts = 0
        self._timer: Timer | None = None
        self.done = False
        self.response = ScriptedResponse()
        self.response.on_leave = self._finish
        self.response.on_upload = self._upload
        self._uploaded = b""

    def begin(self) -> None:
        if self._request.body is not None:
            self._port.lifecycle.join(self._request.actor, self)

    def take(self, message: ToRivetTunnel) -> None:
        """What the host sent for this request; chunks of a streamed response are lost here."""
        match message.kind:
            case ResponseStart() as head:
                self._answer(head)
            case ResponseAbort():
                self._retry()
            case _:
                return

    def redeliver(self) -> None:
        """Send the request once more, with the same id."""
        actor = self._request.actor
        if actor.envoy is not None and not self.done:
            self._send(actor.envoy)

    def actor_ready(self, actor: ScriptedActor) -> None:
        assert actor.envoy is not None
        self._send(actor.envoy)

    def actor_refused(self, failure: GatewayFailure) -> None:
        if not self.done:
            self.response.refuse(failure.status, failure.code)
            self._finish()

    def actor_ended(self, actor: ScriptedActor, *, lost: bool) -> None:
        """The request goes to the next generation."""
        if not self.done:
            self._port.lifecycle.join(actor, self)

    def _send(self, envoy: Envoy) -> None:
        request = self._request
        self._outgoing.next_index = 0
        start = RequestStart(
            request.actor.actor_id, request.method, request.path, request.headers, request.body or None
        )
        self._outgoing.send(envoy, start)
        if self._timer is not None:
            self._timer.cancel()
        limit = self._port.settings.response_start_timeout_ms / 1000
        self._timer = self._port.clock.call_later(limit, self._too_late)

    def _answer(self, head: ResponseStart) -> None:
        if self.done:
            return
        body = head.body or b""
        if len(body) > self._port.settings.max_response_payload_size:
            self._retry()
            return
        self.response.begin(head.status, head.headers)
        self.response.add(body)
        self.response.finish()
        self._finish()

    def _retry(self) -> None:
        if self.done:
            return
        self._port.lifecycle.leave(self._request.actor, self)
        self._attempts += 1
        if self._attempts >= _MAX_ATTEMPTS:
            self.actor_refused(GatewayFailure(502, "guard.retry_attempts_exceeded"))
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = _FIRST_RETRY * 2 ** (self._attempts - 1)
        self._timer = self._port.clock.call_later(delay, self.begin)

    def _too_late(self) -> None:
        self.actor_refused(GatewayFailure(504, "guard.gateway_response_start_timeout"))

    def _upload(self, data: bytes, last: bool) -> None:
        self._uploaded += data
        if last:
            self._request = replace(self._request, body=self._uploaded)
            self.begin()

    def _finish(self) -> None:
        self.done = True
        if self._timer is not None:
            self._timer.cancel()
        self._port.lifecycle.leave(self._request.actor, self)
