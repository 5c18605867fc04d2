"""Starts programs in processes of their own, which cost little, and kills them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_START_LIMIT = 20.0
_LINE_LIMIT = 16 * 1024 * 1024


class Child:
    """A running program. Its standard error is the test's own."""

    def __init__(self, process_id: int, output: asyncio.StreamReader, pipe: asyncio.BaseTransport) -> None:
        self._process_id = process_id
        self._descriptor = os.pidfd_open(process_id)
        self._output = output
        self._pipe = pipe
        self._killed = False

    async def line(self) -> bytes:
        """The next line it prints.

        Raises:
            AssertionError: It ended, or said nothing in time.
        """
        async with asyncio.timeout(_START_LIMIT):
            line = await self._output.readline()
        assert line.endswith(b"\n"), "the program ended; its message is above"
        return line.rstrip()

    async def lines_for(self, seconds: float) -> list[bytes]:
        """Every whole line it prints until it is killed, which is after this time."""
        ended = asyncio.ensure_future(self._output.read())
        await asyncio.wait([ended], timeout=seconds)
        await self.kill()
        *whole, _torn = (await ended).split(b"\n")
        return whole

    async def kill(self) -> float:
        """SIGKILL, and wait for the end; returns the monotonic time just before the signal. Idempotent."""
        moment = time.monotonic()
        if not self._killed:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._descriptor, ended.set)
            await ended.wait()
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        return moment

    def close(self) -> None:
        """Stop reading."""
        self._pipe.close()


class Nursery:
    """Starts programs by forking a process that has imported them."""

    def __init__(self, process: Process, requests: socket.socket) -> None:
        self._process = process
        self._requests = requests

    @classmethod
    @asynccontextmanager
    async def of(cls, *modules: str) -> AsyncGenerator[Nursery]:
        """A nursery of programs, each a module with ``main``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.crash.nursery", str(theirs.fileno()), *modules),
                    cwd=_ROOT,
                    pass_fds=[theirs.fileno()],
                )
            try:
                yield cls(process, ours)
            finally:
                ours.close()
                await process.wait()

    @asynccontextmanager
    async def child(self, module: str, *arguments: str) -> AsyncGenerator[Child]:
        """A running program, killed at the end."""
        reading, writing = os.pipe()
        try:
            message = json.dumps([module, *arguments]).encode()
            await asyncio.to_thread(socket.send_fds, self._requests, [message], [writing])
            answer = await asyncio.to_thread(self._requests.recv, 64)
        finally:
            os.close(writing)
        assert answer, "the nursery ended; its message is above"
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
        )
        child = Child(int(answer), reader, pipe)
        try:
            yield child
        finally:
            await child.kill()
            child.close()
