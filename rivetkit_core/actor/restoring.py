"""Connections of earlier generations, until their websockets are back (actor-runtime 3.1 step 6, 9.5).

    adopt      what storage has, and which websockets were kept
    restore    those that were kept are connections again; no connect hook runs
    settle     ``on_disconnect`` for the others, whose clients left meanwhile
    reattach   a websocket is back: what was said to its client since the start goes out

Invariants
    A connection of an earlier generation is restored or settled, never both.
    What cannot be read is not restored: one damaged record must not keep the actor from starting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rivetkit_core.actor.connections import Connection, Connections, ConnectionSink, OutgoingEvent
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.hibernation import Hibernation, SocketId, SocketKeeper
from rivetkit_core.errors import ProtocolError, error
from rivetkit_core.host.port import Records
from rivetkit_core.wire.persisted import ConnRecord, decode_conn


@dataclass(frozen=True, slots=True)
class StoredSocket:
    """Where a kept websocket was left: the last number received, the next to send, and its request."""

    received_index: int
    next_index: int
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class AbsentSink:
    """Holds what is said to a client whose websocket is not back yet, up to ``backlog`` messages."""

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog
        self._events: deque[OutgoingEvent] = deque()
        self._closed: tuple[int, str] | None = None

    def send_event(self, event: OutgoingEvent) -> None:
        if self._closed is not None:
            return
        if len(self._events) >= self._backlog:
            self.close(1011, "actor.overloaded")
        else:
            self._events.append(event)

    def close(self, code: int, reason: str) -> None:
        if self._closed is None:
            self._closed = (code, reason)

    def release(self) -> None:
        self._events.clear()

    def pass_on(self, sink: ConnectionSink) -> None:
        """Say it now."""
        for event in self._events:
            sink.send_event(event)
        if self._closed is not None:
            sink.close(*self._closed)


class RestoredConnections:
    """Takes up what earlier generations left in ``connections``.

    Attributes:
        left: The websockets of those who were gone before the start.
    """

    def __init__(self, connections: Connections, *, backlog: int) -> None:
        self._connections = connections
        self._backlog = backlog
        self._found: list[tuple[ConnRecord, bytes]] = []
        self._live: frozenset[SocketId] = frozenset()
        self._absent: dict[SocketId, tuple[Connection, AbsentSink]] = {}
        self._gone: list[Connection] = []
        self.left: set[SocketId] = set()

    def adopt(self, records: Records, live: Collection[SocketId]) -> None:
        """What storage has, and the websockets that were kept."""
        self._live = frozenset(live)
        for _, value in records:
            try:
                self._found.append((decode_conn(value), value))
            except ProtocolError:
                self._connections.log.exception("the record of a connection cannot be read and is ignored")

    def restore(self, instance: ActorInstance) -> None:
        """Make connections of what was found; the instance has its state."""
        found, self._found = self._found, []
        for record, stored in found:
            hibernation = Hibernation.of(record, stored)
            id = hibernation.origin.id
            sink = AbsentSink(self._backlog)
            conn = Connection(self._connections, record.id, record.parameters, sink, hibernation)
            try:
                instance.restore_conn(conn, record.state)
            except Exception:
                about = {"conn_id": record.id}
                self._connections.log.exception("a connection no longer fits and is dropped", extra=about)
                self._connections.records.removed(conn)
                continue
            if id not in self._live:
                self._gone.append(conn)
                self.left.add(id)
                continue
            conn.subscriptions.update(record.subscriptions)
            self._connections.admit(conn)
            self._absent[id] = (conn, sink)
        self._connections.absent = len(self._absent)

    def settle(self) -> None:
        """Part with those who left while the actor slept."""
        gone, self._gone = self._gone, []
        for conn in gone:
            if self._connections.run_disconnect(conn):
                self._connections.records.removed(conn)

    @property
    def waiting(self) -> Mapping[SocketId, StoredSocket]:
        """Where the websockets that are not back yet were left."""
        return {id: _stored(conn.hibernation) for id, (conn, _) in self._absent.items() if conn.hibernation}

    def reattach(self, keeper: SocketKeeper, sink: ConnectionSink) -> Connection:
        """Give a connection its websocket back.

        Raises:
            RivetError: ``connection.restore_not_found``.
        """
        found = self._absent.pop(keeper.origin.id, None)
        if found is None:
            raise error("connection.restore_not_found")
        conn, absent = found
        assert conn.hibernation is not None
        conn.hibernation.keeper = keeper
        conn.hibernation.acknowledge(conn.hibernation.messages.completed)  # the last one may not have said it
        conn.attach(sink)
        absent.pass_on(sink)
        self._connections.returned()
        return conn


def _stored(hibernation: Hibernation) -> StoredSocket:
    origin = hibernation.origin
    return StoredSocket(hibernation.messages.completed, hibernation.next_index, origin.path, origin.headers)
