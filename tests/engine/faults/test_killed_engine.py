"""The engine is killed under load and started again on its data."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.process import EngineProcess
from tests.engine.faults import ROUNDS
from tests.engine.faults.load import Load, eventually, until
from tests.engine.faults.program import Ledger, StrictLedger, ThrottledLedger
from tests.engine.faults.workers import Note, workers
from tests.engines import RunningEngine, engine_process, launch_into

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LEDGERS: dict[str, type[Ledger]] = {
    "strict-0": StrictLedger,
    "strict-1": StrictLedger,
    "throttled-0": ThrottledLedger,
    "throttled-1": ThrottledLedger,
}


@pytest.mark.parametrize(
    ("rounds", "long"),
    [pytest.param(ROUNDS, False, id="briefly"), pytest.param(1, True, id="for-long")],
)
async def test_workers_and_clients_survive_a_killed_engine(
    tmp_path: Path, report: Callable[..., None], rounds: int, long: bool
) -> None:
    launch = launch_into(tmp_path / "engine")
    async with contextlib.AsyncExitStack() as stack:
        process = await _started(stack, launch)
        namespace = await RunningEngine(launch.endpoint).fresh_namespace()
        crew = await stack.enter_async_context(workers(tmp_path, launch.endpoint, namespace))
        client = await stack.enter_async_context(Client(launch.endpoint, namespace=namespace))
        load = Load(client, LEDGERS)
        await crew.start()
        await crew.start()
        gaps: list[float] = []
        resumed = 0
        conn = await stack.enter_async_context(load.handle("strict-0").connect())
        stream = await stack.enter_async_context(conn.events(Ledger.appended))
        async with load.running(timeout=60.0) as tally:
            for number in range(rounds):
                marker = f"marker-{number}"
                await load.progress()
                moment = await _killed(process)
                if long:
                    await until(lambda: _all_ended(crew.journal.read()))
                process = await _started(stack, launch)
                await load.progress(within=120.0)
                gaps.append(tally.gap_after(moment, LEDGERS))
                await eventually(lambda: conn.call(Ledger.whereabouts))
                last = await eventually(
                    lambda marker=marker: load.handle("strict-0").call(Ledger.append, marker)
                )
                async for entry in stream:
                    if entry == marker:
                        break
                resumed += last > 0
        verdict = await load.verify()
        report(
            rounds=rounds,
            calls=tally.sent,
            acknowledged=tally.answers,
            failures=dict(tally.failures),
            seconds_until_answers=[round(gap, 1) for gap in gaps],
            connections_resumed=resumed,
            lost_strict=len(verdict.lost_strict),
            lost_throttled=len(verdict.lost_throttled),
            doubled=len(verdict.doubled),
            generations=max(note.generation for note in crew.journal.read()),
            overlaps=len(crew.journal.overlaps()),
        )
        assert verdict.lost_strict == []
        assert long or verdict.lost_throttled == []
        assert crew.journal.overlaps() == []


async def _started(stack: contextlib.AsyncExitStack, launch: EngineLaunch) -> EngineProcess:
    process = engine_process(launch)
    await process.start()
    stack.push_async_callback(process.stop)
    return process


async def _killed(process: EngineProcess) -> float:
    """SIGKILL, and no restart; returns the monotonic time just before."""
    assert process.pid is not None
    moment = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    await process.stop()
    return moment


def _all_ended(notes: list[Note]) -> bool:
    """Whether every life of every actor that began is over."""
    count = Counter(note.what for note in notes)
    return count["wake"] == count["end"]
