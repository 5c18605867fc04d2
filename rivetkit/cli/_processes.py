"""Workers as processes of this machine, in groups of their own: a terminal's Ctrl-C is not for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from rivetkit.cli._reports import LEAVE, MAX_REPORT, Report, decode_report


class SpawnedWorker:
    """A worker's process, with the supervisor's ends of the two pipes."""

    def __init__(
        self, process: asyncio.subprocess.Process, lines: asyncio.StreamReader, pipe: asyncio.ReadTransport
    ) -> None:
        self._process = process
        self._lines = lines
        self._pipe = pipe

    @property
    def pid(self) -> int:
        return self._process.pid

    async def report(self) -> Report | None:
        line = await self._lines.readline()
        return decode_report(line) if line.endswith(b"\n") else None

    async def wait(self) -> int:
        code = await self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        return code

    def close(self) -> None:
        self._pipe.close()

    def leave(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(LEAVE)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


async def spawn_worker(
    program: Sequence[str], number: int, arguments: Sequence[str], environ: Mapping[str, str]
) -> SpawnedWorker:
    """Start ``program NUMBER FD ARGUMENTS``.

    Raises:
        OSError: The system refuses.
    """
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            str(number),
            str(theirs),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(theirs,),
            env=dict(environ),
            process_group=0,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    lines = asyncio.StreamReader(limit=MAX_REPORT)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(ours, "rb", buffering=0)
    )
    return SpawnedWorker(process, lines, pipe)
