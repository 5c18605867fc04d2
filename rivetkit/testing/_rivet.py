"""``RivetTest``: a world for one test."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, cast

from rivetkit._actor import Actor
from rivetkit._registry import Registry
from rivetkit.client import ActorHandle, Client
from rivetkit.testing._clock import RivetClock
from rivetkit.testing._engine import EngineWorld
from rivetkit.testing._memory import MemoryWorld
from rivetkit.testing._world import CurrentAccess, NotOnThisHost, World
from rivetkit_core.errors import error
from rivetkit_core.host.port import ByKey


class RivetTest:
    """Runs the actors of a registry for one test, in memory, in this event loop, on virtual time.

        async with RivetTest(registry) as rivet:
            await rivet.client.get_or_create(Reminder, "r1").call(Reminder.remind_in, days=30)
            await rivet.clock.advance(days=30)

    Time stands still while anything can run. It moves when the test says so, and when the test waits for
    something that only time can bring. The whole event loop lives in it: ``asyncio.sleep`` too.

    Args:
        actors: A registry, or actor classes. ``registry.client`` leads to the test as well.
        seed: Shuffles what is ready to run at the same time, reproducibly, and makes ids; without one, first
            come is first served.
        start: The time it is in the beginning, with a time zone; a fixed moment unless given.
        host: ``memory``, or ``engine`` to run the same test on a real Rivet Engine, in real time: one that is
            started for the test, or the one of an URL given here.
        max_wait: Seconds that ``clock.advance`` may really wait on an engine.

    Attributes:
        client: A client of the actors. Handles stay valid over ``restart``.
        clock: The time.
        seed: As given.
        host: As given.
    """

    def __init__(
        self,
        *actors: Registry | type[Actor],
        seed: int | None = None,
        start: datetime | None = None,
        host: str = "memory",
        max_wait: float = 10.0,
    ) -> None:
        self._registry = _registry_of(actors)
        if start is not None and not isinstance(cast("object", start), datetime):
            raise TypeError(f"start is a datetime(..., tzinfo=UTC), not {start!r}")
        if start is not None and start.tzinfo is None:
            raise ValueError("start needs a time zone: datetime(..., tzinfo=UTC)")
        self.seed = seed
        self.host = host
        self._world = _world(host, seed, start, max_wait)
        self.clock = RivetClock(self._world)
        self._access = CurrentAccess(self._world)
        self.client = Client(transport=self._access, clock=self._world.clock, entropy=self._world.entropy)
        self._served = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        await self._world.enter()
        try:
            await self._start()
        except BaseException:
            await self._world.leave()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.client.aclose()
            await self._stop(for_good=True)
        finally:
            await self._world.leave()

    async def sleep(self, handle: ActorHandle[Any], /) -> None:
        """Put an actor to sleep now, idle or not, as its host would; returns when it sleeps.

        Raises:
            ActorNotFound: There is none.
        """
        await self._world.sleep(await self._find(handle))

    async def crash(self, handle: ActorHandle[Any], /) -> None:
        """Let an actor lose its process: no hook runs and nothing is saved; what was durable is all there is.

        It comes back when it is called, or when it is due. Its clients stay connected, as on an engine; what
        it did not get to acknowledge they say again. Does nothing to one that sleeps.

        Raises:
            ActorNotFound: There is none.
        """
        await self._world.crash(await self._find(handle))

    async def generation(self, handle: ActorHandle[Any], /) -> int:
        """Which life of an actor this is, or was if it sleeps; the first is 1.

        Raises:
            ActorNotFound: There is none.
        """
        return await self._world.generation(await self._find(handle))

    async def is_awake(self, handle: ActorHandle[Any], /) -> bool:
        """Whether an actor runs, starts or is going to sleep. Asking does not wake it.

        Raises:
            ActorNotFound: There is none.
        """
        return await self._world.is_awake(await self._find(handle))

    async def restart(self, *actors: Registry | type[Actor]) -> None:
        """End the process in an orderly way and start it again, with new code for its actors if given.

        Everything is saved before. Connections end, and clients come back.
        """
        registry = _registry_of(actors) if actors else self._registry
        self._access.hold()
        try:
            await self._stop()
            self._registry = registry
            await self._start()
        finally:
            self._access.release()

    async def _find(self, handle: ActorHandle[Any]) -> str:
        if not isinstance(cast("object", handle), ActorHandle):
            raise TypeError(f"say which actor by its handle, rivet.client.get(Room, ...), not by {handle!r}")
        target = handle.target
        if isinstance(target, ByKey):
            target = replace(target, create=False)
        return await self._access.resolve(target)

    async def _start(self) -> None:
        hosting = await self._world.start(self._registry.factories)
        try:
            self._served.enter_context(self._registry.hosted(hosting))
        except BaseException:
            await self._world.stop()
            raise

    async def _stop(self, *, for_good: bool = False) -> None:
        self._served.close()
        unsaved = await self._world.stop(for_good=for_good)
        if unsaved:
            raise error("storage.unavailable", f"{unsaved} actors could not save their state; see the log")


def _registry_of(actors: tuple[Registry | type[Actor], ...]) -> Registry:
    if len(actors) == 1 and isinstance(actors[0], Registry):
        return actors[0]
    classes = [actor for actor in actors if not isinstance(actor, Registry)]
    if len(classes) != len(actors) or not classes:
        raise TypeError("RivetTest takes one Registry, or actor classes")
    return Registry(*classes, engine="embedded")


def _world(host: str, seed: int | None, start: datetime | None, max_wait: float) -> World:
    if host == "memory":
        return MemoryWorld(seed=seed, start=None if start is None else start.timestamp())
    if host != "engine" and not host.startswith(("http://", "https://")):
        raise ValueError(f'host is {host!r}; it is "memory", "engine" or the URL of an engine')
    if start is not None:
        raise NotOnThisHost("time is real on an engine: a test cannot choose when it begins")
    return EngineWorld(None if host == "engine" else host, max_wait=max_wait)
