"""Writes one actor's snapshot: when, and only if its bytes changed (actor-runtime 2.5).

Records in ``pending`` are stored in the same write as the state.

Invariants
    Writes of one actor are serial, and each carries what the ones before it stored: saves the one-shots,
    batches the state. A request is complete only after a capture that began after it.
    Batches from before the first initialization wait for it, so that a failed first start leaves nothing.
    Nothing is encoded before a save is due: a call that changes nothing costs nothing here.
    A failed write keeps everything dirty and is retried with back-off; requests that waited are told.
    State that cannot be encoded is tried again at the next request: time alone does not mend it.
    Nobody waits for a saver that ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from rivetkit_core.actor.batch import Batch
from rivetkit_core.actor.pending import PendingRecords
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, Timer
from rivetkit_core.errors import RivetError, StorageError, error
from rivetkit_core.host.port import ActorStorage
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, encode_actor

_FIRST_RETRY = 0.1


class Saver:
    """Saves on request, at most every ``interval`` seconds unless a request is immediate.

    ``capture`` gives the current state's bytes; ``busy`` tells whether user code is running that may
    change state after a save, in which case another save follows one interval later.
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
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._work = work
        self._interval = interval
        self._capture = capture
        self._busy = busy
        self._metrics = metrics
        self._record = ActorRecord(input=None, has_initialized=False, state=b"")
        self._requested = 0
        self._completed = 0
        self._immediate = False
        self._due: float | None = None
        self._promised: float | None = None
        self._timer: Timer | None = None
        self._running = False
        self._failures = 0
        self._ended = False
        self._writing = asyncio.Lock()
        self._puts: dict[bytes, bytes] = {}
        self._deletes: dict[bytes, None] = {}
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._last_save_at: float | None = None
        self.pending = PendingRecords()
        self.on_complete: Callable[[int], None] | None = None

    @property
    def saved(self) -> ActorRecord:
        """The record as storage has it."""
        return self._record

    def adopt(self, record: ActorRecord) -> None:
        """Start from a record that storage already holds."""
        self._record = record
        self._metrics.count("state_mutation_total", "internal_replace")
        if record.input is not None and not record.has_initialized:
            self._metrics.count("state_mutation_total", "input_set")

    async def write(self, record: ActorRecord) -> None:
        """Store input, state and initialization now; for startup, before anything else can save.

        Raises:
            StorageError: Nothing was written.
        """
        async with self._writing:
            await self._store(replace(record, scheduled_events=self._record.scheduled_events))

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

    def request(self, *, immediate: bool = False, max_wait: float | None = None) -> int:
        """Ask for a save; returns the request's revision. Never waits, never raises."""
        self._requested += 1
        delay = 0.0 if immediate else self._delay(max_wait)
        if self._running and max_wait is not None:  # to be kept when the write under way has ended
            promised = self._clock.monotonic() + delay
            self._promised = promised if self._promised is None else min(promised, self._promised)
        self._schedule(delay, immediate=immediate)
        return self._requested

    async def request_and_wait(self) -> None:
        """Ask for a save now and wait until it is durable. Cancelling stops the waiting only.

        Raises:
            StorageError: The write failed; it is retried in the background.
            Exception: The state could not be encoded.
        """
        await self.completion(self.request(immediate=True))

    def completion(self, revision: int) -> asyncio.Future[None]:
        """A future for a revision that ``request`` returned: done when durable, or StorageError.

        Completions resolve in the order of their revisions.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if revision <= self._completed:
            waiter.set_result(None)
        elif self._ended:
            waiter.set_exception(StorageError("storage", "unavailable"))
        else:
            self._waiters.append((revision, waiter))
        return waiter

    async def finish(self) -> None:
        """Save what there is one last time, whether or not anybody asked, and stop the timer.

        Raises:
            StorageError: The write failed; the previous record is untouched.
            Exception: The state could not be encoded; likewise.
        """
        self._cancel_timer()
        self._requested += 1
        captured = self._requested
        try:
            await self._write_if_changed()
        except Exception as failure:
            self._fail_waiters(failure)
            raise
        finally:
            self._ended = True
            self._cancel_timer()
        self._complete(captured)

    def abandon(self) -> None:
        """Drop the timer and every waiter without writing; for a failed start and for destroyed actors."""
        self._ended = True
        self._cancel_timer()
        self._fail_waiters(StorageError("storage", "unavailable"))

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
        self._timer = self._clock.call_later(delay, self._start)

    def _start(self) -> None:
        self._timer = self._due = None
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
                captured = self._requested
                try:
                    await self._write_if_changed()
                except StorageError as failure:
                    self._retry_later(failure)
                    return
                except Exception as failure:
                    self._work.log.exception("state could not be encoded; storage keeps the previous one")
                    self._fail_waiters(failure)
                    return
                self._failures = 0
                self._complete(captured)
                if not self._immediate:
                    break
        finally:
            self._running = False
        promised, self._promised = self._promised, None
        if self._requested > self._completed or self._busy():
            left = None if promised is None else max(0.0, promised - self._clock.monotonic())
            self._schedule(self._delay(left), immediate=False)

    async def _write_if_changed(self) -> None:
        async with self._writing:
            state = self._capture()
            self._last_save_at = self._clock.monotonic()  # the interval bounds encodings as well as writes
            if state != self._record.state or self.pending:
                await self._store(replace(self._record, state=state))

    async def _commit(self, prepare: Callable[[Batch], None]) -> None:
        async with self._writing:
            if self._ended:
                raise error("actor.stopping")
            batch = Batch(self._record.scheduled_events)
            prepare(batch)
            record = replace(self._record, scheduled_events=batch.events)
            if not record.has_initialized:
                self._postpone(batch)
            elif batch.changes_events:
                await self._storage.apply(
                    {**batch.puts, ACTOR_KEY: encode_actor(record)}, tuple(batch.deletes)
                )
            elif not batch.is_empty:
                await self._storage.apply(batch.puts, tuple(batch.deletes))
            self._record = record
            if batch.changes_events:
                self._metrics.count("state_mutation_total", "scheduled_events_update")
            batch.stored()

    def _postpone(self, batch: Batch) -> None:
        for key in batch.puts:
            self._deletes.pop(key, None)
        for key in batch.deletes:
            self._puts.pop(key, None)
        self._puts.update(batch.puts)
        self._deletes.update(batch.deletes)

    async def _store(self, record: ActorRecord) -> None:
        puts, deletes = self.pending.take()
        began = self._clock.monotonic()
        try:
            await self._storage.apply(
                {**self._puts, **puts, ACTOR_KEY: encode_actor(record)}, (*self._deletes, *deletes)
            )
        except BaseException:
            self.pending.failed()
            self._saved("error", began)
            raise
        self._saved("success", began)
        log = self._work.log
        if log.verbose:
            fields = {
                "delta_count": 1 + len(puts) + len(deletes),
                "serialized_bytes": len(record.state),
                "save_request_revision": self._requested,
                "elapsed_us": round((self._clock.monotonic() - began) * 1e6),
            }
            log.debug("state saved", extra=fields)
        self.pending.stored()
        self._puts, self._deletes = {}, {}
        if record.has_initialized and not self._record.has_initialized:
            self._metrics.count("state_mutation_total", "has_initialized")
        self._record = record
        self._last_save_at = self._clock.monotonic()

    def _saved(self, outcome: str, began: float) -> None:
        took = self._clock.monotonic() - began
        self._metrics.observe("state_save_duration_seconds", outcome, seconds=took)

    def _retry_later(self, failure: StorageError) -> None:
        self._failures += 1
        delay = min(_FIRST_RETRY * 2 ** min(self._failures - 1, 10), max(self._interval, _FIRST_RETRY))
        self._work.log.error(
            "state could not be saved, trying again in %.1f s: %s",
            delay,
            failure,
            extra={"operation": "save", "attempt": self._failures},
        )
        self._fail_waiters(failure)
        self._running = False
        self._schedule(delay, immediate=False)

    def _complete(self, revision: int) -> None:
        self._completed = max(self._completed, revision)
        if self.on_complete is not None:
            self.on_complete(self._completed)
        while self._waiters and self._waiters[0][0] <= self._completed:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _fail_waiters(self, failure: Exception) -> None:
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failure)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
