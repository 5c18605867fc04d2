"""An action blocks the event loop: for a while, or until the engine has given the actors away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from rivetkit_core.errors import RivetError
from tests.engine.faults.load import eventually, until
from tests.engine.faults.program import Ledger, ThrottledLedger
from tests.engine.faults.wiretap import wiretap
from tests.engine.faults.workers import workers
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

BRIEF = 3.0
LONG = 30.0


async def test_a_short_block_costs_no_actor_and_is_reported_with_its_place(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    async with (
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        worker = await crew.start()
        handle = client.get_or_create(ThrottledLedger, "ledger")
        await handle.call(Ledger.append, "before")
        await handle.call(Ledger.block, BRIEF)
        assert await handle.call(Ledger.entries) == ["before", "blocked"]
        assert (await handle.call(Ledger.whereabouts))[0] == 1
        warnings = [line for line in worker.log.splitlines() if "event loop is blocked" in line]
        report(blocked_s=BRIEF, warnings=len(warnings), generations=1)
        assert len(warnings) == 1
        assert "action 'block' of actor throttledLedger ledger" in warnings[0]
        assert "program.py:" in warnings[0]


async def test_a_worker_that_blocked_until_its_actor_was_moved_writes_nothing(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    async with (
        wiretap(engine.endpoint) as tap,
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        blocked = await crew.start(endpoint=tap.endpoint)
        handle = client.get_or_create(ThrottledLedger, "ledger")
        await handle.call(Ledger.append, "saved")
        await until(lambda: len(tap.puts()) >= 2)
        began = time.monotonic()
        blocking = asyncio.create_task(handle.call(Ledger.block, LONG))
        other = await crew.start()
        await eventually(handle.action(Ledger.whereabouts, timeout=1.0), lambda home: home[1] == other.pid)
        moved_after = time.monotonic() - began
        await handle.call(Ledger.append, "after-the-move")
        await until(lambda: any(n.what == "end" and n.process == blocked.pid for n in crew.journal.read()))
        with pytest.raises(RivetError):
            await blocking
        await until(lambda: tap.connections >= 2)
        await other.stop()
        await eventually(handle.action(Ledger.whereabouts, timeout=1.0), lambda home: home[1] == blocked.pid)
        late = len(tap.puts(since=began))
        report(blocked_s=LONG, moved_after_s=moved_after, late_puts=late)
        assert await handle.call(Ledger.entries) == ["saved", "after-the-move"]
        assert late == 0
        assert blocked.log.count("event loop is blocked") == 2
