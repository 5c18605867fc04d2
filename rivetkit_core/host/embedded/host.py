"""The embedded host: finds, creates, starts and destroys actors of this process.

Invariants
    One placement row per live (name, key); the store decides who wins a race for it.
    An actor whose very first start failed leaves nothing behind: its creation failed.
    While an actor is being destroyed, whoever asks for it by key waits and then gets a new one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from rivetkit_core.actor.context import ActorIdentity
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.task import ActorTask, StopKind
from rivetkit_core.clock import Clock, time_ms
from rivetkit_core.entropy import Entropy, new_actor_id
from rivetkit_core.errors import ActorNotFound, RivetError, error
from rivetkit_core.host.embedded.access import LocalAccess
from rivetkit_core.host.embedded.addresses import check_key, check_region, missing
from rivetkit_core.host.embedded.alarms import AlarmClock
from rivetkit_core.host.embedded.kept import KeptClients
from rivetkit_core.host.embedded.resident import Resident
from rivetkit_core.host.embedded.store_port import WRITE_LIMIT, ActorRow, HostStore
from rivetkit_core.host.port import ActorKey, ById, ByKey, Target
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.registry import ActorRegistry
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, decode_actor, encode_actor

log = logging.getLogger("rivetkit.host")

_PLACEMENT_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an actor stands; ``first`` is its first record when the call that asked created it."""

    row: ActorRow
    first: ActorRecord | None = None

    @property
    def created(self) -> bool:
        return self.first is not None


class _Vanished(Exception):
    """The actor of a placement was destroyed before it could start."""


class EmbeddedHost:
    """An engine in this process. ``open`` before use, ``close`` to save everything and stop."""

    def __init__(
        self,
        factories: Iterable[ActorFactory],
        *,
        store: HostStore,
        clock: Clock,
        entropy: Entropy,
        namespace: str = "default",
        expose_errors: bool = False,
        metrics: ProcessMetrics | None = None,
        inspector: InspectorOptions | None = None,
    ) -> None:
        self.namespace = namespace
        self.clock = clock
        self.entropy = entropy
        self.store = store
        self.registry = ActorRegistry(factories, clock)
        self.access = LocalAccess(self)
        self.kept = KeptClients(lambda actor_id: self.reach(ById(actor_id), lasting=True), entropy)
        self._expose_errors = expose_errors
        self._residents: dict[str, Resident] = {}
        self.metrics = metrics or ProcessMetrics()
        self._inspector = inspector or InspectorOptions()
        self._placed: dict[tuple[str, ActorKey], str] = {}
        self._destroying: dict[str, asyncio.Task[None]] = {}
        self._alarms = AlarmClock(
            store=store,
            clock=clock,
            namespace=namespace,
            is_here=self.registry.is_here,
            wake=lambda actor_id: self.reach(ById(actor_id)),
            own=self._own_detached,
        )
        self._owned: set[asyncio.Task[None]] = set()
        self.is_open = False
        self.is_closing = False

    async def open(self) -> None:
        """Open the store, and wake whoever should have been woken meanwhile.

        Raises:
            StorageError: It is locked, damaged, newer than this release, or cannot be written.
        """
        await self.store.open()
        self.is_open = True
        self._alarms.start()

    async def close(self) -> int:
        """Refuse new work, finish what was accepted, save and stop every actor, close the store. Idempotent.

        Returns:
            How many actors could not save their last changes; the log names them.
        """
        if not self.is_open or self.is_closing:
            return 0
        self.is_closing = True
        self._alarms.stop()
        self.kept.close(1001, "ws.going_away")
        unsaved = await self.registry.shut_down()
        while self._owned:
            await asyncio.wait(list(self._owned))
        await self.store.close()
        self.is_open = False
        return unsaved

    async def reach(self, target: Target, *, lasting: bool = False) -> ActorTask:
        """The running actor a target means, created and started as needed.

        ``lasting``: for a connection, which waits for the next life of an actor that is going to sleep.

        Raises:
            RivetError: ``actor.not_found``, the failure of its start, or ``guard.service_unavailable``.
        """
        lasting = lasting or self.is_closing
        by_key = isinstance(target, ByKey)
        actor_id = self._placed.get((target.name, target.key)) if by_key else target.actor_id
        if actor_id is not None and actor_id not in self._destroying:
            actor = self.registry.running(actor_id, lasting=lasting)
            if actor is not None:
                return actor
        for _ in range(_PLACEMENT_ATTEMPTS):
            placement = await self.place_or_create(target)
            try:
                return await self._run(placement, lasting=lasting)
            except _Vanished:
                continue  # destroyed between the look and the start: look again
        raise error("actor.destroyed_while_waiting_for_ready")

    async def place(self, target: Target) -> ActorRow:
        """The placement of an actor, made if the target says so; does not start it.

        Raises:
            ActorNotFound: There is none.
        """
        return (await self.place_or_create(target)).row

    async def place_or_create(self, target: Target) -> Placement:
        """Like ``place``; also tells whether it was this call that created the actor.

        Raises:
            ActorNotFound: There is none.
            RivetError: ``datacenter.not_found`` for another region than ``REGION``.
        """
        self.require_open()
        if isinstance(target, ByKey):
            check_region(target.region)
        for _ in range(_PLACEMENT_ATTEMPTS):
            row = await self._find(target)
            if row is None and isinstance(target, ByKey) and target.create:
                made = await self._try_create(target)
                if made is None:
                    continue  # somebody else was faster: look again
                return made
            if row is None:
                raise error("actor.not_found", missing(target))
            destruction = self._destroying.get(row.actor_id)
            if destruction is None:
                return Placement(row)
            await asyncio.wait([destruction])
        raise error("actor.destroyed_while_waiting_for_ready")

    async def create(
        self, name: str, key: ActorKey | None, *, input: bytes | None, region: str | None = None
    ) -> ActorRow:
        """Make a new actor and start it, so that a failing first start is the caller's error.

        Raises:
            RivetError: ``actor.duplicate_key``, ``actor.not_registered``, ``datacenter.not_found``, or
                what a startup hook raised.
        """
        self.require_open()
        check_region(region)
        placement = await self._insert(name, key, input)
        try:
            await self._run(placement)
        except _Vanished:
            raise error("actor.destroyed_while_waiting_for_ready") from None
        return placement.row

    async def destroy(self, actor_id: str) -> None:
        """Run ``on_destroy`` if the actor runs, delete everything it stored and free its key. Idempotent.

        Raises:
            StorageError: The data could not be deleted; the actor has stopped, its key is not free.
        """
        self.require_open()
        self._request_destroy(actor_id)
        await asyncio.shield(self._destroying[actor_id])

    def resident(self, actor_id: str) -> Resident | None:
        """The generation of an actor that runs or ends here."""
        return self._residents.get(actor_id)

    def own(
        self, work: Coroutine[object, object, None], *, context: contextvars.Context | None = None
    ) -> asyncio.Task[None]:
        """Run a task that ``close`` waits for."""
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._owned.add(task)
        task.add_done_callback(self._owned_done)
        return task

    def _own_detached(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """``own`` for what has nothing to do with the call that happened to cause it."""
        return self.own(work, context=contextvars.Context())

    def _owned_done(self, task: asyncio.Task[None]) -> None:
        self._owned.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a background task of the host failed", exc_info=failure)

    def require_open(self) -> None:
        """Refuse what comes before ``open`` or after ``close`` began.

        Raises:
            RivetError: ``guard.service_unavailable`` while closing, ``registry.shut_down`` otherwise.
        """
        if self.is_closing:
            raise error("guard.service_unavailable")
        if not self.is_open:
            raise error(
                "registry.shut_down", "The registry is not running: open it, serve it, or use its lifespan"
            )

    async def _find(self, target: Target) -> ActorRow | None:
        if isinstance(target, ById):
            found = await self.store.find_by_id(target.actor_id)
            return found if found is not None and found.destroy_ts is None else None
        return await self.store.find_by_key(self.namespace, target.name, target.key)

    async def _try_create(self, target: ByKey) -> Placement | None:
        try:
            return await self._insert(target.name, target.key, target.input)
        except RivetError as failure:
            if failure.code != "duplicate_key":
                raise
            return None

    async def _insert(self, name: str, key: ActorKey | None, input: bytes | None) -> Placement:
        """Add an actor that is about to start: its row says so already, which saves a commit."""
        self.registry.factory(name)
        if key is not None:
            check_key(key)
        now = time_ms(self.clock)
        row = ActorRow(
            actor_id=new_actor_id(self.entropy),
            name=name,
            key=key,
            namespace=self.namespace,
            create_ts=now,
            start_ts=now,
            connectable_ts=now,
            generation=1,
        )
        first = ActorRecord(input=input, has_initialized=False, state=b"")
        await self.store.create_actor(row, {ACTOR_KEY: encode_actor(first)})
        return Placement(row, first)

    async def _run(self, placement: Placement, *, lasting: bool = False) -> ActorTask:
        actor_id = placement.row.actor_id
        return await self.registry.reach(actor_id, lambda: self._launch(placement), lasting=lasting)

    async def _launch(self, placement: Placement) -> ActorTask:
        row = placement.row
        if row.actor_id in self._destroying:
            raise _Vanished
        factory = self.registry.factory(row.name)
        try:
            actor = await self._start(factory, row, placement.first)
        except _Vanished:
            raise
        except Exception as failure:
            await self._discard_stillborn(row)
            if isinstance(failure, RivetError):
                raise
            log.error("actor %s could not be made", row.actor_id, exc_info=failure, extra=_about(row))
            raise error("actor.start_failed") from failure
        if row.key is not None:
            self._placed[row.name, row.key] = row.actor_id
        return actor

    async def _start(self, factory: ActorFactory, row: ActorRow, first: ActorRecord | None) -> ActorTask:
        generation = row.generation
        if first is None:
            generation = await self._next_generation(row.actor_id)
        resident = Resident(
            row,
            registry=self.registry,
            store=self.store,
            clock=self.clock,
            alarms=self._alarms,
            own=self._own_detached,
            destroy=lambda: self._request_destroy(row.actor_id),
            slept=lambda: self._forget_place(row),
        )
        actor = ActorTask(
            factory,
            ActorIdentity(row.actor_id, row.name, row.key or (), generation),
            ActorPorts(
                storage=self.store.storage(row.actor_id),
                access=self.access,
                clock=self.clock,
                entropy=self.entropy,
                host=resident,
                database=self.store.database(row.actor_id),
                expose_errors=self._expose_errors,
                metrics=self.metrics,
                inspector=self._inspector,
                write_limit=WRITE_LIMIT,
            ),
        )
        resident.move_in(actor)
        await actor.start(None, stored=first, live=self.kept.of(row.actor_id))
        try:
            await resident.forget_old_alarm()
        except BaseException:
            await actor.kill()
            raise
        self._residents[row.actor_id] = resident
        self.kept.woken(row.actor_id)
        return actor

    def _forget_place(self, row: ActorRow) -> None:
        if self.registry.is_here(row.actor_id):
            return
        self._residents.pop(row.actor_id, None)
        if row.key is not None:
            self._placed.pop((row.name, row.key), None)

    async def _next_generation(self, actor_id: str) -> int:
        try:
            return await self.store.start_generation(actor_id, time_ms(self.clock))
        except ActorNotFound:
            raise _Vanished from None

    async def _discard_stillborn(self, row: ActorRow) -> None:
        try:
            records = await self.store.storage(row.actor_id).load([ACTOR_KEY])
            stored = records.get(ACTOR_KEY)
            if stored is None or not decode_actor(stored).has_initialized:
                await self.store.mark_destroyed(row.actor_id, time_ms(self.clock))
        except RivetError as failure:  # the caller needs to hear why the start failed, not this
            log.error(
                "actor %s could not be looked at after its start failed: %s",
                row.actor_id,
                failure,
                extra=_about(row),
            )

    def _request_destroy(self, actor_id: str) -> None:
        if actor_id not in self._destroying:
            self._destroying[actor_id] = self.own(self._destroy(actor_id))

    async def _destroy(self, actor_id: str) -> None:
        try:
            row = await self.store.find_by_id(actor_id)
            if row is None or row.destroy_ts is not None:
                return
            await self.registry.stop(actor_id, StopKind.DESTROY)
            await self.store.mark_destroyed(actor_id, time_ms(self.clock))
            self.kept.end(actor_id, 1000, "")
            self._forget_place(row)
        finally:
            del self._destroying[actor_id]


def _about(row: ActorRow) -> dict[str, object]:
    """What log records say of an actor."""
    return {"actor_id": row.actor_id, "actor_name": row.name, "actor_key": list(row.key or ())}
