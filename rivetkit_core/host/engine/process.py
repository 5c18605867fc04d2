"""Starts an engine, or finds the one that runs, watches over it, and ends it (actor-runtime 14.4).

    look ── an engine answers ──► reuse it; ours to end only if its owner died
      └──── nobody answers ─────► start one, wait until it is healthy ──► watch: restart it when it ends

Knows nothing about what runs on the engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.binary import ENGINE_VERSION
from rivetkit_core.host.engine.child import EngineChild, SpawnedEngine, orphan, wait_ended
from rivetkit_core.host.engine.launch import EngineLaunch, Runtime
from rivetkit_core.host.engine.requests import nobody_listens
from rivetkit_core.host.engine.resources import Health

log = logging.getLogger("rivetkit.engine")

_TRY_TIMEOUT = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_STOP_TIMEOUT = 5.0
_SILENCE = 5.0
_RACE = 2.0
_RESTARTS, _RESTART_WINDOW = 5, 60.0
_RESTART_PAUSE, _LONGEST_RESTART_PAUSE = 0.5, 8.0
_TAKEN = ("in use", "lock")


class EngineProcess:
    """One engine on this machine. Use it as an async context manager, or ``start`` and ``stop``.

    Args:
        launch: How to start it.
        locate: Finds the program; called only when an engine must be started.
        environ: What the engine inherits; this process's environment by default.
    """

    def __init__(
        self,
        launch: EngineLaunch,
        *,
        locate: Callable[[], Awaitable[Path]],
        clock: Clock,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._launch = launch
        self._locate = locate
        self._clock = clock
        self._environ = environ
        self._child: EngineChild | None = None
        self._watching: asyncio.Task[None] | None = None
        self._gave_up = asyncio.Event()
        self._failure: RivetError | None = None

    @property
    def endpoint(self) -> str:
        return self._launch.endpoint

    @property
    def pid(self) -> int | None:
        """The process, if it is ours to end."""
        return None if self._child is None else self._child.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> Health:
        """Return when an engine answers; cancelled or failed, it leaves none of ours behind.

        Raises:
            RivetError: ``engine.port_occupied``: somebody else answers; ``engine.version_mismatch``;
                ``engine.binary_not_found``; ``engine.health_check_failed``, with the end of the log.
        """
        health = await self._look_until_clear()
        if health is None:
            health = await self._spawn()
        else:
            self._adopt(health)
        if self._child is not None:
            self._watching = asyncio.create_task(self._watch(self._child))
        return health

    async def stop(self) -> None:
        """Stop watching and, unless it is detached, end the engine: SIGTERM, 5 s, SIGKILL.

        An engine that somebody else started is left alone. Harmless to repeat.
        """
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        child, self._child = self._child, None
        if child is not None and self._launch.lifetime == "detached":
            child.abandon()
        elif child is not None:
            await self._end(child)
            self._launch.runtime_file.unlink(missing_ok=True)
        if watching is not None and not watching.cancelled():
            watching.result()

    async def failed(self) -> RivetError:
        """Wait until the engine is gone for good: it ended again and again, or could not be restarted.

        An engine that is not ours is not watched; then this waits for ever. Safe to cancel.
        """
        await self._gave_up.wait()
        assert self._failure is not None
        return self._failure

    def _adopt(self, health: Health) -> None:
        launch = self._launch
        log.info("using the engine %s that runs at %s", health.version, self.endpoint)
        self._child = orphan(Runtime.load(launch.runtime_file), self.endpoint, launch.log_folder)
        if self._child is not None:
            log.info("process %d lost its owner and is ours now", self._child.pid)
            self._record(self._child)

    async def _spawn(self) -> Health:
        binary = await self._locate()
        taken = _first_taken(self._launch.private_ports)
        if taken is not None:
            return await self._appears(taken)
        try:
            child = self._execute(binary)
            try:
                health = await self._wait_healthy(child)
                self._check_version(health)
                if child.ended() is not None:
                    log.info("another process was faster: its engine %s serves both", health.version)
                    return health
                self._record(child)
            except BaseException:
                await self._end(child)
                raise
        except OSError as failure:
            reason = f"{failure.filename or binary}: {failure.strerror}"
            raise error("engine.health_check_failed", attempts=0, reason=reason) from failure
        self._child = child
        log.info("started the engine %s at %s, process %d", health.version, self.endpoint, child.pid)
        return health

    async def _appears(self, taken: int) -> Health:
        """An engine that holds one of our ports without answering yet: another process just started it."""
        deadline = self._clock.monotonic() + _RACE
        while (health := await self._look_quietly()) is None:
            if self._clock.monotonic() >= deadline:
                raise error(
                    "engine.port_occupied",
                    port=taken,
                    found="another program has it, and the engine needs it for itself",
                )
            await self._clock.sleep(_FIRST_PAUSE)
        return health

    def _execute(self, binary: Path) -> EngineChild:
        launch = self._launch
        launch.database.mkdir(parents=True, exist_ok=True)
        environment = launch.environment(os.environ if self._environ is None else self._environ)
        return SpawnedEngine(binary.resolve(), environment, launch.log_folder, int(self._clock.now()))

    def _record(self, child: EngineChild) -> None:
        """Write down who owns the engine, for the process that finds it when we are gone."""
        launch = self._launch
        Runtime(
            pid=child.pid,
            endpoint=launch.endpoint,
            bind_host=launch.host,
            public_url=launch.endpoint,
            binary=child.binary,
            lifetime=launch.lifetime,
            owner=os.getpid(),
        ).save(launch.runtime_file)

    async def _wait_healthy(self, child: EngineChild) -> Health:
        """The answer of a new engine, within the budget; its end is noticed while waiting."""
        deadline = self._clock.monotonic() + self._launch.start_timeout
        attempts, pause = 0, _FIRST_PAUSE
        while True:
            ended = await wait_ended(child, self._clock, pause)
            attempts += 1
            health = await self._look_quietly()
            if health is not None:
                return health
            if ended is not None:
                race = _RACE if _lost_a_race(child) else 0.0
                deadline = min(deadline, self._clock.monotonic() + race)
            if self._clock.monotonic() >= deadline:
                why = f"it ended with {ended}" if ended is not None else "it runs and does not answer"
                reason = f"{why}; {child.log_tail()}"
                raise error("engine.health_check_failed", attempts=attempts, reason=reason)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if ended is not None:
                await self._clock.sleep(pause)

    async def _watch(self, child: EngineChild) -> None:
        recent: list[float] = []
        while True:
            ended = await wait_ended(child, self._clock)
            log.warning("the engine ended with %s; %s", ended, child.log_tail())
            self._child = None
            try:
                await self._restart(recent)
            except RivetError as failure:
                self._failure = failure
                self._gave_up.set()
                log.error("the engine is not restarted any more: %s", failure)
                return
            if self._child is None:
                return
            child = self._child

    async def _restart(self, recent: list[float]) -> None:
        """Bring an engine back, each time after a longer pause.

        Raises:
            RivetError: ``recent`` restarts used up the budget; the last reason.
        """
        while True:
            now = self._clock.monotonic()
            recent[:] = [moment for moment in recent if now - moment < _RESTART_WINDOW]
            if len(recent) >= _RESTARTS:
                reason = f"it ended {_RESTARTS} times within {_RESTART_WINDOW:g} s"
                raise error("engine.health_check_failed", attempts=_RESTARTS, reason=reason)
            pause = min(_RESTART_PAUSE * 2 ** len(recent), _LONGEST_RESTART_PAUSE)
            recent.append(now)
            await self._clock.sleep(pause)
            try:
                found = await self._look_until_clear()
                if found is None:
                    await self._spawn()
                else:
                    self._adopt(found)
                return
            except RivetError as failure:
                if len(recent) >= _RESTARTS:
                    raise
                log.warning("restarting the engine failed: %s", failure)

    async def _end(self, child: EngineChild) -> None:
        child.terminate()
        try:
            if await wait_ended(child, self._clock, _STOP_TIMEOUT) is not None:
                return
            log.warning("the engine did not stop within %g s and is killed", _STOP_TIMEOUT)
        except asyncio.CancelledError:
            child.kill()
            raise
        child.kill()
        await wait_ended(child, self._clock)

    async def _look_until_clear(self) -> Health | None:
        """The engine at our address, or None when the port is free.

        One that accepts connections and says nothing may be shutting down, and gets a few seconds.
        """
        deadline = self._clock.monotonic() + _SILENCE
        while True:
            try:
                found = await self._look()
            except RivetError as failure:
                if failure.code != "unreachable":
                    raise
                if self._clock.monotonic() >= deadline:
                    raise self._occupied(
                        "a program there accepts connections and does not answer"
                    ) from failure
                await self._clock.sleep(_FIRST_PAUSE)
                continue
            if found is not None:
                self._check_version(found)
            return found

    async def _look_quietly(self) -> Health | None:
        try:
            return await self._look()
        except RivetError as failure:
            if failure.code == "unreachable":
                return None
            raise

    async def _look(self) -> Health | None:
        """One look at our address.

        Raises:
            RivetError: ``engine.port_occupied``; ``engine.unreachable`` when nothing sensible came in time.
        """
        async with EngineApi(self.endpoint, clock=self._clock, request_timeout=_TRY_TIMEOUT) as api:
            try:
                health = await api.health()
            except RivetError as failure:
                if nobody_listens(failure):
                    return None
                if failure.code == "unreachable":
                    raise
                raise self._occupied(f"what answers there is no engine ({failure.message})") from failure
        if health.runtime != "engine":
            raise self._occupied(f"a server of the kind {health.runtime!r} answers there")
        return health

    def _check_version(self, health: Health) -> None:
        wanted = self._launch.version
        if wanted is not None and health.version != wanted:
            raise error(
                "engine.version_mismatch", endpoint=self.endpoint, found=health.version, wanted=wanted
            )
        if health.version != ENGINE_VERSION:
            log.warning(
                "the engine at %s has version %s; this release is tested with %s",
                self.endpoint,
                health.version,
                ENGINE_VERSION,
            )

    def _occupied(self, found: str) -> RivetError:
        return error("engine.port_occupied", port=self._launch.port, found=found)


def _first_taken(ports: tuple[int, ...]) -> int | None:
    """A port that the engine could not listen on; it would start all the same, and work only in part."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return port
    return None


def _lost_a_race(child: EngineChild) -> bool:
    """Whether an engine ended because another one, which may not answer yet, has its port or its data."""
    tail = child.log_tail().lower()
    return any(word in tail for word in _TAKEN)
