"""Starts the server program and kills it."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_START_LIMIT = 20.0


class Server:
    """A running server process. Its standard error is the test's own."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, data_dir: Path) -> Server:
        """Start and wait until it accepts connections.

        Raises:
            AssertionError: It ended, or said nothing in time.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.crash.server", "--data-dir", str(data_dir)),
            cwd=_ROOT,
            stdout=PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_LIMIT):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        server = cls(process, line.decode().strip())
        if not line:
            await server.kill()
            raise AssertionError(f"the server did not start: exit status {process.returncode}")
        return server

    async def kill(self) -> float:
        """SIGKILL, and wait for the end; returns the monotonic time just before the signal."""
        moment = time.monotonic()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
        return moment
