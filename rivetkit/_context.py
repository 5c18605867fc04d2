"""``self.ctx``: everything the runtime offers an actor, so that authors' own names stay free.

A thin typed view over the core's context. The client class comes by injection: this module must not
import it.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from rivetkit._connection import Conn
from rivetkit._database import Database
from rivetkit._kv import Kv
from rivetkit._local_queue import ContextQueue
from rivetkit._schedule import Schedule, ScheduledFire, fire_of
from rivetkit._validation import decode
from rivetkit._verdict import verdict
from rivetkit_core.actor.abort import AbortSignal
from rivetkit_core.actor.disconnecting import disconnect_all
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from rivetkit.client import Client
    from rivetkit_core.actor.context import ActorContext

T = TypeVar("T")

ClientFactory = Callable[["ActorContext"], "Client"]


class Context:
    """One actor's view of the runtime, for one generation."""

    def __init__(self, core: ActorContext, client_factory: ClientFactory | None = None) -> None:
        self.__rivet_core__ = core
        self._client_factory = client_factory

    @property
    def actor_id(self) -> str:
        return self.__rivet_core__.actor_id

    @property
    def name(self) -> str:
        """The name the actor is registered under."""
        return self.__rivet_core__.name

    @property
    def key(self) -> tuple[str, ...]:
        return self.__rivet_core__.key

    @property
    def generation(self) -> int:
        """Counts the lives of this actor; grows with every start."""
        return self.__rivet_core__.generation

    @property
    def region(self) -> str:
        return self.__rivet_core__.region

    @cached_property
    def input(self) -> object:
        """What the actor was created with, as plain data; None when it was created without."""
        data = self.__rivet_core__.input
        return None if data is None else decode(data, "input")

    @property
    def conns(self) -> list[Conn[Any, Any]]:
        """The open connections, in the order they came."""
        attached = [core.attachment for core in self.__rivet_core__.connections.values()]
        return [cast("Conn[Any, Any]", conn) for conn in attached if isinstance(conn, Conn)]

    async def disconnect_conns(
        self, which: Callable[[Conn[Any, Any]], bool] | None = None, /, *, reason: str | None = None
    ) -> int:
        """Close the connections that ``which`` picks, or all of them; how many that were.

        Every one is tried. ``which`` has to answer True or False, and is asked before anything is closed.

        Raises:
            RivetError: ``connection.disconnect_failed`` with ``count`` and ``details`` in its metadata.
        """
        picked = [
            conn for conn in self.conns if which is None or verdict(which(conn), "what picks connections")
        ]
        return await disconnect_all([conn.__rivet_core__ for conn in picked], reason)

    @cached_property
    def queue(self) -> ContextQueue:
        """All queues of this actor at once; each alone is an attribute of the actor."""
        return ContextQueue(self.__rivet_core__.queue)

    def now(self) -> datetime:
        """The current time, in UTC. Use it rather than the system's, and tests can set the clock."""
        return datetime.fromtimestamp(self.__rivet_core__.clock.now(), UTC)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that carries the actor's id, name, key and generation, besides the ``extra`` of a call."""
        return self.__rivet_core__.log

    @property
    def aborted(self) -> bool:
        """Whether the actor has begun to stop."""
        return self.__rivet_core__.aborted

    @cached_property
    def client(self) -> Client:
        """A client to every actor, this one's neighbours included. Made on first use.

        An actor that calls itself from a startup hook waits for its own start and never gets an answer.

        Raises:
            RivetError: ``actor.invalid_operation`` where the runtime has no client.
        """
        if self._client_factory is None:
            raise error(
                "actor.invalid_operation", operation="ctx.client", reason="this runtime has no client"
            )
        return self._client_factory(self.__rivet_core__)

    @cached_property
    def schedule(self) -> Schedule:
        """Actions of this actor that run later, once or again and again."""
        return Schedule(self.__rivet_core__.schedule)

    @property
    def scheduled_fire(self) -> ScheduledFire | None:
        """Which schedule started the running action; None when somebody called it."""
        return fire_of(self.__rivet_core__.schedule.fire)

    async def wait_aborted(self) -> None:
        """Return when the actor begins to stop. Safe to cancel."""
        await self.__rivet_core__.wait_aborted()

    @property
    def abort_signal(self) -> AbortSignal:
        """Given when the actor begins to stop, to be asked, awaited (with a timeout) or subscribed to."""
        return self.__rivet_core__.abort_signal

    @overload
    def keep_awake(self, /) -> AbstractAsyncContextManager[None]: ...
    @overload
    def keep_awake(self, work: Awaitable[T], /) -> Coroutine[Any, Any, T]: ...
    def keep_awake(self, work: Awaitable[T] | None = None, /) -> object:
        """Keep the actor awake: ``async with self.ctx.keep_awake():`` or ``await self.ctx.keep_awake(work)``.

        The actor's end waits for it as well, up to the end of the grace period, and then cancels it.

        Raises:
            RivetError: ``actor.stopping`` when the actor waits for no more work.
        """
        region = self.__rivet_core__.keep_awake()
        return region if work is None else region.over(work)

    def wait_until(self, work: Awaitable[object], /) -> None:
        """Do ``work`` in the background. The actor may go to sleep, but waits for it before it ends.

        What it raises is logged. Cancelled at the end of the grace period.
        """
        if not inspect.isawaitable(work):
            raise TypeError(f"wait_until takes what can be awaited, not {work!r}: call it, as in work()")
        self.__rivet_core__.wait_until(work)

    @property
    def prevent_sleep(self) -> bool:
        """Deprecated: use ``keep_awake``. While on, the actor does not sleep, and waits before it ends."""
        _warn_of_prevent_sleep()
        return self.__rivet_core__.prevent_sleep

    @prevent_sleep.setter
    def prevent_sleep(self, value: bool) -> None:
        _warn_of_prevent_sleep()
        self.__rivet_core__.prevent_sleep = value

    async def restart_run(self) -> None:
        """Cancel ``run`` and begin it anew.

        Raises:
            RivetError: ``actor.invalid_operation`` without ``run``, or if it ignores its cancellation;
                ``actor.stopping`` when the actor ends.
        """
        await self.__rivet_core__.restart_run()

    async def sleep(self) -> None:
        """Put the actor to sleep, whatever else goes on; the next call, message or alarm wakes it.

        Returns before that happened. What was accepted finishes first, within the grace period. Idempotent.

        Raises:
            RivetError: ``actor.starting`` during the start, ``actor.stopping`` when the actor ends already.
        """
        self.__rivet_core__.sleep()

    @cached_property
    def kv(self) -> Kv:
        """The actor's key-value store."""
        return Kv(self.__rivet_core__.kv)

    @cached_property
    def db(self) -> Database:
        """The actor's private SQLite database, made at the first statement."""
        return Database(self.__rivet_core__.database)

    def request_save(self, *, max_wait: float | None = None) -> None:
        """Have the state stored soon: within ``max_wait`` seconds, or as ``state_save_interval`` says.

        Only needed after a change that no hook or action made, or when the next regular save is too far away.
        Never waits, never raises: a failure is logged and tried again.
        """
        self.__rivet_core__.request_save(max_wait=max_wait)

    async def save_state(self) -> None:
        """Store the state now; on return it is durable.

        Raises:
            StorageError: It could not be stored; the actor keeps it in memory.
        """
        await self.__rivet_core__.save_state()

    async def destroy(self) -> None:
        """End this actor for good: its state is deleted after ``on_destroy``."""
        await self.__rivet_core__.destroy()


def _warn_of_prevent_sleep() -> None:
    warnings.warn("prevent_sleep is deprecated: use ctx.keep_awake()", DeprecationWarning, stacklevel=3)
