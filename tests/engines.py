"""A real engine for tests: finds its program, and runs one on free ports with data of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.binary import find_binary
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.process import EngineProcess

NODE_PACKAGES = Path(__file__).resolve().parent / "interop"

START_TIMEOUT = 30.0
"""Seconds; more than users get, since a test machine may be busy."""


def engine_program() -> Path:
    """``RIVET_ENGINE_BINARY_PATH``, else what ``rivetkit engine install`` or ``scripts/setup`` installed."""
    given = os.environ.get("RIVET_ENGINE_BINARY_PATH")
    return find_binary(
        storage=Path.home() / ".rivetkit",
        explicit=Path(given) if given else None,
        working_directory=NODE_PACKAGES,
    )


async def locate() -> Path:
    return engine_program()


def launch_into(storage: Path) -> EngineLaunch:
    """On three free ports, so that engines of several tests can run side by side."""
    with contextlib.ExitStack() as held:
        ports = [_free_port(held) for _ in range(3)]
    return EngineLaunch(
        storage=storage,
        port=ports[0],
        peer_port=ports[1],
        metrics_port=ports[2],
        start_timeout=START_TIMEOUT,
    )


def engine_process(launch: EngineLaunch) -> EngineProcess:
    return EngineProcess(launch, locate=locate, clock=SystemClock())


class RunningEngine:
    """The engine of a test session."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def api(self, namespace: str = "default") -> EngineApi:
        return EngineApi(self.endpoint, clock=SystemClock(), namespace=namespace)

    async def fresh_namespace(self, *pools: str) -> str:
        """A namespace no other test uses, with these pools; with ``default`` when none are named."""
        name = f"test-{uuid.uuid4().hex}"
        async with self.api(name) as api:
            await api.create_namespace(name)
            for pool in pools or ("default",):
                await api.ensure_pool(pool)
        return name

    def endpoint_of(self, namespace: str) -> str:
        """What clients and hosts of a namespace connect to."""
        return self.endpoint.replace("://", f"://{namespace}@")

    async def wait_for_pool(self, namespace: str, pool: str = "default") -> None:
        """Wait until actors can be created: the engine must have seen a host of the pool."""
        async with self.api(namespace) as api:
            await api.wait_for_pool(pool)

    async def clear(self, namespace: str, *names: str) -> None:
        """Destroy the actors of these names; without a host the engine would try to place them for ever."""
        async with self.api(namespace) as api:
            listed = await asyncio.gather(*(api.list_actors(name) for name in names))
            await asyncio.gather(*(api.delete_actor(actor.actor_id) for page in listed for actor in page))


@contextlib.asynccontextmanager
async def running_engine(storage: Path) -> AsyncGenerator[RunningEngine]:
    """An engine for the duration of a block."""
    async with engine_process(launch_into(storage)) as process:
        yield RunningEngine(process.endpoint)


def _free_port(held: contextlib.ExitStack) -> int:
    listener = held.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    return port
