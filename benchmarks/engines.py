"""A real engine for measurements, with hosts on it, each in a pool of its own.

The engine and the stock runtime are the packages that ``scripts/setup`` installs for the tests; without them
there is nothing to measure. Data is in a temporary directory, ports are free ones.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison import Setup
from benchmarks.processes import ServerProcess, cpu_seconds
from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.binary import find_binary
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.process import EngineProcess

PACKAGES = Path(__file__).resolve().parents[1] / "tests" / "interop"

_STOCK = Path(__file__).with_name("stock.mjs")
_CONNECTED_WITHIN = 30.0


def is_installed() -> bool:
    """Whether the packages are there."""
    return (PACKAGES / "node_modules" / "rivetkit").is_dir()


@dataclass(frozen=True, slots=True)
class MeasuredHost:
    """A host on the engine."""

    name: str
    pool: str
    process: ServerProcess


class MeasuredEngine:
    """One running engine."""

    def __init__(self, process: EngineProcess, api: EngineApi) -> None:
        self._process = process
        self.api = api
        self.endpoint = process.endpoint
        self.port = int(process.endpoint.rpartition(":")[2])

    @classmethod
    async def start(cls, setup: Setup) -> MeasuredEngine:
        """Start one that lasts as long as the question.

        Raises:
            RivetError: ``engine.binary_not_found``.
        """
        launch = _launch(Path(setup.directory()))
        process = EngineProcess(launch, locate=_locate, clock=SystemClock())
        await setup.stack.enter_async_context(process)
        api = await setup.stack.enter_async_context(EngineApi(process.endpoint, clock=SystemClock()))
        return cls(process, api)

    async def ours(self, setup: Setup) -> MeasuredHost:
        """Our host, in a process of its own."""
        environment = await self._environment("py")
        process = await setup.server("engine-host", self.endpoint, environment=environment)
        return await self._connected("engine host", "py", process)

    async def stock(self, setup: Setup) -> MeasuredHost:
        """The stock TypeScript runtime."""
        environment = await self._environment("ts")
        process = await ServerProcess.run(["node", str(_STOCK), str(PACKAGES)], environment)
        setup.stack.push_async_callback(process.stop)
        return await self._connected("stock runtime", "ts", process)

    async def bare(self, setup: Setup) -> MeasuredHost:
        """An envoy that answers at once: what the engine alone costs."""
        await self.api.ensure_pool("default")
        process = await setup.server("bare-envoy", self.endpoint)
        return await self._connected("bare envoy", "default", process)

    def cpu_seconds(self) -> float:
        """Processor time of the engine so far."""
        return 0.0 if self._process.pid is None else cpu_seconds(self._process.pid)

    async def _environment(self, pool: str) -> dict[str, str]:
        await self.api.ensure_pool(pool)
        return {
            "RIVET_ENDPOINT": self.endpoint,
            "RIVET_NAMESPACE": "default",
            "RIVET_TOKEN": "dev",
            "RIVET_POOL": pool,
            "RIVET_RUN_ENGINE": "0",
            "RIVET_RUN_SERVICES": "0",
            "RIVET_LOG_LEVEL": "ERROR",
            "RIVET_ENVOY_VERSION": "1",
            "NODE_ENV": "production",
        }

    async def _connected(self, name: str, pool: str, process: ServerProcess) -> MeasuredHost:
        await self.api.wait_for_pool(pool, timeout=_CONNECTED_WITHIN)
        return MeasuredHost(name, pool, process)


async def _locate() -> Path:
    given = os.environ.get("RIVET_ENGINE_BINARY_PATH")
    return find_binary(
        storage=Path.home() / ".rivetkit",
        explicit=Path(given) if given else None,
        working_directory=PACKAGES,
    )


def _launch(storage: Path) -> EngineLaunch:
    with contextlib.ExitStack() as held:
        port, peer_port, metrics_port = [_free_port(held) for _ in range(3)]
    return EngineLaunch(storage=storage, port=port, peer_port=peer_port, metrics_port=metrics_port)


def _free_port(held: contextlib.ExitStack) -> int:
    listener = held.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    return port
