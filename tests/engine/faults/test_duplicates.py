"""The default gateway delivers a request again if nobody answered it; the streaming one does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from rivetkit_core.clock import SystemClock
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.process import EngineProcess
from tests.engine.faults.load import eventually, until
from tests.engine.faults.program import Ledger, StrictLedger
from tests.engine.faults.workers import workers
from tests.engines import RunningEngine, launch_into, locate

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("mode", "expected"), [pytest.param("off", 2, id="default"), pytest.param("on", 1, id="streaming")]
)
async def test_a_request_whose_worker_is_killed_runs_as_often_as_the_gateway_says(
    tmp_path: Path,
    report: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    expected: int,
) -> None:
    monkeypatch.setenv("RIVET__FEATURES__GUARD_GATEWAY_V3__MODE", mode)
    launch = launch_into(tmp_path / "engine")
    async with EngineProcess(launch, locate=locate, clock=SystemClock()) as process:
        engine = RunningEngine(process.endpoint)
        namespace = await engine.fresh_namespace()
        async with (
            workers(tmp_path, engine.endpoint, namespace) as crew,
            Client(engine.endpoint, namespace=namespace) as client,
        ):
            worker = await crew.start()
            handle = client.get_or_create(StrictLedger, "ledger")
            await handle.call(Ledger.append, "first")
            calling = asyncio.create_task(handle.call(Ledger.append_and_wait, "twice"))
            await until(lambda: "twice" in {note.entry for note in crew.journal.read()})
            await crew.start()
            await worker.kill()
            answer: object
            try:
                answer = await calling
            except RivetError as failure:
                answer = f"{failure.group}.{failure.code}"
            entries = await eventually(lambda: handle.call(Ledger.entries))
            notes = crew.journal.read()
            executions = sum(note.entry == "twice" for note in notes)
            report(gateway=mode, executions=executions, stored=entries.count("twice"), answer=answer)
            assert executions == expected
            assert crew.journal.overlaps() == []
