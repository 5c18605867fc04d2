"""Messages between a host of actors (an envoy) and the engine, as plain data (envoy-protocol 4).

Names are the protocol's, in snake_case. Times are milliseconds since the Unix epoch. One set of
types serves both wire versions: what version 6 lacks has a default here, or cannot be written for it.

Storage and client traffic have modules of their own; this one is the door to all of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from rivetkit_core.wire.envoy.storage_messages import KvDelete as KvDelete
from rivetkit_core.wire.envoy.storage_messages import KvDeleteDone as KvDeleteDone
from rivetkit_core.wire.envoy.storage_messages import KvDeleteRange as KvDeleteRange
from rivetkit_core.wire.envoy.storage_messages import KvDrop as KvDrop
from rivetkit_core.wire.envoy.storage_messages import KvDropDone as KvDropDone
from rivetkit_core.wire.envoy.storage_messages import KvError as KvError
from rivetkit_core.wire.envoy.storage_messages import KvGet as KvGet
from rivetkit_core.wire.envoy.storage_messages import KvGot as KvGot
from rivetkit_core.wire.envoy.storage_messages import KvList as KvList
from rivetkit_core.wire.envoy.storage_messages import KvListed as KvListed
from rivetkit_core.wire.envoy.storage_messages import KvMetadata as KvMetadata
from rivetkit_core.wire.envoy.storage_messages import KvPut as KvPut
from rivetkit_core.wire.envoy.storage_messages import KvPutDone as KvPutDone
from rivetkit_core.wire.envoy.storage_messages import KvRequest as KvRequest
from rivetkit_core.wire.envoy.storage_messages import KvRequestData as KvRequestData
from rivetkit_core.wire.envoy.storage_messages import KvResponse as KvResponse
from rivetkit_core.wire.envoy.storage_messages import KvResponseData as KvResponseData
from rivetkit_core.wire.envoy.storage_messages import ListAll as ListAll
from rivetkit_core.wire.envoy.storage_messages import ListPrefix as ListPrefix
from rivetkit_core.wire.envoy.storage_messages import ListRange as ListRange
from rivetkit_core.wire.envoy.storage_messages import SqlError as SqlError
from rivetkit_core.wire.envoy.storage_messages import SqlExec as SqlExec
from rivetkit_core.wire.envoy.storage_messages import SqlExecResponse as SqlExecResponse
from rivetkit_core.wire.envoy.storage_messages import SqlExecute as SqlExecute
from rivetkit_core.wire.envoy.storage_messages import SqlExecuteBatch as SqlExecuteBatch
from rivetkit_core.wire.envoy.storage_messages import SqlExecuteBatchResponse as SqlExecuteBatchResponse
from rivetkit_core.wire.envoy.storage_messages import SqlExecuteResponse as SqlExecuteResponse
from rivetkit_core.wire.envoy.storage_messages import SqlResult as SqlResult
from rivetkit_core.wire.envoy.storage_messages import SqlScriptResult as SqlScriptResult
from rivetkit_core.wire.envoy.storage_messages import SqlStatement as SqlStatement
from rivetkit_core.wire.envoy.storage_messages import SqlValue as SqlValue
from rivetkit_core.wire.envoy.tunnel_messages import AbortKind as AbortKind
from rivetkit_core.wire.envoy.tunnel_messages import AbortReason as AbortReason
from rivetkit_core.wire.envoy.tunnel_messages import EngineWebSocketClose as EngineWebSocketClose
from rivetkit_core.wire.envoy.tunnel_messages import EngineWebSocketOpen as EngineWebSocketOpen
from rivetkit_core.wire.envoy.tunnel_messages import HostWebSocketClose as HostWebSocketClose
from rivetkit_core.wire.envoy.tunnel_messages import HostWebSocketOpen as HostWebSocketOpen
from rivetkit_core.wire.envoy.tunnel_messages import MessageId as MessageId
from rivetkit_core.wire.envoy.tunnel_messages import RequestAbort as RequestAbort
from rivetkit_core.wire.envoy.tunnel_messages import RequestBodyCancel as RequestBodyCancel
from rivetkit_core.wire.envoy.tunnel_messages import RequestBodyWindowUpdate as RequestBodyWindowUpdate
from rivetkit_core.wire.envoy.tunnel_messages import RequestChunk as RequestChunk
from rivetkit_core.wire.envoy.tunnel_messages import RequestId as RequestId
from rivetkit_core.wire.envoy.tunnel_messages import RequestStart as RequestStart
from rivetkit_core.wire.envoy.tunnel_messages import ResponseAbort as ResponseAbort
from rivetkit_core.wire.envoy.tunnel_messages import ResponseBodyWindowUpdate as ResponseBodyWindowUpdate
from rivetkit_core.wire.envoy.tunnel_messages import ResponseChunk as ResponseChunk
from rivetkit_core.wire.envoy.tunnel_messages import ResponseStart as ResponseStart
from rivetkit_core.wire.envoy.tunnel_messages import ToEnvoyTunnel as ToEnvoyTunnel
from rivetkit_core.wire.envoy.tunnel_messages import ToEnvoyTunnelKind as ToEnvoyTunnelKind
from rivetkit_core.wire.envoy.tunnel_messages import ToRivetTunnel as ToRivetTunnel
from rivetkit_core.wire.envoy.tunnel_messages import ToRivetTunnelKind as ToRivetTunnelKind
from rivetkit_core.wire.envoy.tunnel_messages import WebSocketMessage as WebSocketMessage
from rivetkit_core.wire.envoy.tunnel_messages import WebSocketMessageAck as WebSocketMessageAck

# --- shared -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position in the commands or events of one generation."""

    actor_id: str
    generation: int
    index: int


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
class Ping:
    ts: int


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
