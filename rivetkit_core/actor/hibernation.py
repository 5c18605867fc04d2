"""What outlives a generation of a connection whose websocket its gateway keeps (actor-runtime 9.5).

    SocketKeeper       port: who keeps the websocket, and what its client says, while the actor sleeps
    Hibernation        what one connection needs for that
    ConnectionRecords  which records are to be written with the next save

Invariants
    A record and the state it goes with are captured at once and stored in one write. Where that has no room
    for all of them, the state is stored first: a record is never ahead of the state.
    A client is told that its message arrived when that is stored, not before.
    A connection that leaves takes its record along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rivetkit_core.actor.acknowledgements import Acknowledgements, Delivery
from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.pending import size_of
from rivetkit_core.host.port import WriteLimit
from rivetkit_core.wire.message_index import read_ranges, write_ranges
from rivetkit_core.wire.persisted import ACTOR_KEY, ConnRecord, conn_key, encode_conn

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection

_FINISHED_HEADER = "x-rivetkit-finished"
"""Where a record, whose fields other runtimes know, keeps what was finished out of order."""


class SocketId(NamedTuple):
    """A websocket as its gateway knows it: four bytes each."""

    gateway_id: bytes
    request_id: bytes


@dataclass(frozen=True, slots=True)
class SocketOrigin:
    """The request a websocket began with. ``path`` has its query; header names are lower case."""

    id: SocketId
    path: str
    headers: Mapping[str, str]


class SocketKeeper(Protocol):
    """Port: who keeps a client's websocket while its actor sleeps, and what the client says meanwhile."""

    @property
    def origin(self) -> SocketOrigin: ...

    @property
    def received_index(self) -> int:
        """Number of the client's message that was received last; 0 before the first."""
        ...

    @property
    def next_index(self) -> int:
        """Number of the next message to the client."""
        ...

    def ack(self, index: int) -> None:
        """Everything up to ``index`` need not be delivered again."""
        ...

    def hibernate(self) -> None:
        """Let go: the client stays, and what was not acknowledged comes back to the next generation."""
        ...


@dataclass(slots=True, eq=False)
class Hibernation:
    """What one connection needs to outlive its generation.

    Attributes:
        keeper: None until the websocket of a restored connection is back.
        stored: The record as storage has it.
        recorded: Whether storage has, or may have, a record.
        acked: What the keeper was told last.
    """

    origin: SocketOrigin
    keeper: SocketKeeper | None
    next_index: int = 0
    messages: Acknowledgements = field(default_factory=Acknowledgements)
    stored: bytes | None = None
    recorded: bool = False
    acked: int = 0

    @classmethod
    def of(cls, record: ConnRecord, stored: bytes) -> Hibernation:
        """What an earlier generation left behind."""
        headers = dict(record.request_headers)
        finished = read_ranges(headers.pop(_FINISHED_HEADER, ""))
        origin = SocketOrigin(SocketId(record.gateway_id, record.request_id), record.request_path, headers)
        messages = Acknowledgements(record.server_message_index, finished)
        return cls(origin, None, record.client_message_index, messages, stored, recorded=True)

    def acknowledge(self, completed: int) -> None:
        """Tell the keeper what is stored, unless it knows."""
        if self.keeper is not None and completed != self.acked:
            self.acked = completed
            self.keeper.ack(completed)

    def record(self, conn: Connection, state: bytes) -> ConnRecord:
        """The connection as it is now."""
        messages, headers = self.messages, self.origin.headers
        beyond = messages.beyond
        if beyond:
            headers = {**headers, _FINISHED_HEADER: write_ranges(beyond, messages.completed)}
        if self.keeper is not None:
            self.next_index = self.keeper.next_index
        return ConnRecord(
            id=conn.id,
            parameters=conn.params,
            state=state,
            subscriptions=tuple(sorted(conn.subscriptions)),
            gateway_id=self.origin.id.gateway_id,
            request_id=self.origin.id.request_id,
            server_message_index=messages.completed,
            client_message_index=self.next_index,
            request_path=self.origin.path,
            request_headers=headers,
        )


@dataclass(frozen=True, slots=True)
class _Captured:
    key: bytes
    value: bytes | None
    conn: Connection | None = None
    completed: int = 0


class ConnectionRecords:
    """Puts the records of hibernating connections into the saves of their actor.

    Args:
        request: Asks for a save, an immediate one if told so.
        busy: Whether code is running that may change what it was given before.
        encode: The state of a connection, as CBOR.
        broken: Told of a connection whose state cannot be stored.
    """

    def __init__(
        self,
        *,
        request: Callable[[bool], object],
        busy: Callable[[], bool],
        encode: Callable[[Connection], bytes],
        broken: Callable[[Connection], None],
        log: ActorLog = NO_ACTOR,
    ) -> None:
        self._log = log
        self._request = request
        self._busy = busy
        self._encode = encode
        self._broken = broken
        self._changed: dict[Connection, None] = {}
        self._lent: dict[Connection, None] = {}
        self._gone: dict[bytes, None] = {}
        self._captured: deque[_Captured] = deque()
        self._taken: list[_Captured] = []

    def changed(self, conn: Connection) -> None:
        """Something of a hibernating connection is to be stored with the next save."""
        self._changed[conn] = None
        hibernation = conn.hibernation
        self._request(hibernation is not None and hibernation.messages.is_crowded)

    def lent(self, conn: Connection) -> None:
        """User code was given the state of a hibernating connection, and may change it."""
        self._lent[conn] = None
        self.changed(conn)

    def finished(self, conn: Connection, delivery: Delivery) -> None:
        """A message of a hibernating connection is done with."""
        if conn.hibernation is not None:
            conn.hibernation.messages.finish(delivery)
            self.changed(conn)

    def removed(self, conn: Connection) -> None:
        """A connection is gone, and its record goes too."""
        self._changed.pop(conn, None)
        self._lent.pop(conn, None)
        if conn.hibernation is not None and conn.hibernation.recorded:
            self._gone[conn_key(conn.id)] = None
            self._request(False)

    def forget(self, key: bytes) -> None:
        """A record that belongs to no connection goes."""
        self._gone[key] = None
        self._request(False)

    # --- for the saver --------------------------------------------------------------------------

    def capture(self) -> bool:
        """Take down what changed, as it is at this moment; whether there is anything to store."""
        for conn in tuple(self._changed):
            self._capture(conn)
        self._changed = self._lent if self._busy() else {}
        self._lent = {}
        self._captured.extend(_Captured(key, None) for key in self._gone)
        self._gone = {}
        return bool(self._captured)

    @contextmanager
    def beside(
        self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes], limit: WriteLimit
    ) -> Generator[tuple[dict[bytes, bytes], list[bytes]]]:
        """What fits into a write beside these records, which is made inside; at least one if it is alone."""
        others = [*((key, puts[key]) for key in puts if key != ACTOR_KEY), *((key, None) for key in deletes)]
        used = sum(size_of(key, value) for key, value in others)
        alone = not (puts or deletes)
        taken = self.take(limit.keys - len(others), limit.size - used, at_least=int(alone))
        try:
            yield taken
        except BaseException:
            self.failed()
            raise
        self.stored()

    def take(self, keys: int, size: int, *, at_least: int = 0) -> tuple[dict[bytes, bytes], list[bytes]]:
        """As much of it as fits, as puts and deletes; ``stored`` or ``failed`` must follow."""
        while self._captured and len(self._taken) < keys:
            following = self._captured[0]
            size -= 2 * len(following.key) + len(following.value or b"")
            if size < 0 and len(self._taken) >= at_least:
                break
            self._taken.append(self._captured.popleft())
        puts = {one.key: one.value for one in self._taken if one.value is not None}
        return puts, [one.key for one in self._taken if one.value is None]

    @property
    def is_left(self) -> bool:
        """Whether something that was captured was not taken yet."""
        return bool(self._captured)

    def stored(self) -> None:
        """What was taken is durable."""
        taken, self._taken = self._taken, []
        for one in taken:
            if one.conn is None or one.conn.hibernation is None:
                continue
            hibernation = one.conn.hibernation
            hibernation.stored = one.value
            hibernation.messages.stored(one.completed)
            hibernation.acknowledge(one.completed)

    def failed(self) -> None:
        """What was captured was not stored and is looked at anew for the next save."""
        for one in (*self._taken, *self._captured):
            if one.conn is not None and one.conn.is_open:
                self._changed[one.conn] = None
            else:
                self._gone[one.key] = None
        self._taken = []
        self._captured.clear()

    def capture_later(self, conns: Iterable[Connection]) -> None:
        """Look at all of these with the next save, whether or not anybody said that they changed."""
        self._changed.update(dict.fromkeys(conns))

    def _capture(self, conn: Connection) -> None:
        hibernation = conn.hibernation
        if hibernation is None or not conn.is_open:
            return
        try:
            value = encode_conn(hibernation.record(conn, self._encode(conn)))
        except Exception:  # noqa: BLE001 - user code made it, and the others still have to be stored
            self._log.exception("the state of a connection cannot be stored", extra={"conn_id": conn.id})
            self._broken(conn)
            return
        if value != hibernation.stored:
            hibernation.recorded = True
            self._captured.append(_Captured(conn_key(conn.id), value, conn, hibernation.messages.completed))
