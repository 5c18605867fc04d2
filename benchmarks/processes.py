"""The measured servers as child processes of the load process.

ServerProcess   a server that we start and stop
cpu_seconds     what any process has used so far
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process so far, in steps of the system's clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class ServerProcess:
    """One running server, of ``benchmarks.servers`` or any other that prints its port once it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(
        cls,
        kind: str,
        *args: str,
        profile: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a server and wait until it accepts connections; ``environment`` is added to our own."""
        options = [] if profile is None else ["--profile", str(profile)]
        command = (sys.executable, "-m", "benchmarks.servers", *options, kind, *args)
        return await cls.run(command, environment or {})

    @classmethod
    async def run(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start any program."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )
        server = cls(process, 0)
        server.port = int(await server._line())
        return server

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)

    async def ask(self, command: str) -> int:
        """Send one line to the server and return the number it prints."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        return int(await self._line())

    async def stop(self) -> None:
        """End it in an orderly way.

        Raises:
            RuntimeError: It ended otherwise.
        """
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        status = await self._process.wait()
        if status not in {0, -signal.SIGTERM}:
            raise RuntimeError(f"a measured server ended with status {status}")

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a measured server ended; its message is above")
        return line
