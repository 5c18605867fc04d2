"""A stock TypeScript runtime beside ours, in one namespace of an engine; its Node side is ``runtime.mjs``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from rivetkit import Client
from tests.harness.node import NodeProcess
from tests.interop.driver import Encoding
from tests.interop.server import Place

PYTHON_POOL = "python"
TYPESCRIPT_POOL = "typescript"

_SCRIPT = Path(__file__).with_name("runtime.mjs")
_START_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A namespace with a pool for each runtime. Who creates an actor names its pool."""

    endpoint: str
    namespace: str

    def place(self, pool: str) -> Place:
        """Where a runtime of ``pool`` serves."""
        return Place.on_engine(self.endpoint, self.namespace, pool)

    def client(self, pool: str, encoding: Encoding) -> Client:
        """A client of ours that makes new actors in ``pool``."""
        return Client(self.endpoint, namespace=self.namespace, pool=pool, encoding=encoding)


@contextlib.asynccontextmanager
async def typescript_runtime(neighbours: Neighbours, pool: str = TYPESCRIPT_POOL) -> AsyncGenerator[None]:
    """The actors of ``runtime.mjs``, served in a pool for the duration of a block."""
    quiet = {"RIVET_LOG_LEVEL": "silent", "RIVET_RUN_SERVICES": "0"}
    environment = {**os.environ, **neighbours.place(pool).environment, **quiet}
    async with NodeProcess(_SCRIPT, lambda _: None, environment=environment) as node:
        await node.request("ready", answer_timeout=_START_TIMEOUT)
        yield
