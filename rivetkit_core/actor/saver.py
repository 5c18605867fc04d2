"""Writes one actor's snapshot: when, and only if its bytes changed (actor-runtime 2.5).

What strict code did waits for a save: records in ``pending``, one-shots from ``join``, statements in ``sql``.
The snapshot writes it together with the state.

Invariants
    Writes of one actor are serial, and each carries what the ones before it stored: saves the one-shots,
    batches the state. A request is complete only after a capture that began after it.
    What a save stores is of one moment. A batch is stored after what waits, never without it.
    Batches from before the first initialization wait for it, so that a failed first start leaves nothing.
    Nothing is encoded before a save is due: a call that changes nothing costs nothing here.
    A failed write keeps everything dirty and is retried with back-off; requests that waited are told.
    State that cannot be encoded is tried again at the next request: time alone does not mend it.
    Nobody waits for a saver that ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import replace

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.revisions import Revisions
from rivetkit_core.actor.save_report import SaveReport
from rivetkit_core.actor.snapshot import Snapshot
from rivetkit_core.actor.transaction import finished
from rivetkit_core.actor.waiting import WaitingSql
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, Timer
from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.port import ActorStorage, WriteLimit
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, ScheduleEvent, encode_actor

_FIRST_RETRY = 0.1


class Saver:
    """Saves on request, at most every ``interval`` seconds unless a request is immediate.

    ``capture`` gives the current state's bytes; ``busy`` tells whether user code is running that may
    change state after a save, in which case another save follows one interval later. ``limit`` is what one
    write of the host takes.
    """

    def __init__(
        self,
        *,
        storage: ActorStorage,
        clock: Clock,
        work: WorkRegistry,
        interval: float,
        capture: Callable[[], bytes],
        busy: Callable[[], bool],
        metrics: Recorder,
        sql: WaitingSql | None = None,
        limit: WriteLimit | None = None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._work = work
        self._interval = interval
        self._capture = capture
        self._busy = busy
        self._report = SaveReport(metrics, work.log)
        self._revisions = Revisions()
        self._immediate = False
        self._due: float | None = None
        self._promised: float | None = None
        self._timer: Timer | None = None
        self._running = False
        self._failures = 0
        self._ended = False
        self._writing = asyncio.Lock()
        self._last_save_at: float | None = None
        self._held = 0
        self._overdue = False
        self.sql = WaitingSql(None) if sql is None else sql
        self.snapshot = Snapshot(storage, clock=clock, sql=self.sql, limit=limit, report=self._report)
        self.pending = self.snapshot.pending
        self.would_wait_for_itself: Callable[[], bool] = lambda: False
        self.on_complete: Callable[[int], None] | None = None

    @property
    def saved(self) -> ActorRecord:
        """The record as storage has it."""
        return self.snapshot.record

    @property
    def events(self) -> tuple[ScheduleEvent, ...]:
        """The one-shots as the actor's code knows them: some may wait for a save."""
        return self.snapshot.events

    def adopt(self, record: ActorRecord) -> None:
        """Start from a record that storage already holds."""
        self.snapshot.adopt(record)

    async def write(self, record: ActorRecord) -> None:
        """Store input, state and initialization now; for startup, before anything else can save.

        Raises:
            StorageError: Nothing was written.
        """
        async with self._writing:
            await self._store(replace(record, scheduled_events=self.events))

    async def commit(self, prepare: Callable[[Batch], None]) -> None:
        """Store what ``prepare`` puts into a batch, all or nothing and now. Nothing is stored if it raises.

        Cancelling stops the waiting only. Before the first initialization it is stored with that.

        Raises:
            StorageError: Nothing was written.
            RivetError: ``actor.stopping`` when the actor's end is past its last save.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await self._commit(prepare)
            except Exception as failure:  # noqa: BLE001 - it goes to whoever waits
                if not written.done():
                    written.set_exception(failure)
            else:
                if not written.done():
                    written.set_result(None)

        self._work.spawn(WorkKind.SAVE, run())
        await written

    async def join(self, prepare: Callable[[Batch], None]) -> None:
        """Let what ``prepare`` puts into a batch wait for the next save, which stores it with all else.

        ``prepare`` may be called again, on a batch that holds nothing. Who asked with ``then`` is told now.

        Raises:
            StorageError: It does not fit beside what waits, and that could not be stored.
        """
        while True:
            async with self._writing:
                batch = Batch(self.events)
                prepare(batch)
                changes: dict[bytes, bytes | None] = {**batch.puts, **batch.deletes}
                if not self.pending or self.pending.takes(changes):
                    self.pending.add(changes)
                    self.snapshot.events = batch.events
                    batch.stored()
                    break
            await self.request_and_wait()
        self.request()

    async def save_beside(self) -> None:
        """Save now, for code that has the database's turn. To be run to its end.

        Raises:
            StorageError: Nothing was written; it is tried again.
            Exception: The state could not be encoded.
        """
        async with self._writing:
            captured = self._revisions.requested
            await self._save()
        self._complete(captured)

    @contextlib.contextmanager
    def whole(self) -> Generator[None]:
        """Store nothing of what is done inside before its end, unless somebody asks for a save meanwhile."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._overdue and not self._held:
                self._overdue = False
                self._schedule(0.0, immediate=False)

    def lose(self) -> None:
        """Never store anything again: memory is ahead of what can be stored."""
        self.snapshot.lose()
        self.abandon()

    def request(self, *, immediate: bool = False, max_wait: float | None = None) -> int:
        """Ask for a save; returns the request's revision. Never waits, never raises."""
        if self._due is not None and not (immediate or max_wait is not None or self._failures):
            return self._revisions.request()  # every call asks, and the timer is set already
        delay = 0.0 if immediate else self._delay(max_wait)
        if self._running and max_wait is not None:  # to be kept when the write under way has ended
            promised = self._clock.monotonic() + delay
            self._promised = promised if self._promised is None else min(promised, self._promised)
        self._schedule(delay, immediate=immediate)
        return self._revisions.request()

    async def request_and_wait(self) -> None:
        """Ask for a save now and wait until it is durable. Cancelling stops the waiting only.

        Raises:
            StorageError: The write failed; it is retried in the background.
            RivetError: ``sqlite.transaction_open``: the save would wait for the caller's own block.
            Exception: The state could not be encoded.
        """
        if self.would_wait_for_itself():
            raise error("sqlite.transaction_open")
        revision = self.request(immediate=True)
        if self._work.closing and not self._ended:  # a resource is being left: the last save waits for that
            await finished(self.save_beside())
        await self.completion(revision)

    def completion(self, revision: int) -> asyncio.Future[None]:
        """A future for a revision that ``request`` returned: done when durable, or StorageError.

        Completions resolve in the order of their revisions.
        """
        return self._revisions.completion(revision)

    async def finish(self) -> None:
        """Save what there is one last time, whether or not anybody asked, and stop the timer.

        Raises:
            StorageError: The write failed; the previous record is untouched.
            Exception: The state could not be encoded; likewise.
        """
        self._cancel_timer()
        captured = self._revisions.request()
        try:
            await self._write_if_changed()
        except Exception as failure:
            self._revisions.fail(failure)
            raise
        finally:
            self._end()
        self._complete(captured)

    def abandon(self) -> None:
        """Drop the timer and every waiter without writing; for a failed start and for destroyed actors."""
        self._end()
        self._revisions.fail(StorageError("storage", "unavailable"))

    def _delay(self, max_wait: float | None) -> float:
        if self._last_save_at is None:
            delay = self._interval
        else:
            delay = max(0.0, self._interval - (self._clock.monotonic() - self._last_save_at))
        return delay if max_wait is None else min(delay, max_wait)

    def _schedule(self, delay: float, *, immediate: bool) -> None:
        if self._ended:
            return
        if immediate:
            self._immediate = True
            if not self._running:
                self._cancel_timer()
                self._start()
            return
        due = self._clock.monotonic() + delay
        if self._running or (self._due is not None and self._due <= due):
            return
        self._cancel_timer()
        self._due = due
        self._timer = self._clock.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        if self._held:
            self._overdue = True
        else:
            self._start()

    def _start(self) -> None:
        if self._running:
            return
        self._running = True
        try:
            self._work.spawn(WorkKind.SAVE, self._run())
        except RivetError:
            self._running = False  # teardown began; the final save covers this request

    async def _run(self) -> None:
        try:
            while True:
                self._immediate = False
                captured = self._revisions.requested
                try:
                    await self._write_if_changed()
                except StorageError as failure:
                    self._retry_later(failure)
                    return
                except Exception as failure:
                    self._work.log.exception("state could not be encoded; storage keeps the previous one")
                    self._revisions.fail(failure)
                    return
                self._failures = 0
                self._complete(captured)
                if not self._immediate:
                    break
        finally:
            self._running = False
        promised, self._promised = self._promised, None
        if self._revisions.open or self._busy():
            left = None if promised is None else max(0.0, promised - self._clock.monotonic())
            self._schedule(self._delay(left), immediate=False)

    async def _write_if_changed(self) -> None:
        async with self._alone():
            await self._save()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """The right to write, and the database's turn if something waits there: that first, then this."""
        while True:
            if self.sql.waits:
                async with self.sql.taken_along(), self._writing:
                    yield
                    return
            async with self._writing:
                if not self.sql.waits:
                    yield
                    return

    async def _save(self) -> None:
        # From here to the write nothing is awaited: what it stores is of one moment.
        state = self._capture()
        records = self.snapshot.connections
        connections = records is not None and records.capture()
        self._last_save_at = self._clock.monotonic()  # the interval bounds encodings as well as writes
        if state != self.saved.state or connections or self.snapshot.waits:
            await self._store(replace(self.saved, state=state, scheduled_events=self.events))

    async def _commit(self, prepare: Callable[[Batch], None]) -> None:
        async with self._alone():
            if self._ended:
                raise error("actor.stopping")
            first = not self.saved.has_initialized
            if not first and self.snapshot.waits:
                await self._save()
            batch = Batch(self.events)
            prepare(batch)
            record = replace(self.saved, scheduled_events=batch.events)
            if first:
                self.pending.add({**batch.puts, **batch.deletes})
            elif batch.changes_events:
                await self._storage.apply(
                    {**batch.puts, ACTOR_KEY: encode_actor(record)}, tuple(batch.deletes)
                )
            elif not batch.is_empty:
                await self._storage.apply(batch.puts, tuple(batch.deletes))
            self.snapshot.record = record
            self.snapshot.events = record.scheduled_events
            if batch.changes_events:
                self._report.planned()
            batch.stored()

    async def _store(self, record: ActorRecord) -> None:
        await self.snapshot.store(record, self._revisions.requested)
        self._last_save_at = self._clock.monotonic()

    def _retry_later(self, failure: StorageError) -> None:
        self._failures += 1
        delay = min(_FIRST_RETRY * 2 ** min(self._failures - 1, 10), max(self._interval, _FIRST_RETRY))
        self._report.tries_again(delay, failure, self._failures)
        self._revisions.fail(failure)
        self._running = False
        self._schedule(delay, immediate=False)

    def _complete(self, revision: int) -> None:
        self._revisions.advance(revision)
        if self.on_complete is not None:
            self.on_complete(self._revisions.completed)
        self._revisions.release()

    def _end(self) -> None:
        self._ended = True
        self._revisions.end()
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
