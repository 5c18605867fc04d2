"""The supervisor over real processes: tiny programs that follow the protocol of workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from rivetkit.cli._processes import SpawnedWorker, spawn_worker
from rivetkit.cli._reports import CONFIGURATION_ERROR, Ready
from rivetkit.cli._supervisor import Supervisor
from rivetkit_core.clock import SystemClock

pytestmark = pytest.mark.skipif(os.name == "nt", reason="several workers need POSIX")

PROLOGUE = """
import os, signal, sys
from rivetkit.cli._reports import Ready, Refusal, encode_report
report = lambda it: os.write(int(sys.argv[2]), encode_report(it))
"""
OBEDIENT = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if sys.stdin.readline() == "leave\\n" else 3))
report(Ready(("note",), 20.0, "here"))
signal.pause()
"""
DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
report(Ready(("note",), 20.0, "here"))
while True: signal.pause()
"""
FOLLOWS_ITS_SUPERVISOR = """
report(Ready(("note",), 20.0, "here"))
sys.stdin.read()
"""
MISCONFIGURED = """
report(Refusal("no such thing", "Traceback...\\n"))
sys.exit(78)
"""


class Pool:
    """A running supervisor and what it started."""

    def __init__(self, program: str, count: int, grace: float | None) -> None:
        self.workers: dict[int, SpawnedWorker] = {}
        self.ready = asyncio.Event()
        self._program = (sys.executable, "-c", PROLOGUE + program)
        self.supervisor = Supervisor(
            self._spawn, count, clock=SystemClock(), grace=grace, on_ready=self._on_ready
        )
        self.running = asyncio.create_task(self.supervisor.run())

    def _on_ready(self, _report: Ready) -> None:
        self.ready.set()

    async def _spawn(self, number: int) -> SpawnedWorker:
        worker = await spawn_worker(self._program, number, (), os.environ)
        self.workers[number] = worker
        return worker


@asynccontextmanager
async def pool(program: str, count: int = 2, *, grace: float | None = None) -> AsyncGenerator[Pool]:
    running = Pool(program, count, grace)
    try:
        yield running
    finally:
        running.running.cancel()
        await asyncio.wait([running.running])


async def until(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    async with asyncio.timeout(20):
        while not condition():
            await clock.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_workers_are_told_and_end_in_order() -> None:
    async with pool(OBEDIENT) as running:
        await running.ready.wait()
        running.supervisor.stop()
        assert await running.running


async def test_a_killed_worker_comes_back_and_the_other_stays() -> None:
    async with pool(OBEDIENT) as running:
        await running.ready.wait()
        first, second = running.workers[1].pid, running.workers[2].pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: running.workers[1].pid != first)
        assert running.workers[2].pid == second
        assert runs(second)


async def test_workers_that_do_not_end_are_killed() -> None:
    async with pool(DEAF, grace=0.2) as running:
        await running.ready.wait()
        running.supervisor.stop()
        assert not await running.running
        assert not any(runs(worker.pid) for worker in running.workers.values())


async def test_a_misconfigured_program_is_not_started_again() -> None:
    async with pool(MISCONFIGURED) as running:
        assert not await running.running
        assert running.supervisor.refusal is not None
        assert running.supervisor.refusal.message == "no such thing"
        assert running.supervisor.refusal.traceback == "Traceback...\n"


async def test_a_worker_notices_when_its_supervisor_is_gone() -> None:
    program = f"""
import asyncio, os, sys
from rivetkit.cli._processes import spawn_worker
async def main():
    program = (sys.executable, "-c", {PROLOGUE + FOLLOWS_ITS_SUPERVISOR!r})
    worker = await spawn_worker(program, 1, (), os.environ)
    await worker.report()
    print(worker.pid, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await supervisor.communicate()
    assert supervisor.returncode == -signal.SIGKILL
    await until(lambda: not runs(int(output)))


async def test_a_worker_does_not_share_its_supervisors_process_group() -> None:
    async with pool(OBEDIENT, 1) as running:
        await running.ready.wait()
        assert os.getpgid(running.workers[1].pid) != os.getpgid(0)


async def test_the_exit_code_of_a_misconfigured_worker_is_the_systems() -> None:
    assert CONFIGURATION_ERROR == os.EX_CONFIG
