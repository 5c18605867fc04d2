"""A Node program that a test steers: the Python end of ``channel.mjs``. Knows nothing about what it does.

Requests may overlap. Every wait has a bound, so a program that hangs or dies fails the test that asked.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

REQUEST_TIMEOUT = 15.0
CLOSE_TIMEOUT = 5.0
# An answer is one line, and a test may ask for a value of several megabytes.
LINE_LIMIT = 64 * 1024 * 1024

Message = dict[str, Any]


class NodeError(Exception):
    """An operation threw in Node; ``details`` is what the program told about it."""

    def __init__(self, details: Message) -> None:
        super().__init__(str(details.get("message", details)))
        self.details = details


class NodeDied(Exception):
    """The program ended while an answer was awaited; its standard error says why."""


class NodeProcess:
    """One running program. Use it as an async context manager.

    Args:
        script: The module to run.
        on_push: Receives every line that answers no request.
        environment: The whole environment of the process; ours when None.
    """

    def __init__(
        self,
        script: Path,
        on_push: Callable[[Message], None],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._script = script
        self._on_push = on_push
        self._environment = environment
        self._ids = itertools.count(1)
        self._waiters: dict[int, asyncio.Future[Message]] = {}
        self._ended = False

    async def __aenter__(self) -> Self:
        node = shutil.which("node")
        if node is None:
            raise RuntimeError("Node.js is not installed; scripts/setup says what is needed")
        self._process = await asyncio.create_subprocess_exec(
            node,
            str(self._script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=LINE_LIMIT,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._process.wait()
        finally:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._reader

    async def request(
        self, operation: str, *, answer_timeout: float = REQUEST_TIMEOUT, **fields: object
    ) -> object:
        """Run one operation with ``fields`` and return its answer.

        Raises:
            NodeError: It threw.
            NodeDied: The program ended first.
            TimeoutError: No answer within ``answer_timeout`` seconds.
        """
        if self._ended:
            raise NodeDied(self._script.name)
        number = next(self._ids)
        waiter: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiters[number] = waiter
        try:
            async with asyncio.timeout(answer_timeout):
                await self._send({"id": number, "op": operation, **fields})
                answer = await waiter
        finally:
            del self._waiters[number]
        if "error" in answer:
            raise NodeError(cast("Message", answer["error"]))
        return cast("object", answer["ok"])

    async def _send(self, message: Message) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(message).encode() + b"\n")
        await stdin.drain()

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                self._dispatch(cast("Message", json.loads(line)))
        finally:
            self._ended = True
            for waiter in self._waiters.values():
                if not waiter.done():
                    waiter.set_exception(NodeDied(self._script.name))

    def _dispatch(self, message: Message) -> None:
        number = message.get("id")
        if number is None:
            self._on_push(message)
            return
        # Gone or done: the request timed out, and its late answer has no reader.
        waiter = self._waiters.get(cast("int", number))
        if waiter is not None and not waiter.done():
            waiter.set_result(message)
