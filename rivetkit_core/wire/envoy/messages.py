"""Messages between a host of actors (an envoy) and the engine, as plain data (envoy-protocol 4).

Names are the protocol's, in snake_case. Times are milliseconds since the Unix epoch. One set of
types serves both wire versions: what version 6 lacks has a default here, or cannot be written for it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

# --- shared -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position in the commands or events of one generation."""

    actor_id: str
    generation: int
    index: int


@dataclass(frozen=True, slots=True)
class MessageId:
    """Which client request a tunnel message belongs to, and its place in that request's stream."""

    gateway_id: bytes
    request_id: bytes
    message_index: int


@dataclass(frozen=True, slots=True)
class RequestId:
    """One client request or websocket: four bytes each."""

    gateway_id: bytes
    request_id: bytes


class AbortKind(enum.IntEnum):
    UNKNOWN = 0
    CANCELLED = 1
    HANDLER_ERROR = 2
    INTERNAL_ERROR = 3


@dataclass(frozen=True, slots=True)
class AbortReason:
    kind: AbortKind = AbortKind.UNKNOWN
    detail: str | None = None


# --- lifecycle --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SleepIntent:
    """The actor wants to sleep; the engine answers with a stop command."""


@dataclass(frozen=True, slots=True)
class StopIntent:
    """The actor wants to be destroyed; the engine answers with a stop command."""


@dataclass(frozen=True, slots=True)
class Running:
    """The generation takes requests."""


class StopCode(enum.IntEnum):
    OK = 0
    ERROR = 1


@dataclass(frozen=True, slots=True)
class Stopped:
    """The generation has ended. OK without a stop command destroys the actor."""

    code: StopCode
    message: str | None = None


@dataclass(frozen=True, slots=True)
class SetAlarm:
    """When to wake the actor if it sleeps; None clears the alarm."""

    alarm_ts: int | None


ActorEvent = SleepIntent | StopIntent | Running | Stopped | SetAlarm


@dataclass(frozen=True, slots=True)
class EventEntry:
    checkpoint: Checkpoint
    event: ActorEvent


class StopReason(enum.IntEnum):
    SLEEP_INTENT = 0
    STOP_INTENT = 1
    DESTROY = 2
    GOING_AWAY = 3
    LOST = 4


@dataclass(frozen=True, slots=True)
class KvMetadata:
    version: bytes
    update_ts: int


@dataclass(frozen=True, slots=True)
class PreloadedEntry:
    key: bytes
    value: bytes
    metadata: KvMetadata


@dataclass(frozen=True, slots=True)
class PreloadedKv:
    """Records that came with a start: complete for the keys and prefixes it names (actor-runtime 2.4)."""

    entries: tuple[PreloadedEntry, ...] = ()
    requested_get_keys: tuple[bytes, ...] = ()
    requested_prefixes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StartActor:
    """Start a generation. ``create_ts`` is the time of this allocation; ``input`` is repeated every time."""

    name: str
    key: str | None
    create_ts: int
    input: bytes | None = None
    hibernating_requests: tuple[RequestId, ...] = ()
    preloaded_kv: PreloadedKv | None = None


@dataclass(frozen=True, slots=True)
class StopActor:
    reason: StopReason


Command = StartActor | StopActor


@dataclass(frozen=True, slots=True)
class CommandEntry:
    checkpoint: Checkpoint
    command: Command


# --- key-value storage ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KvGet:
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListAll:
    """Every key."""


@dataclass(frozen=True, slots=True)
class ListRange:
    """From ``start`` to ``end``; ``exclusive`` says whether ``end`` itself is left out."""

    start: bytes
    end: bytes
    exclusive: bool


@dataclass(frozen=True, slots=True)
class ListPrefix:
    key: bytes


@dataclass(frozen=True, slots=True)
class KvList:
    query: ListAll | ListRange | ListPrefix
    reverse: bool | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class KvPut:
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KvDelete:
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KvDeleteRange:
    """Delete from ``start`` up to, not including, ``end``."""

    start: bytes
    end: bytes


@dataclass(frozen=True, slots=True)
class KvDrop:
    """Delete everything."""


KvRequestData = KvGet | KvList | KvPut | KvDelete | KvDeleteRange | KvDrop


@dataclass(frozen=True, slots=True)
class KvError:
    message: str


@dataclass(frozen=True, slots=True)
class KvGot:
    """Existing keys only, in the order of the request; the three run in parallel."""

    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    metadata: tuple[KvMetadata, ...]


@dataclass(frozen=True, slots=True)
class KvListed:
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    metadata: tuple[KvMetadata, ...]


@dataclass(frozen=True, slots=True)
class KvPutDone:
    pass


@dataclass(frozen=True, slots=True)
class KvDeleteDone:
    pass


@dataclass(frozen=True, slots=True)
class KvDropDone:
    pass


KvResponseData = KvError | KvGot | KvListed | KvPutDone | KvDeleteDone | KvDropDone

# --- remote SQLite ----------------------------------------------------------------------------------

SqlValue = int | float | str | bytes | None
"""What a parameter or a column may be. ``bool`` is written as an integer."""


@dataclass(frozen=True, slots=True)
class SqlStatement:
    sql: str
    params: tuple[SqlValue, ...] | None = None


@dataclass(frozen=True, slots=True)
class SqlResult:
    """``changes`` and ``last_insert_row_id`` mirror the connection's counters."""

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...]
    changes: int = 0
    last_insert_row_id: int | None = None


@dataclass(frozen=True, slots=True)
class SqlScriptResult:
    """The rows of the last statement that had any."""

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...]


@dataclass(frozen=True, slots=True)
class SqlError:
    group: str
    code: str
    message: str


# --- host to engine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metadata:
    """The first message of a connection. Values are JSON objects as text."""

    prepopulate_actor_names: Mapping[str, str] | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Events:
    entries: tuple[EventEntry, ...]


@dataclass(frozen=True, slots=True)
class AckCommands:
    last_command_checkpoints: tuple[Checkpoint, ...]


@dataclass(frozen=True, slots=True)
class Stopping:
    """Take nothing new to this envoy, and move its actors away."""


@dataclass(frozen=True, slots=True)
class Pong:
    ts: int


@dataclass(frozen=True, slots=True)
class KvRequest:
    actor_id: str
    request_id: int
    data: KvRequestData


@dataclass(frozen=True, slots=True)
class SqlExec:
    """Run a script without parameters. ``namespace`` is the name, not the id."""

    request_id: int
    namespace: str
    actor_id: str
    generation: int
    sql: str


@dataclass(frozen=True, slots=True)
class SqlExecute:
    request_id: int
    namespace: str
    actor_id: str
    generation: int
    statement: SqlStatement


@dataclass(frozen=True, slots=True)
class SqlExecuteBatch:
    """Run statements in one transaction."""

    request_id: int
    namespace: str
    actor_id: str
    generation: int
    statements: tuple[SqlStatement, ...]


# --- engine to host ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvoyInit:
    """The engine took the connection. Thresholds are milliseconds, the size is bytes."""

    envoy_lost_threshold: int
    actor_stop_threshold: int
    max_response_payload_size: int


@dataclass(frozen=True, slots=True)
class Commands:
    entries: tuple[CommandEntry, ...]


@dataclass(frozen=True, slots=True)
class AckEvents:
    last_event_checkpoints: tuple[Checkpoint, ...]


@dataclass(frozen=True, slots=True)
class KvResponse:
    request_id: int
    data: KvResponseData


@dataclass(frozen=True, slots=True)
class Ping:
    ts: int


@dataclass(frozen=True, slots=True)
class SqlExecResponse:
    request_id: int
    result: SqlScriptResult | SqlError


@dataclass(frozen=True, slots=True)
class SqlExecuteResponse:
    request_id: int
    result: SqlResult | SqlError


@dataclass(frozen=True, slots=True)
class SqlExecuteBatchResponse:
    request_id: int
    result: tuple[SqlResult, ...] | SqlError


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


ToRivet = (
    Metadata
    | Events
    | AckCommands
    | Stopping
    | Pong
    | KvRequest
    | ToRivetTunnel
    | SqlExec
    | SqlExecute
    | SqlExecuteBatch
)
"""Every message of a host that this library sends; the page protocol of SQLite (7.4) is left out."""

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


ToEnvoy = (
    EnvoyInit
    | Commands
    | AckEvents
    | KvResponse
    | ToEnvoyTunnel
    | Ping
    | SqlExecResponse
    | SqlExecuteResponse
    | SqlExecuteBatchResponse
)
"""Every message of the engine that this library reads."""
