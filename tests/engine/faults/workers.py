"""Starts the worker program, and does to it what is to be endured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_START_LIMIT = 30.0
_END_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the journal; ``at`` is monotonic, and the same clock in every process."""

    actor: str
    generation: int
    process: int
    at: float
    what: str
    entry: str


class Journal:
    """What the actors of every worker wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Note]:
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        return [Note(**json.loads(line)) for line in whole.splitlines()]

    def overlaps(self) -> list[str]:
        """Moments at which a generation did something after a later one of its actor had woken."""
        woken: dict[tuple[str, int], float] = {}
        notes = self.read()
        for note in notes:
            if note.what == "wake":
                woken[note.actor, note.generation] = note.at
        return [
            f"{note.actor} generation {note.generation}: {note.what} {note.at - at:.3f} s after {later} woke"
            for note in notes
            for (actor, later), at in woken.items()
            if actor == note.actor and later > note.generation and note.at > at
        ]


class Worker:
    """A running worker process. What it logs is kept in a file."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: int) -> float:
        """Send a signal; returns the monotonic time just before."""
        moment = time.monotonic()
        self._process.send_signal(number)
        return moment

    async def kill(self) -> float:
        """SIGKILL, and wait for the end; returns the monotonic time just before the signal."""
        moment = time.monotonic()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()
        return moment

    async def gone(self) -> None:
        """Wait for an end that somebody else brings about."""
        async with asyncio.timeout(_START_LIMIT):
            await self._process.communicate()

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit status."""
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_END_LIMIT):
            await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode


class Workers:
    """The workers of one test: one namespace, one journal."""

    def __init__(self, folder: Path, endpoint: str, namespace: str) -> None:
        self.journal = Journal(folder / "journal")
        self._folder = folder
        self._endpoint = endpoint
        self._namespace = namespace
        self._started: list[Worker] = []

    async def start(self, *, endpoint: str | None = None, **environment: str) -> Worker:
        """Start one and wait until actors may be placed on it; ``endpoint`` may lead through a proxy.

        Raises:
            AssertionError: It ended, or said nothing in time; with its log.
        """
        log = self._folder / f"worker-{len(self._started)}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RIVET")}
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.engine.faults.program"),
                cwd=_ROOT,
                stdout=PIPE,
                stderr=errors,
                env=kept
                | {
                    "RIVET_ENDPOINT": endpoint or self._endpoint,
                    "RIVET_NAMESPACE": self._namespace,
                    "FAULTS_JOURNAL": str(self.journal.path),
                }
                | environment,
            )
        worker = Worker(process, log)
        self._started.append(worker)
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_LIMIT):
                line = await process.stdout.readline()
        assert line, f"the worker did not start: {worker.log}"
        return worker

    def by_pid(self, pid: int) -> Worker:
        return next(worker for worker in self._started if worker.pid == pid)

    async def end(self) -> None:
        """Kill what is left."""
        for worker in self._started:
            await worker.kill()


@contextlib.asynccontextmanager
async def workers(folder: Path, endpoint: str, namespace: str) -> AsyncGenerator[Workers]:
    """Workers for the duration of a block; none survives it."""
    started = Workers(folder, endpoint, namespace)
    try:
        yield started
    finally:
        await started.end()
