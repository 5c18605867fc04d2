"""Our actors served by a process of its own, on either host, and a front that keeps a port open meanwhile."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"
START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0
_ROOT = Path(__file__).parents[2]
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """Where actors are served, and how clients get there.

    Attributes:
        options: What the program that serves them is told.
        environment: What is added to its environment.
    """

    endpoint: str
    namespace: str = "default"
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_engine(self) -> bool:
        return "RIVET_ENDPOINT" in self.environment

    @classmethod
    def embedded(cls, data_dir: Path) -> Place:
        """In the program itself."""
        port = _free_port()
        return cls(f"http://{HOST}:{port}", options=("--port", str(port), "--data-dir", str(data_dir)))

    @classmethod
    def on_engine(cls, endpoint: str, namespace: str, pool: str = "default") -> Place:
        """On an engine that runs."""
        settings = {
            "RIVET_ENDPOINT": endpoint,
            "RIVET_NAMESPACE": namespace,
            "RIVET_POOL": pool,
            "RIVETKIT_ENGINE_SPAWN": "never",
        }
        return cls(endpoint, namespace, environment=settings)


class ServerProcess:
    """``tests.interop.serve`` in a process. Blocking: a context manager for fixtures and threads."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it has taken up work.

        Raises:
            RuntimeError: It ended, or did not get there in time; its standard error says why.
        """
        ready, signal_ready = os.pipe()
        command = [sys.executable, "-m", "tests.interop.serve", "--ready-fd", str(signal_ready)]
        command += self.place.options
        environment = {**os.environ, **self.place.environment}
        self._process = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=(signal_ready,))
        os.close(signal_ready)
        try:
            readable, _, _ = select.select([ready], [], [], START_TIMEOUT)
            started = bool(readable) and os.read(ready, 1) == b"1"
        finally:
            os.close(ready)
        if not started:
            self.kill()
            raise RuntimeError("the server did not start")

    def stop(self) -> None:
        """Ask it to shut down and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it without warning."""
        self._process.kill()
        self._process.wait()


class Front:
    """A TCP proxy in front of a port. While ``lowered`` it accepts connections and holds them.

    A stock client gives up for good on a refused connection (client-protocol 4.7), so a server that restarts
    under it needs something that keeps listening.
    """

    def __init__(self, endpoint: str) -> None:
        self._port = urlsplit(endpoint).port
        self._up = asyncio.Event()
        self._up.set()
        self._links: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    def lower(self) -> None:
        """Hold new connections from now on."""
        self._up.clear()

    def raise_(self) -> None:
        """Let held and new connections through."""
        self._up.set()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.get_running_loop().create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._up.wait()
            back_reader, back_writer = await asyncio.open_connection(HOST, self._port)
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(_copy(reader, back_writer))
                both_ways.create_task(_copy(back_reader, writer))
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
