"""The real world: an engine host in this process, in a namespace of its own, in real time.

What a test may ask of time is little: it waits. Lives end as they do there: the engine is asked to put an
actor to sleep, and a crash ends a generation without hooks, with its storage closed to it before, and is
reported as the error that a lost process is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import cast

from rivetkit._hosting import Hosting, engine_hosting
from rivetkit.testing._world import NotOnThisHost
from rivetkit_core.actor.context import ActorContext
from rivetkit_core.actor.factory import ActorFactory, ActorInstance
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy, new_uuid
from rivetkit_core.errors import error
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.hosted import HostedActor
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.managed import managed_engine
from rivetkit_core.host.engine.settings import EngineSettings, read_settings
from rivetkit_core.host.port import ActorAccess

_START_TIMEOUT = 30.0
_NOTICE_TIMEOUT = 30.0
_NOTICE_POLL = 0.02
_SLACK = 0.5
"""Seconds an engine and this process may take to notice that something is due."""


@contextlib.asynccontextmanager
async def running_engine() -> AsyncGenerator[str]:
    """An engine on free ports with data of its own, for the duration of a block; gives its URL.

    Raises:
        RivetError: ``engine.*``: there is no program for it, or it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="rivetkit-test-", ignore_cleanup_errors=True) as storage:
        port, peer_port, metrics_port = _free_ports(3)
        launch = EngineLaunch(
            storage=Path(storage),
            port=port,
            peer_port=peer_port,
            metrics_port=metrics_port,
            start_timeout=_START_TIMEOUT,
        )
        settings = read_settings(os.environ)
        clock, entropy = SystemClock(), SystemEntropy()
        async with managed_engine(settings, clock=clock, entropy=entropy, launch=launch) as process:
            yield process.endpoint


class EngineWorld:
    """A namespace of an engine.

    Args:
        endpoint: The engine's URL; None starts one.
        max_wait: Seconds that ``advance`` may take.
    """

    is_virtual = False

    def __init__(self, endpoint: str | None, *, max_wait: float) -> None:
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self._endpoint = endpoint
        self._max_wait = max_wait
        self._namespace = f"test-{new_uuid(self.entropy)}"
        self._hosting: Hosting | None = None
        self._names: set[str] = set()
        self._generations: dict[str, int] = {}
        self._entered = contextlib.AsyncExitStack()

    @property
    def access(self) -> ActorAccess:
        return self._host.access

    def note_progress(self) -> None:
        """Nobody waits for that here."""

    async def enter(self) -> None:
        if self._endpoint is None:
            self._endpoint = await self._entered.enter_async_context(running_engine())
        async with self._api(self._endpoint) as api:
            await api.create_namespace(self._namespace)
            await api.ensure_pool("default")

    async def leave(self) -> None:
        await self._entered.aclose()

    async def start(self, factories: Iterable[ActorFactory]) -> Hosting:
        watched = [self._watched(factory) for factory in factories]
        endpoint = self._endpoint or ""
        settings = EngineSettings(endpoint=endpoint, namespace=self._namespace, spawn="never")
        hosting = engine_hosting(watched, settings, clock=self.clock, entropy=self.entropy)
        await hosting.host.open()
        self._hosting = hosting
        self._names |= {factory.name for factory in watched}
        async with self._api(endpoint) as api:
            await api.wait_for_pool("default")
        return hosting

    async def stop(self, *, for_good: bool = False) -> int:
        hosting, self._hosting = self._hosting, None
        if hosting is None:
            return 0
        if for_good:  # an engine looks for a place for what is left, for ever
            await self._destroy_all()
        return await hosting.host.close()

    async def advance(self, seconds: float) -> None:
        if seconds > self._max_wait:
            raise NotOnThisHost(
                f"time is real on an engine, and a test may wait {self._max_wait:g} s for it, "
                f"not {timedelta(seconds=seconds)}"
            )
        await self.clock.sleep(seconds + _SLACK)

    async def sleep(self, actor_id: str) -> None:
        hosted = self._hosted(actor_id)
        if hosted is not None:
            await self._end(hosted, hosted.ask_to_sleep)

    async def crash(self, actor_id: str) -> None:
        hosted = self._hosted(actor_id)
        if hosted is not None:
            await self._end(hosted, hosted.lose)

    async def generation(self, actor_id: str) -> int:
        return self._generations.get(actor_id, 0)

    async def is_awake(self, actor_id: str) -> bool:
        return self._hosted(actor_id) is not None

    @property
    def _host(self) -> EngineHost:
        if self._hosting is None:
            raise error(
                "registry.shut_down", "The test's host does not run: enter RivetTest with `async with`"
            )
        return cast("EngineHost", self._hosting.host)

    def _hosted(self, actor_id: str) -> HostedActor | None:
        return self._host.hosted(actor_id)

    def _api(self, endpoint: str) -> EngineApi:
        return EngineApi(endpoint, clock=self.clock, namespace=self._namespace)

    def _watched(self, factory: ActorFactory) -> ActorFactory:
        """The same actors, whose lives we count."""

        def create(context: ActorContext) -> ActorInstance:
            self._generations[context.actor_id] = context.generation
            return factory.create(context)

        return dataclasses.replace(factory, create=create)

    async def _end(self, hosted: HostedActor, begin: Callable[[], None]) -> None:
        """End a generation, and wait until the engine knows and sends no more requests there."""
        actor_id = hosted.actor_id
        async with self._api(self._endpoint or "") as api, self.clock.timeout(_NOTICE_TIMEOUT):
            life = (await api.get_actor(actor_id)).connectable_ts
            begin()
            await self._host.ended(actor_id, hosted.generation)
            while life is not None and (await api.get_actor(actor_id)).connectable_ts == life:
                await self.clock.sleep(_NOTICE_POLL)

    async def _destroy_all(self) -> None:
        async with self._api(self._endpoint or "") as api:
            for name in self._names:
                for actor in await api.list_actors(name):
                    await api.delete_actor(actor.actor_id)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
