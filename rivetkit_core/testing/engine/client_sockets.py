"""A client's websocket to an actor, with its hibernation (envoy-protocol 6.4 and 6.5)."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Mapping

from rivetkit_core.clock import Timer
from rivetkit_core.testing.engine.actors import GatewayFailure, ScriptedActor
from rivetkit_core.testing.engine.exchanges import GatewayPort, Outgoing
from rivetkit_core.testing.sockets import SentFrame
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    HostWebSocketOpen,
    MessageId,
    RequestId,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivetTunnel,
    WebSocketMessage,
    WebSocketMessageAck,
)

_MAX_OPENINGS = 8
_FIRST_RETRY = 0.15
_OPEN_TIMEOUT = 15.0


class _Phase(enum.Enum):
    OPENING = "opening"
    OPEN = "open"
    LEAVING = "leaving"
    """The client closed while the actor slept: it is told with an open and a close."""
    CLOSED = "closed"


class ScriptedClientSocket:
    """The client's end. The 101 is immediate; ``opened`` waits for the host. Implements ``Visitor``.

    Attributes:
        can_hibernate: What the host said.
        unacked: Engine indices of the client's messages that a hibernating host has not acknowledged.
        closed: Code and reason once it is over.
    """

    def __init__(
        self,
        port: GatewayPort,
        request_id: RequestId,
        actor: ScriptedActor,
        path: str,
        headers: Mapping[str, str],
    ) -> None:
        self.request_id = request_id
        self.can_hibernate = False
        self.closed: tuple[int, str] | None = None
        self._port = port
        self._actor = actor
        self._open = EngineWebSocketOpen(actor.actor_id, path, dict(headers))
        self._outgoing = Outgoing(request_id)
        self._phase = _Phase.OPENING
        self._openings = 0
        self._attached = False
        self._leaving = EngineWebSocketClose(1000, "")
        self._unsent: deque[WebSocketMessage] = deque()
        self._unacked: deque[tuple[int, WebSocketMessage]] = deque()
        self._frames: deque[SentFrame] = deque()
        self._timer: Timer | None = None
        self._wake = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._phase is _Phase.CLOSED

    @property
    def unacked(self) -> list[int]:
        return [index for index, _ in self._unacked]

    # The client

    async def opened(self) -> None:
        """Wait until the host accepted; returns as well once the socket is closed."""
        while self._phase is _Phase.OPENING:
            await self._changed()

    def send(self, data: bytes | str) -> None:
        """Send a frame; before the host accepted, it waits."""
        text = isinstance(data, str)
        self._unsent.append(WebSocketMessage(data.encode() if isinstance(data, str) else data, not text))
        self._flush()

    async def receive(self) -> SentFrame | None:
        """The next frame of the actor; None once the socket is closed and all were received."""
        while not self._frames:
            if self.closed is not None:
                return None
            await self._changed()
        return self._frames.popleft()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from the client's side."""
        if self.closed is not None:
            return
        self._leaving = EngineWebSocketClose(code, reason)
        self.closed = code, reason
        self._wake.set()
        if self._attached:
            self._send(self._leaving)
            self._finish()
        elif self._phase is _Phase.OPEN and self._hibernates():
            self._phase = _Phase.LEAVING
            self._actor.hibernating.remove(self.request_id)
            self._port.lifecycle.join(self._actor, self)
        else:
            self._finish()

    # The gateway

    def begin(self) -> None:
        self._port.lifecycle.join(self._actor, self)

    def actor_ready(self, actor: ScriptedActor) -> None:
        self._attached = True
        if self._phase is _Phase.OPEN:
            self._resend()
            return
        self._openings += 1
        self._outgoing.next_index = 0
        self._send(self._open)
        self._timer = self._port.clock.call_later(_OPEN_TIMEOUT, self._not_opened)

    def actor_refused(self, failure: GatewayFailure) -> None:
        self._shut(1011, failure.code)

    def actor_ended(self, actor: ScriptedActor, *, lost: bool) -> None:
        self._attached = False
        if self._phase is _Phase.OPENING:
            self._port.lifecycle.join(actor, self)
        elif self._phase is not _Phase.OPEN or not self._hibernates():
            self._shut(1000, "actor.stopped")
        elif self._unacked:
            self._port.lifecycle.join(actor, self)

    def actor_woke(self, actor: ScriptedActor) -> None:
        """The actor runs again for another reason: this hibernating socket is attached to it."""
        if self._phase is _Phase.OPEN and not self._attached and self not in actor.waiting:
            self._port.lifecycle.join(actor, self)

    def take(self, message: ToRivetTunnel) -> None:
        """What the host sent for this socket."""
        match message.kind:
            case HostWebSocketOpen(can_hibernate):
                self._accepted(can_hibernate)
            case WebSocketMessage(data, binary):
                self._arrived(data, binary)
            case WebSocketMessageAck(index):
                while self._unacked and (index - self._unacked[0][0]) % 65_536 < 32_767:
                    self._unacked.popleft()
            case HostWebSocketClose() as close:
                self._closed_by_host(close)
            case _:
                return

    def redeliver(self) -> None:
        """Deliver again what was not acknowledged, as after a wake."""
        self._resend()

    def _accepted(self, can_hibernate: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._phase is _Phase.LEAVING:
            self._send(self._leaving)
            self._finish()
        elif self._phase is _Phase.OPENING:
            self._phase = _Phase.OPEN
            self.can_hibernate = can_hibernate
            if can_hibernate:
                self._actor.hibernating.append(self.request_id)
            self._wake.set()
            self._flush()

    def _arrived(self, data: bytes, binary: bool) -> None:
        if len(data) > self._port.settings.max_response_payload_size:
            self._shut(1009, "")
        elif self._phase is _Phase.OPEN:
            self._frames.append(SentFrame(data, not binary))
            self._wake.set()

    def _closed_by_host(self, close: HostWebSocketClose) -> None:
        if self._phase is _Phase.OPENING:
            self._rejected()
        elif close.hibernate and self.can_hibernate:
            self._resend()  # the actor still runs, so the socket is attached again at once
        else:
            self._send(EngineWebSocketClose(1000, ""))
            self._shut(1000 if close.code is None else close.code, close.reason or "")

    def _rejected(self) -> None:
        """A close before the open is taken for a passing failure."""
        self._port.lifecycle.leave(self._actor, self)
        self._attached = False
        if self._timer is not None:
            self._timer.cancel()
        if self._openings >= _MAX_OPENINGS:
            self._shut(1011, "guard.websocket_closed_before_open")
            return
        delay = _FIRST_RETRY * 2 ** (self._openings - 1)
        self._timer = self._port.clock.call_later(delay, self.begin)

    def _not_opened(self) -> None:
        if self._phase is _Phase.OPENING:
            self._rejected()
        else:
            self._finish()

    def _flush(self) -> None:
        if self._phase is not _Phase.OPEN:
            return
        if not self._attached:
            if self._unsent and self not in self._actor.waiting:
                self._port.lifecycle.join(self._actor, self)
            return
        while self._unsent:
            frame = self._unsent.popleft()
            index = self._send(frame)
            if self.can_hibernate:
                self._unacked.append((index, frame))

    def _resend(self) -> None:
        if self._actor.envoy is not None:
            for index, frame in self._unacked:
                message_id = MessageId(self.request_id.gateway_id, self.request_id.request_id, index)
                self._actor.envoy.tunnel(ToEnvoyTunnel(message_id, frame))
        self._flush()

    def _send(self, kind: ToEnvoyTunnelKind) -> int:
        assert self._actor.envoy is not None
        return self._outgoing.send(self._actor.envoy, kind)

    def _hibernates(self) -> bool:
        return self.can_hibernate and self.request_id in self._actor.hibernating

    def _shut(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason
        self._finish()

    def _finish(self) -> None:
        self._phase = _Phase.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        self._port.lifecycle.leave(self._actor, self)
        if self.request_id in self._actor.hibernating:
            self._actor.hibernating.remove(self.request_id)
        self._wake.set()

    async def _changed(self) -> None:
        self._wake.clear()
        await self._wake.wait()
