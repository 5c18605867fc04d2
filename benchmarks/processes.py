"""The measured servers as child processes of the load process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """One running ``benchmarks.servers`` process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, kind: str, *args: str, profile: Path | None = None) -> Self:
        """Start a server and wait until it accepts connections."""
        options = [] if profile is None else ["--profile", str(profile)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.servers", *options, kind, *args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        server = cls(process, 0)
        server.port = int(await server._line())
        return server

    def cpu_seconds(self) -> float:
        """Processor time of all its threads so far, in steps of the system's clock tick."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

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
