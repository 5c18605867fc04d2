"""What storage has of one actor, and what waits to be stored with it.

Invariants
    One write stores the state, one-shots, ``pending`` records, statements in ``sql`` and what fits of the
    records of hibernating connections; the rest of those follows.
    What a failed write took waits again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from rivetkit_core.actor.hibernation import ConnectionRecords
from rivetkit_core.actor.pending import PendingRecords
from rivetkit_core.actor.save_report import SaveReport
from rivetkit_core.actor.waiting import WaitingSql
from rivetkit_core.clock import Clock
from rivetkit_core.errors import error
from rivetkit_core.host.port import ActorStorage, WriteLimit
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, ScheduleEvent, encode_actor

_Apply = Callable[[Mapping[bytes, bytes], Sequence[bytes]], Awaitable[None]]


class Snapshot:
    """The record of one actor. The saver writes it, one write at a time.

    Attributes:
        record: As storage has it.
        events: The one-shots as the actor's code knows them: some may wait for a write.
        connections: Whose records are written too.
    """

    def __init__(
        self,
        storage: ActorStorage,
        *,
        clock: Clock,
        sql: WaitingSql,
        limit: WriteLimit | None,
        report: SaveReport,
    ) -> None:
        self.record = ActorRecord(input=None, has_initialized=False, state=b"")
        self.events: tuple[ScheduleEvent, ...] = self.record.scheduled_events
        self.pending = PendingRecords(limit)
        self.sql = sql
        self.connections: ConnectionRecords | None = None
        self._storage = storage
        self._clock = clock
        self._report = report
        self._lost = False

    def adopt(self, record: ActorRecord) -> None:
        """Start from a record that storage already holds."""
        self.record, self.events = record, record.scheduled_events
        self._report.adopted(record)

    @property
    def waits(self) -> bool:
        """Whether something waits for the next write, whatever the state is."""
        moved = self.events is not self.record.scheduled_events
        return moved or bool(self.pending) or self.sql.has_effects

    def lose(self) -> None:
        """Never store anything again."""
        self._lost = True

    async def store(self, record: ActorRecord, revision: int) -> None:
        """Write a record and everything that waits.

        Raises:
            StorageError: Nothing was written.
        """
        if self._lost:
            raise error("storage.unavailable")
        puts, deletes = self.pending.take()
        if record != self.record:
            puts[ACTOR_KEY] = encode_actor(record)
        apply = self.sql.commit if self.sql.has_effects else self._storage.apply
        began = self._clock.monotonic()
        try:
            stored = await self._apply(apply, puts, deletes)
        except BaseException:
            self.pending.failed()
            self._report.failed(self._clock.monotonic() - began)
            raise
        if record.has_initialized and not self.record.has_initialized:
            self._report.initialized()
        self.record = record
        self.pending.stored()
        while self.connections is not None and self.connections.is_left:
            await self._apply(self._storage.apply, {}, [])
        self._report.written(record, stored, revision, self._clock.monotonic() - began)

    async def _apply(self, apply: _Apply, puts: dict[bytes, bytes], deletes: list[bytes]) -> int:
        """Write these records, and those of connections that fit beside them; returns how many."""
        if self.connections is None:
            await apply(puts, deletes)
            return len(puts) + len(deletes)
        with self.connections.beside(puts, deletes, self.pending.limit) as (more_puts, more_deletes):
            await apply({**puts, **more_puts}, [*deletes, *more_deletes])
            return len(puts) + len(deletes) + len(more_puts) + len(more_deletes)
