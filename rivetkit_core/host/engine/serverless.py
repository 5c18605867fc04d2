"""Serverless mode: engines call this process, and only then it connects to them (envoy-protocol 8).

    /start --> ServerlessHost --> EngineHost of (endpoint, namespace, pool), opened by the first request
                              --> the start command, as if it had come on the connection

Everything after the start goes over the connection, as in the other mode.

Invariants
    One envoy per target. One that will not be connected again is replaced by the next request.
    A request that is cancelled ends its own waiting, never an opening that others wait for too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.errors import error
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.start_request import EngineTarget
from rivetkit_core.host.port import ActorAccess
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.wire.envoy.messages import CommandEntry

log = logging.getLogger("rivetkit.serverless")

_MAX_TARGETS = 16


class ServerlessHost:
    """Runs actors for whoever calls. ``open`` before use, ``close`` to part with every actor and stop.

    Args:
        make: Makes the host for one target, not opened.
        access: How code outside of actors reaches them; closed with this host.
        metrics: Where the hosts that ``make`` makes count.
    """

    def __init__(
        self,
        factories: Iterable[ActorFactory],
        *,
        make: Callable[[EngineTarget], EngineHost],
        access: ActorAccess,
        metrics: ProcessMetrics | None = None,
    ) -> None:
        self.factories: Mapping[str, ActorFactory] = {factory.name: factory for factory in factories}
        self.access = access
        self.metrics = metrics or ProcessMetrics()
        self._make = make
        self._hosts: dict[EngineTarget, asyncio.Task[EngineHost]] = {}
        self._unsaved = 0
        self.is_open = False

    @property
    def is_in_touch(self) -> bool:
        """Whether every engine that has called was heard of lately; true while none has."""
        return all(host.is_in_touch for host in self._opened())

    async def open(self) -> None:
        """Take requests. Connects to nobody yet."""
        self.is_open = True

    async def close(self) -> int:
        """Refuse requests, part with every actor as ``EngineHost.close`` does, and disconnect. Idempotent.

        Returns:
            How many actors could not save their last changes; the log names them.
        """
        if not self.is_open:
            return 0
        self.is_open = False
        opening = [task for task in self._hosts.values() if not task.done()]
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        unsaved = await asyncio.gather(*(host.close() for host in self._opened()))
        self._hosts.clear()
        await self.access.aclose()
        return sum(unsaved) + self._unsaved

    async def begin(self, target: EngineTarget, entry: CommandEntry) -> EngineHost:
        """Have a start command handled, at most once; returns the host that runs the generation.

        Cancelling stops the waiting, not an actor.

        Raises:
            RivetError: ``engine.unreachable``, ``engine.refused``: the actor was not started.
                ``registry.shut_down``.
        """
        host = await self._host(target)
        await host.begin(entry)
        return host

    # --- inside ---------------------------------------------------------------------------------

    async def _host(self, target: EngineTarget) -> EngineHost:
        while True:
            if not self.is_open:
                raise error("registry.shut_down")
            task = self._hosts.get(target)
            if task is None:
                task = self._begin_opening(target)
            await asyncio.wait([task])
            if task.cancelled():
                raise error("registry.shut_down")
            host = task.result()
            if not host.has_ended:
                return host
            await self._replace(target, task, host)

    def _begin_opening(self, target: EngineTarget) -> asyncio.Task[EngineHost]:
        if len(self._hosts) >= _MAX_TARGETS:
            log.error("%d engines, namespaces and pools call this process; no more are served", _MAX_TARGETS)
            raise error("guard.service_unavailable")
        task = asyncio.create_task(self._open(target), name=f"opening {target}")
        task.add_done_callback(_retrieve)
        self._hosts[target] = task
        return task

    async def _open(self, target: EngineTarget) -> EngineHost:
        host = self._make(target)
        try:
            await host.open()
        except BaseException:
            self._hosts.pop(target, None)
            await host.access.aclose()
            raise
        log.info("connected to %s, namespace %s, pool %s", target.endpoint, target.namespace, target.pool)
        return host

    async def _replace(self, target: EngineTarget, task: asyncio.Task[EngineHost], host: EngineHost) -> None:
        """Give an envoy up that the engine evicted or refused; its actors have ended already."""
        if self._hosts.get(target) is task:
            del self._hosts[target]
            self._unsaved += await host.close()

    def _opened(self) -> list[EngineHost]:
        return [
            task.result()
            for task in self._hosts.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]


def _retrieve(task: asyncio.Task[EngineHost]) -> None:
    """Whoever waits raises the failure; if all of them are gone, nobody has to."""
    if not task.cancelled():
        task.exception()
