"""One worker of ``rivetkit serve --workers``: ``python -m rivetkit.cli._worker NUMBER FD DIRECTORY TARGET``.

Ends in order, once, on SIGTERM or when its supervisor is gone. It does not listen to Ctrl-C, which a
terminal sends to whole groups of processes: ending workers is the supervisor's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from rivetkit import Registry
from rivetkit._running import configure_logging, run_to_end
from rivetkit.cli._loading import LoadError, load_registry
from rivetkit.cli._reports import CONFIGURATION_ERROR, LEAVE, Ready, Refusal, Report, encode_report
from rivetkit_core.clock import Clock, SystemClock
from rivetkit_core.config import ConfigError
from rivetkit_core.errors import RivetError

_WORD_OF_ALL = 0.25
"""Seconds between a signal and the word that all workers end: a service manager may signal us first."""

_FATAL_CODES = frozenset({"refused", "binary_not_found", "unsupported_platform"})


class Supervision:
    """The worker's ends of the two pipes.

    Attributes:
        stop: Set when this worker is to end, by signal or because its supervisor is gone.
        alone: Set when no other worker stays.
    """

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self.stop = asyncio.Event()
        self.alone = asyncio.Event()

    def report(self, report: Report) -> None:
        """Tell the supervisor; if it is gone nobody needs to know."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, encode_report(report))

    async def stays(self) -> bool:
        """Whether other workers stay when this one ends."""
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(_WORD_OF_ALL):
                await self.alone.wait()
        return not self.alone.is_set()

    async def listen(self) -> None:
        """Follow the supervisor until it is gone, which means the end of all workers."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
        while line := await lines.readline():
            if line == LEAVE:
                self.alone.set()
        self.alone.set()
        self.stop.set()


async def serve(registry: Registry, supervision: Supervision) -> None:
    """Serve until the supervision says stop; before the engine has answered that ends it at once."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, supervision.stop.set)
    ready = asyncio.Event()

    def on_ready(where: str) -> None:
        supervision.report(Ready(registry.actor_names, registry.shutdown_bound, where))
        ready.set()

    serving = asyncio.create_task(
        registry.serve(
            engine=os.environ["RIVET_ENDPOINT"],
            on_ready=on_ready,
            stop=supervision.stop,
            stays=supervision.stays,
        )
    )
    listening = asyncio.create_task(supervision.listen())
    stopping = asyncio.create_task(supervision.stop.wait())
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            serving.cancel()
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.result()
    finally:
        tasks = [serving, listening, stopping]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def main(number: str, descriptor: str, directory: str, target: str) -> int:
    """Work; returns the exit code."""
    configure_logging(f"worker {number}:")
    supervision = Supervision(int(descriptor), SystemClock())
    try:
        run_to_end(serve(load_registry(target, Path(directory)), supervision))
    except LoadError as failure:
        supervision.report(Refusal(str(failure), failure.traceback))
        return CONFIGURATION_ERROR
    except ConfigError as failure:
        supervision.report(Refusal(str(failure)))
        return CONFIGURATION_ERROR
    except RivetError as failure:
        if failure.group == "engine" and failure.code in _FATAL_CODES:
            supervision.report(Refusal(failure.message))
            return CONFIGURATION_ERROR
        print(f"rivetkit: worker {number}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
