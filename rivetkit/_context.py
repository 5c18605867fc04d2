"""``self.ctx``: everything the runtime offers an actor, so that authors' own names stay free.

A thin typed view over the core's context. The client class comes by injection: this module must not
import it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from rivetkit._connection import Conn
from rivetkit._schedule import Schedule, ScheduledFire, fire_of
from rivetkit._validation import decode
from rivetkit_core.errors import error

if TYPE_CHECKING:
    from rivetkit.client import Client
    from rivetkit_core.actor.context import ActorContext

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

    def now(self) -> datetime:
        """The current time, in UTC. Use it rather than the system's, and tests can set the clock."""
        return datetime.fromtimestamp(self.__rivet_core__.clock.now(), UTC)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that carries the actor's name, key and id."""
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

    async def save_state(self) -> None:
        """Store the state now; on return it is durable.

        Raises:
            StorageError: It could not be stored; the actor keeps it in memory.
        """
        await self.__rivet_core__.save_state()

    async def destroy(self) -> None:
        """End this actor for good: its state is deleted after ``on_destroy``."""
        await self.__rivet_core__.destroy()
