"""The in-memory world: the embedded host over a store in memory, on the virtual time of the running loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from rivetkit._hosting import EMBEDDED_PORT, Hosting
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import ActorNotFound, error
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ActorAccess
from rivetkit_core.testing.loop import LoopControl
from rivetkit_core.testing.store import MemoryStore


class MemoryWorld:
    """Storage and time that outlive hosts. Belongs to the event loop that entered it."""

    is_virtual = True

    def __init__(self, *, seed: int | None, start: float | None) -> None:
        self._control = LoopControl(seed=seed, start=start)
        self._entropy = SeededEntropy(0 if seed is None else seed)
        self._store = MemoryStore()
        self._host: EmbeddedHost | None = None
        self._entered = contextlib.ExitStack()

    @property
    def clock(self) -> Clock:
        return self._control.clock

    @property
    def entropy(self) -> SeededEntropy:
        return self._entropy

    @property
    def access(self) -> ActorAccess:
        return self._running.access

    def note_progress(self) -> None:
        self._control.note_progress()

    async def enter(self) -> None:
        self._entered.enter_context(self._control)

    async def leave(self) -> None:
        self._entered.close()

    async def start(self, factories: Iterable[ActorFactory]) -> Hosting:
        host = EmbeddedHost(factories, store=self._store, clock=self.clock, entropy=self._entropy)
        await host.open()
        self._host = host
        return Hosting(
            host=host,
            app=lambda fallback: GatewayApp(host, token=None, fallback=fallback),
            where=lambda url: f"on {url}, in memory",
            port=EMBEDDED_PORT,
            listens=True,
            endpoint="",
            guarded=False,
        )

    async def stop(self, *, for_good: bool = False) -> int:
        if for_good:
            self._control.begin_end()
        host, self._host = self._host, None
        return 0 if host is None else await host.close()

    async def advance(self, seconds: float) -> None:
        await self._control.clock.advance(seconds)

    async def sleep(self, actor_id: str) -> None:
        resident = self._running.resident(actor_id)
        if resident is not None:
            await resident.sleep()

    async def crash(self, actor_id: str) -> None:
        resident = self._running.resident(actor_id)
        if resident is not None:
            await resident.crash()

    async def generation(self, actor_id: str) -> int:
        row = await self._store.find_by_id(actor_id)
        if row is None or row.destroy_ts is not None:
            raise ActorNotFound("actor", "not_found", f"There is no actor with the id {actor_id!r}")
        return row.generation

    async def is_awake(self, actor_id: str) -> bool:
        return self._running.registry.is_here(actor_id)

    @property
    def _running(self) -> EmbeddedHost:
        if self._host is None:
            raise error(
                "registry.shut_down", "The test's host does not run: enter RivetTest with `async with`"
            )
        return self._host
