"""Client traffic over the envoy protocol (envoy-protocol 4.4, 6)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class AbortKind(enum.IntEnum):
    UNKNOWN = 0
    CANCELLED = 1
    HANDLER_ERROR = 2
    INTERNAL_ERROR = 3


class MessageId(NamedTuple):
    """Which client request a tunnel message belongs to, and its place in that request's stream."""

    gateway_id: bytes
    request_id: bytes
    message_index: int


class RequestId(NamedTuple):
    """One client request or websocket: four bytes each. A tuple, as it is hashed for every message."""

    gateway_id: bytes
    request_id: bytes


@dataclass(frozen=True, slots=True)
class AbortReason:
    kind: AbortKind = AbortKind.UNKNOWN
    detail: str | None = None


# --- tunnel, host to engine -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResponseStart:
    """The head of a response; with ``stream``, chunks follow."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ResponseChunk:
    body: bytes
    finish: bool


@dataclass(frozen=True, slots=True)
class ResponseAbort:
    """The response cannot go on. Version 6 does not carry the reason."""

    reason: AbortReason = AbortReason()


@dataclass(frozen=True, slots=True)
class RequestBodyWindowUpdate:
    """How many bytes of the body the handler took so far, in all. Not in version 6."""

    consumed_bytes: int


@dataclass(frozen=True, slots=True)
class RequestBodyCancel:
    """The host reads no more of the body; the engine confirms with the same message. Not in version 6."""


@dataclass(frozen=True, slots=True)
class HostWebSocketOpen:
    """The websocket is accepted; only now the client's messages flow."""

    can_hibernate: bool


@dataclass(frozen=True, slots=True)
class WebSocketMessage:
    """A frame, in either direction; text is UTF-8 with ``binary`` false."""

    data: bytes
    binary: bool


@dataclass(frozen=True, slots=True)
class WebSocketMessageAck:
    """The effects of every message up to ``index`` are durable."""

    index: int


@dataclass(frozen=True, slots=True)
class HostWebSocketClose:
    """Close the client's websocket, or with ``hibernate`` only let go of it."""

    code: int | None = None
    reason: str | None = None
    hibernate: bool = False


ToRivetTunnelKind = (
    ResponseStart
    | ResponseChunk
    | ResponseAbort
    | RequestBodyWindowUpdate
    | RequestBodyCancel
    | HostWebSocketOpen
    | WebSocketMessage
    | WebSocketMessageAck
    | HostWebSocketClose
)


@dataclass(frozen=True, slots=True)
class ToRivetTunnel:
    message_id: MessageId
    kind: ToRivetTunnelKind


# --- tunnel, engine to host -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestStart:
    """A client's request. ``actor_generation`` is set by the streaming gateway, and then binding.

    Header names are lower case, with one value each. With ``stream`` the body follows in chunks.
    """

    actor_id: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    stream: bool = False
    actor_generation: int | None = None
    response_stream: bool = False


@dataclass(frozen=True, slots=True)
class RequestChunk:
    body: bytes
    finish: bool


@dataclass(frozen=True, slots=True)
class RequestAbort:
    """The client is gone, or the engine gave up."""

    actor_id: str | None = None
    actor_generation: int | None = None
    reason: AbortReason = AbortReason()


@dataclass(frozen=True, slots=True)
class ResponseBodyWindowUpdate:
    """How many bytes of the response the client took so far, in all."""

    consumed_bytes: int


@dataclass(frozen=True, slots=True)
class EngineWebSocketOpen:
    actor_id: str
    path: str
    headers: Mapping[str, str]
    actor_generation: int | None = None


@dataclass(frozen=True, slots=True)
class EngineWebSocketClose:
    code: int | None = None
    reason: str | None = None


ToEnvoyTunnelKind = (
    RequestStart
    | RequestChunk
    | RequestAbort
    | RequestBodyCancel
    | ResponseBodyWindowUpdate
    | EngineWebSocketOpen
    | WebSocketMessage
    | EngineWebSocketClose
)


@dataclass(frozen=True, slots=True)
class ToEnvoyTunnel:
    message_id: MessageId
    kind: ToEnvoyTunnelKind
