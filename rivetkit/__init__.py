"""Durable, addressable, realtime actors from annotated Python classes."""

from __future__ import annotations

from rivetkit._action import Action, action
from rivetkit._action_group import ActionGroup
from rivetkit._actor import Actor, ActorOptions, actor
from rivetkit._authoring import InvalidActor
from rivetkit._connection import Conn
from rivetkit._context import Context
from rivetkit._contract import Contract
from rivetkit._cron import Cron, RecurringAction, ScheduledRun
from rivetkit._database import Database, Transaction
from rivetkit._event import Emitter, Event
from rivetkit._job import Job, QueueRef, Sent
from rivetkit._kv import Kv
from rivetkit._local_queue import ContextQueue, LocalQueue
from rivetkit._queue import Queue
from rivetkit._queue_options import Deduplicate, Retry
from rivetkit._references import ActionRef, EventRef, InitialRef, Input, Ref
from rivetkit._registry import Registry
from rivetkit._resource import Resource, resource
from rivetkit._rows import Result, Row
from rivetkit._schedule import Retries, Schedule, ScheduledAction, ScheduledFire
from rivetkit._state import Initial, create_state
from rivetkit._state_versions import migrate_state
from rivetkit._stub import LiveStub, NotConnected, RemoteQueue, Stub, Subscription
from rivetkit.client import (
    ActorConnection,
    ActorHandle,
    ActorWebSocket,
    Client,
    ConnectionStatus,
    EventStream,
    FetchOptions,
    SyncActorConnection,
    SyncActorHandle,
    SyncActorWebSocket,
    SyncClient,
    SyncEventStream,
    WebSocketClosed,
)
from rivetkit_core.actor.abort import AbortSignal
from rivetkit_core.errors import (
    ActionTimedOut,
    ActorNotFound,
    ConnectionLost,
    Forbidden,
    Overloaded,
    RivetError,
    StorageError,
    UserError,
    ValidationError,
)
from rivetkit_core.host.web.server import ServeError

__all__ = [
    "AbortSignal",
    "Action",
    "ActionGroup",
    "ActionRef",
    "ActionTimedOut",
    "Actor",
    "ActorConnection",
    "ActorHandle",
    "ActorNotFound",
    "ActorOptions",
    "ActorWebSocket",
    "Client",
    "Conn",
    "ConnectionLost",
    "ConnectionStatus",
    "Context",
    "ContextQueue",
    "Contract",
    "Cron",
    "Database",
    "Deduplicate",
    "Emitter",
    "Event",
    "EventRef",
    "EventStream",
    "FetchOptions",
    "Forbidden",
    "Initial",
    "InitialRef",
    "Input",
    "InvalidActor",
    "Job",
    "Kv",
    "LiveStub",
    "LocalQueue",
    "NotConnected",
    "Overloaded",
    "Queue",
    "QueueRef",
    "RecurringAction",
    "Ref",
    "Registry",
    "RemoteQueue",
    "Resource",
    "Result",
    "Retries",
    "Retry",
    "RivetError",
    "Row",
    "Schedule",
    "ScheduledAction",
    "ScheduledFire",
    "ScheduledRun",
    "Sent",
    "ServeError",
    "StorageError",
    "Stub",
    "Subscription",
    "SyncActorConnection",
    "SyncActorHandle",
    "SyncActorWebSocket",
    "SyncClient",
    "SyncEventStream",
    "Transaction",
    "UserError",
    "ValidationError",
    "WebSocketClosed",
    "action",
    "actor",
    "create_state",
    "migrate_state",
    "resource",
]
