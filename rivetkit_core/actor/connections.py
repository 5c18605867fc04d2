"""Connections of one actor, and the events they receive (actor-runtime 9).

Invariants
    A connection is visible in ``Connections`` only after ``on_before_connect`` agreed, and leaves it once:
    whoever removes it runs ``on_disconnect``, everybody else finds nothing to do.
    A refused connection never sees ``on_disconnect``.
    Events reach one connection in the order they were sent.
    A connection whose websocket is kept for the next generation leaves this one without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from rivetkit_core.actor.acknowledgements import Delivery
from rivetkit_core.actor.budget import bounded
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.actor.hibernation import ConnectionRecords, Hibernation, SocketKeeper
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import Entropy, new_uuid
from rivetkit_core.errors import RivetError, error
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.cbor import NULL
from rivetkit_core.wire.messages import Event

_PREFLIGHT = frozenset({"on_before_connect", "create_conn_state"})


class OutgoingEvent:
    """One event on its way to many connections; each encoding of it is made once.

    ``encoded`` belongs to the sinks: whatever they key it by, the first one pays.
    """

    __slots__ = ("encoded", "message")

    def __init__(self, message: Event) -> None:
        self.message = message
        self.encoded: dict[object, bytes] = {}


class ConnectionSink(Protocol):
    """Where a connection's messages go. Implementations queue and never wait."""

    def send_event(self, event: OutgoingEvent) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """End the transport; it may still deliver what was queued before."""
        ...

    def release(self) -> None:
        """Let go of a websocket that is kept for the next generation, after what was queued before."""
        ...


class Connection:
    """One caller: a socket for as long as it is open, or a single HTTP call.

    Attributes:
        id: UUIDv4.
        params: Connection parameters as CBOR; ``NULL`` when there are none.
        attachment: The instance's own object for this connection.
        hibernation: What it needs to outlive this generation; None if it cannot.
    """

    def __init__(
        self,
        owner: Connections,
        id: str,
        params: bytes,
        sink: ConnectionSink | None,
        hibernation: Hibernation | None = None,
    ) -> None:
        self.id = id
        self.params = params
        self.hibernation = hibernation
        self.attachment: object = None
        self.subscriptions: set[str] = set()
        self._owner = owner
        self._sink = sink

    @property
    def is_open(self) -> bool:
        return self._owner.get(self.id) is self

    def lend_state(self) -> None:
        """User code gets this connection's state, or has set it, so that it may have to be stored."""
        if self.hibernation is not None and self.is_open:
            self._owner.records.lent(self)

    def finish(self, delivery: Delivery) -> None:
        """A message of a hibernating connection is done with: its answer is on the way."""
        self._owner.records.finished(self, delivery)

    def attach(self, sink: ConnectionSink) -> None:
        """Speak to this transport from now on."""
        self._sink = sink

    def release(self) -> None:
        """Let go of the transport without closing it."""
        if self._sink is not None:
            self._sink.release()

    def send(self, event: str, args: bytes) -> None:
        """Send one event to this connection alone, subscribed or not. Ignored when it has no socket."""
        outgoing = OutgoingEvent(Event(event, args))
        self._owner.outbox.post(lambda: self.deliver(outgoing))

    def deliver(self, event: OutgoingEvent) -> None:
        """Hand an event to the transport now; what goes wrong there is logged."""
        if self._sink is None:
            return
        try:
            self._sink.send_event(event)
        except Exception:  # one broken transport must not keep the others from their messages
            self._owner.log.exception("an event could not be handed over")

    async def disconnect(self, reason: str | None = None) -> None:
        """Close the connection (1000) and let ``on_disconnect`` run. Idempotent."""
        await self._owner.outbox.settled()
        self.close(1000, reason or "")

    def close(self, code: int, reason: str) -> None:
        """Close at once with a websocket code; the managed part follows in the background. Idempotent."""
        sink, self._sink = self._sink, None
        try:
            if sink is not None:
                sink.close(code, reason)
        finally:
            self._owner.remove(self)


class Connections(Mapping[str, Connection]):
    """The open connections by id, and who subscribed to what.

    Attributes:
        sockets_stay: Whether the websockets that could outlive this generation will.
        absent: How many restored connections wait for their websockets.
    """

    def __init__(
        self,
        *,
        instance: Callable[[], ActorInstance],
        config: ActorConfig,
        clock: Clock,
        entropy: Entropy,
        work: WorkRegistry,
        outbox: Outbox,
        touched: Callable[[], None],
        emptied: Callable[[], None],
        records: ConnectionRecords,
        metrics: Recorder,
    ) -> None:
        self._instance = instance
        self._config = config
        self._clock = clock
        self._entropy = entropy
        self._work = work
        self.log = work.log
        self.outbox = outbox
        self._touched = touched
        self._emptied = emptied
        self.records = records
        self.sockets_stay = True
        self.absent = 0
        self._hibernating = 0
        self._metrics = metrics
        self._open: dict[str, Connection] = {}
        self._subscribers: dict[str, dict[str, Connection]] = {}

    def __getitem__(self, conn_id: str) -> Connection:
        return self._open[conn_id]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    @property
    def keeping_awake(self) -> int:
        """How many connections could not outlive this generation, or have not come back from the last one."""
        if self._config.hibernatable_conns_block_sleep:
            return len(self._open)
        return len(self._open) - self._hibernating + self.absent

    @property
    def leaving(self) -> list[Connection]:
        """Those that have to be closed before this generation can end."""
        return [conn for conn in self._open.values() if conn.hibernation is None or not self.sockets_stay]

    async def open(
        self, params: bytes | None, sink: ConnectionSink | None, keeper: SocketKeeper | None = None
    ) -> Connection:
        """Ask the hooks and admit a connection (steps 3 to 8 of 9.2).

        ``keeper``: keeps its websocket while the actor sleeps.

        Raises:
            RivetError: A hook refused or took too long; the connection never existed.
        """
        hibernation = None if keeper is None else Hibernation(keeper.origin, keeper)
        given = NULL if params is None else params
        conn = Connection(self, new_uuid(self._entropy), given, sink, hibernation)
        instance, config = self._instance(), self._config
        hooks = instance.connection_hooks
        try:
            if hooks.isdisjoint(_PREFLIGHT):
                await instance.before_connect(conn)
            else:
                budget = config.on_before_connect_timeout + config.create_conn_state_timeout
                await bounded(self._clock, "on_before_connect", budget, self._preflight(instance, conn))
            self.admit(conn)
            if "on_connect" in hooks:
                await self._connected(instance, conn)
        finally:
            self._touched()
        if not conn.is_open:
            raise error("actor.aborted", "The connection was closed while it was being set up")
        if hibernation is not None:
            self.records.changed(conn)
        self._metrics.count("connections_total")
        self._log_change("connection added", conn)
        return conn

    def admit(self, conn: Connection) -> None:
        """Make a connection visible, with its subscriptions."""
        self._open[conn.id] = conn
        self._hibernating += conn.hibernation is not None
        for event in conn.subscriptions:
            self._subscribers.setdefault(event, {})[conn.id] = conn

    def returned(self) -> None:
        """The websocket of a restored connection is back."""
        self.absent -= 1
        if not self.keeping_awake:
            self._emptied()

    def remove(self, conn: Connection) -> None:
        """Take a connection out and run ``on_disconnect`` in the background. Idempotent."""
        if self._forget(conn) and self.run_disconnect(conn):
            self.records.removed(conn)

    def run_disconnect(self, conn: Connection) -> bool:
        """Run ``on_disconnect`` in the background for a connection that is out; False if that is too late.

        Shutdown disconnects everybody itself before. A hibernating connection that goes even later is left
        to the next generation.
        """
        if "on_disconnect" in self._instance().connection_hooks:
            try:
                self._work.spawn(WorkKind.DISCONNECT, self._disconnected(conn))
            except RivetError:
                return False
        return True

    def subscribe(self, conn: Connection, event: str) -> None:
        """Deliver broadcasts of ``event`` to this connection. Idempotent."""
        if event in conn.subscriptions:
            return
        conn.subscriptions.add(event)
        self._subscribers.setdefault(event, {})[conn.id] = conn
        if conn.hibernation is not None:
            self.records.changed(conn)

    def unsubscribe(self, conn: Connection, event: str) -> None:
        """Stop delivering ``event``. Idempotent."""
        conn.subscriptions.discard(event)
        self._no_longer_deliver(conn, event)
        if conn.hibernation is not None:
            self.records.changed(conn)

    def _no_longer_deliver(self, conn: Connection, event: str) -> None:
        subscribers = self._subscribers.get(event)
        if subscribers is not None:
            subscribers.pop(conn.id, None)
            if not subscribers:
                del self._subscribers[event]

    def broadcast(self, event: str, args: bytes) -> None:
        """Send to whoever is subscribed when the event leaves. Never waits, never raises."""
        if event in self._subscribers or self.outbox.gated:
            outgoing = OutgoingEvent(Event(event, args))
            self.outbox.post(lambda: self._deliver(outgoing))

    def close_leaving(self, code: int, reason: str) -> None:
        """Close every connection that does not outlive this generation; what cannot be closed is logged."""
        for conn in self.leaving:
            try:
                conn.close(code, reason)
            except Exception:  # one broken transport must not keep the others open
                self.log.exception("a connection could not be closed")

    def release(self) -> None:
        """Leave the others to the next generation, which finds them in storage."""
        for conn in tuple(self._open.values()):
            self._take_out(conn)
            conn.release()

    def _deliver(self, event: OutgoingEvent) -> None:
        for conn in tuple(self._subscribers.get(event.message.name, {}).values()):
            conn.deliver(event)

    async def _preflight(self, instance: ActorInstance, conn: Connection) -> None:
        await instance.before_connect(conn)
        await instance.create_conn_state(conn)

    async def _connected(self, instance: ActorInstance, conn: Connection) -> None:
        try:
            hook = instance.on_connect(conn)
            await bounded(self._clock, "on_connect", self._config.on_connect_timeout, hook)
        except BaseException:
            if self._forget(conn):
                self.records.removed(conn)
            raise

    async def _disconnected(self, conn: Connection) -> None:
        try:
            with self.outbox.durability(None):
                hook = self._instance().on_disconnect(conn)
                await bounded(self._clock, "on_disconnect", self._config.on_connect_timeout, hook)
        finally:
            self._touched()

    def _forget(self, conn: Connection) -> bool:
        if self._open.get(conn.id) is not conn:
            return False
        self._take_out(conn)
        conn.subscriptions.clear()
        self._log_change("connection removed", conn)
        if not self.keeping_awake:
            self._emptied()
        return True

    def _take_out(self, conn: Connection) -> None:
        del self._open[conn.id]
        self._hibernating -= conn.hibernation is not None
        for event in conn.subscriptions:
            self._no_longer_deliver(conn, event)

    def _log_change(self, message: str, conn: Connection) -> None:
        if self.log.verbose:
            self.log.debug(message, extra={"conn_id": conn.id, "connections": len(self._open)})
