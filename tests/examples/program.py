"""A Python program in a process of its own, as a reader would start it.

    async with Program("-m", "examples.counter", "--port", "0") as program:
        url = await program.serving()

Its output is collected line by line; every wait is bounded and fails with what the program had said.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
LINE_TIMEOUT = 20.0
EXIT_TIMEOUT = 20.0

_READY = re.compile(r"on (http://\S+),|(?:running|listening) on (http://\S+)")


class Program:
    """One run of ``python <arguments>``. Leaving the block kills it if it still runs."""

    def __init__(self, *arguments: str, cwd: Path = ROOT, environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._cwd = cwd
        self._environ = {**os.environ, **(environ or {})}
        self.output = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            cwd=self._cwd,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def line(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Read on until a line matches.

        Raises:
            AssertionError: The program ended, or no such line came in time.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(LINE_TIMEOUT):
                while line := (await self._process.stdout.readline()).decode():
                    self.output += line
                    if found := pattern.search(line):
                        return found
        except TimeoutError:
            pass
        raise AssertionError(f"{self._arguments} never printed {pattern.pattern!r}:\n{self.output}")

    async def serving(self) -> str:
        """The URL the program says it serves on."""
        found = await self.line(_READY)
        return next(filter(None, found.groups()))

    async def finish(self) -> int:
        """Wait for the end of the program and of its output."""
        async with asyncio.timeout(EXIT_TIMEOUT):
            rest, _ = await self._process.communicate()
        self.output += rest.decode()
        return self._process.returncode or 0

    async def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        return await self.finish()

    async def kill(self) -> None:
        """``kill -9``; does nothing to a program that has ended."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


async def run(*arguments: str, cwd: Path = ROOT) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        AssertionError: Its exit status was not 0.
    """
    async with Program(*arguments, cwd=cwd) as program:
        status = await program.finish()
        assert status == 0, program.output
        return program.output
