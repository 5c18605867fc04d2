"""Clients of actors: over the network, or inside the process that serves them."""

from rivetkit.client._client import Client as Client
from rivetkit.client._connection import ActorConnection as ActorConnection
from rivetkit.client._connection import ConnectionStatus as ConnectionStatus
from rivetkit.client._events import EventStream as EventStream
from rivetkit.client._handle import ActorHandle as ActorHandle
from rivetkit.client._sync import SyncActorConnection as SyncActorConnection
from rivetkit.client._sync import SyncActorHandle as SyncActorHandle
from rivetkit.client._sync import SyncClient as SyncClient
from rivetkit.client._sync import SyncEventStream as SyncEventStream

__all__ = [
    "ActorConnection",
    "ActorHandle",
    "Client",
    "ConnectionStatus",
    "EventStream",
    "SyncActorConnection",
    "SyncActorHandle",
    "SyncClient",
    "SyncEventStream",
]
