"""A running engine as a process: ours, or one that an earlier run left behind.

Plain ``subprocess`` instead of asyncio's: asyncio kills its processes with the event loop, and a detached
engine must outlive it. The end of a process is therefore found by asking, a few times a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rivetkit_core.clock import Clock
from rivetkit_core.host.engine.launch import Runtime

_ASK_INTERVAL = 0.1
_MAX_TAIL_LINES = 12
_MAX_TAIL_LINE = 300
_MAX_TAIL_BYTES = 16_384
_KEPT_RUNS = 10

_left_running: list[subprocess.Popen[bytes]] = []
"""Detached engines: kept from the garbage collector, which would complain that they still run."""


class EngineChild(Protocol):
    """Port: an engine that is ours to watch and to end."""

    @property
    def pid(self) -> int: ...

    @property
    def binary(self) -> str: ...

    def ended(self) -> str | None:
        """How it ended, for people; None while it runs."""
        ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def log_tail(self) -> str:
        """The last lines it wrote, and where the rest is."""
        ...

    def abandon(self) -> None:
        """Let it run on without us."""
        ...


class SpawnedEngine:
    """An engine this process started; its output goes to files."""

    def __init__(self, binary: Path, environment: Mapping[str, str], log_folder: Path, started: int) -> None:
        self.binary = str(binary)
        log_folder.mkdir(parents=True, exist_ok=True)
        _forget_old_logs(log_folder)
        self._logs = [log_folder / f"engine-{started}-{stream}.log" for stream in ("stdout", "stderr")]
        with contextlib.ExitStack() as files:
            out, err = (files.enter_context(path.open("ab")) for path in self._logs)
            self._process = subprocess.Popen(  # noqa: S603 - the program was asked for
                [binary, "start"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us; we end it when its actors are saved
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> str | None:
        status = self._process.poll()
        if status is None:
            return None
        return f"signal {-status}" if status < 0 else f"status {status}"

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def log_tail(self) -> str:
        lines = [line for path in self._logs for line in _last_lines(path)]
        return "\n".join([f"log in {self._logs[0].parent}:", *lines[-_MAX_TAIL_LINES:]])

    def abandon(self) -> None:
        _left_running.append(self._process)


class AdoptedEngine:
    """An engine whose owner died before it could end it. It is no child of ours, so its status is unknown."""

    def __init__(self, runtime: Runtime, log_folder: Path) -> None:
        self._runtime = runtime
        self._log_folder = log_folder

    @property
    def pid(self) -> int:
        return self._runtime.pid

    @property
    def binary(self) -> str:
        return self._runtime.binary

    def ended(self) -> str | None:
        return None if _runs(self.pid, self.binary) else "an unknown status"

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def log_tail(self) -> str:
        return f"log in {self._log_folder}"

    def abandon(self) -> None:
        pass

    def _signal(self, number: signal.Signals) -> None:
        if self.ended() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def orphan(runtime: Runtime | None, endpoint: str, log_folder: Path) -> AdoptedEngine | None:
    """The engine at ``endpoint`` if it was a child and its owner is gone.

    Only where /proc proves that the process number still is that program.
    """
    if runtime is None or runtime.endpoint != endpoint or runtime.lifetime != "child":
        return None
    if not _runs(runtime.pid, runtime.binary) or Path(f"/proc/{runtime.owner}").exists():
        return None
    return AdoptedEngine(runtime, log_folder)


async def wait_ended(child: EngineChild, clock: Clock, limit: float | None = None) -> str | None:
    """How the process ended; None if it still runs after ``limit`` seconds."""
    deadline = None if limit is None else clock.monotonic() + limit
    while (ended := child.ended()) is None:
        if deadline is not None and clock.monotonic() >= deadline:
            return None
        await clock.sleep(_ASK_INTERVAL)
    return ended


def _runs(pid: int, binary: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and os.readlink(f"/proc/{pid}/exe") == binary
    except (OSError, IndexError):
        return False


def _last_lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line[:_MAX_TAIL_LINE] for line in lines[-_MAX_TAIL_LINES:] if line.strip()]


def _forget_old_logs(folder: Path) -> None:
    for stream in ("stdout", "stderr"):
        old = sorted(folder.glob(f"engine-*-{stream}.log"))[: -_KEPT_RUNS + 1]
        for path in old:
            path.unlink(missing_ok=True)
