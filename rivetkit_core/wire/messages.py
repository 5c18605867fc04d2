"""Messages of the client protocol, version 4, as plain data.

Every payload is one CBOR item in compat form, as bytes: the core passes it on, the typed layer reads it.
``args`` is always a CBOR array.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rivetkit_core.errors import ActorSpecifier

PROTOCOL_VERSION = 4
"""The newest client protocol; 1 to 4 are read."""


class Encoding(enum.StrEnum):
    """How envelopes are written. JSON travels as text, the others as binary."""

    JSON = "json"
    CBOR = "cbor"
    BARE = "bare"


@dataclass(frozen=True, slots=True)
class Init:
    """First message to a client: the connection is open."""

    actor_id: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """A failed action (``action_id`` set), or a failed connection (``action_id`` None)."""

    group: str
    code: str
    message: str
    metadata: bytes | None = None
    action_id: int | None = None
    actor: ActorSpecifier | None = None


@dataclass(frozen=True, slots=True)
class ActionResponse:
    """The result of one action."""

    id: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A broadcast the client subscribed to, or an event sent to it directly."""

    name: str
    args: bytes


ToClient = Init | ErrorMessage | ActionResponse | Event


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """Call an action; exactly one answer with the same id follows."""

    id: int
    name: str
    args: bytes


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """Start or stop receiving an event; never acknowledged."""

    event_name: str
    subscribe: bool


ToServer = ActionRequest | SubscriptionRequest


@dataclass(frozen=True, slots=True)
class QueueSendRequest:
    """Body of ``POST /queue/{name}``; ``timeout`` is in milliseconds."""

    body: bytes
    name: str | None = None
    wait: bool = False
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSendResponse:
    """``status`` is ``completed`` or ``timedOut``."""

    status: str
    response: bytes | None = None


@dataclass(frozen=True, slots=True)
class HttpError:
    """Body of an HTTP error answer."""

    group: str
    code: str
    message: str
    metadata: bytes | None = None
    actor: ActorSpecifier | None = None
