"""Clients: typed access to actors in Python and in every other language."""

from rivetkit.client._access import network_access as network_access
from rivetkit.client._client import Client as Client
from rivetkit.client._connection import ActorConnection as ActorConnection
from rivetkit.client._fetching import FetchOptions as FetchOptions
from rivetkit.client._handle import ActorHandle as ActorHandle
from rivetkit.client._status import ConnectionStatus as ConnectionStatus
from rivetkit.client._streams import EventStream as EventStream
from rivetkit.client._streams import WhenFull as WhenFull
from rivetkit.client._sync import SyncClient as SyncClient
from rivetkit.client._sync_connection import SyncActorConnection as SyncActorConnection
from rivetkit.client._sync_connection import SyncActorHandle as SyncActorHandle
from rivetkit.client._sync_connection import SyncEventStream as SyncEventStream
from rivetkit.client._sync_web import SyncActorWebSocket as SyncActorWebSocket
from rivetkit.client._websocket import ActorWebSocket as ActorWebSocket
from rivetkit.client._websocket import WebSocketClosed as WebSocketClosed

__all__ = [
    "ActorConnection",
    "ActorHandle",
    "ActorWebSocket",
    "Client",
    "ConnectionStatus",
    "EventStream",
    "FetchOptions",
    "SyncActorConnection",
    "SyncActorHandle",
    "SyncActorWebSocket",
    "SyncClient",
    "SyncEventStream",
    "WebSocketClosed",
    "WhenFull",
    "network_access",
]
