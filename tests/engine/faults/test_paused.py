"""A worker is stopped until the engine has given its actors away, and wakes up with unsaved changes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from rivetkit_core.errors import RivetError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import ACTOR_KEY, decode_actor
from tests.engine.faults import ROUNDS
from tests.engine.faults.load import eventually, until
from tests.engine.faults.program import Ledger, StrictLedger, ThrottledLedger
from tests.engine.faults.wiretap import wiretap
from tests.engine.faults.workers import Workers, workers
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

ACTORS = 3
CHUNKED, LARGE = 400_000, 3_000_000


@pytest.mark.parametrize("attempt", range(ROUNDS))
async def test_a_paused_worker_whose_actors_were_moved_writes_nothing(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None], attempt: int
) -> None:
    namespace = await engine.fresh_namespace()
    async with (
        wiretap(engine.endpoint) as tap,
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
        engine.api(namespace) as api,
    ):
        paused = await crew.start(endpoint=tap.endpoint)
        handles = [client.get_or_create(ThrottledLedger, f"ledger-{index}") for index in range(ACTORS)]
        for handle in handles:
            await handle.call(Ledger.append, "saved")
        await until(lambda: len(tap.puts()) >= ACTORS * 2)
        await asyncio.gather(*(handle.call(Ledger.append, f"unsaved-{attempt}") for handle in handles))
        stopped_at = paused.signal(signal.SIGSTOP)
        other = await crew.start()
        homes = await asyncio.gather(*(eventually(lambda h=h: h.call(Ledger.whereabouts)) for h in handles))
        moved_after = time.monotonic() - stopped_at
        assert {process for _, process in homes} == {other.pid}
        for handle in handles:
            await handle.call(Ledger.append, "after-the-move")
        ids = [await handle.resolve() for handle in handles]

        resumed_at = paused.signal(signal.SIGCONT)
        await until(lambda: _ended(crew, paused.pid) == ACTORS)
        noticed_after = max(
            note.at for note in crew.journal.read() if note.process == paused.pid and note.what == "end"
        )
        await until(lambda: tap.connections >= 2)
        for handle in handles:
            assert await handle.call(Ledger.entries) == ["saved", "after-the-move"]
        assert tap.puts(since=resumed_at) == []

        await other.stop()
        homes = await asyncio.gather(*(eventually(lambda h=h: h.call(Ledger.whereabouts)) for h in handles))
        assert {process for _, process in homes} == {paused.pid}
        for handle, actor_id in zip(handles, ids, strict=True):
            assert await handle.call(Ledger.entries) == ["saved", "after-the-move"]
            stored = await api.kv_get(actor_id, ACTOR_KEY)
            assert stored is not None
            state = cbor.decode(decode_actor(stored.value).state)
            assert state == {"entries": ["saved", "after-the-move"], "blob": "", "mark": ""}
        report(
            actors=ACTORS,
            moved_after_s=moved_after,
            ended_after_s=noticed_after - resumed_at,
            puts_after_resuming=len(tap.puts(since=resumed_at)),
            unsaved_changes_dropped=ACTORS,
        )


async def test_a_write_that_a_paused_worker_had_half_sent_is_never_finished(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    async with (
        wiretap(engine.endpoint, narrow=True) as tap,
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        paused = await crew.start(endpoint=tap.endpoint)
        handle = client.get_or_create(StrictLedger, "ledger")
        await handle.call(Ledger.fill, "o", CHUNKED)
        tap.flowing.clear()
        filling = asyncio.create_task(handle.call(Ledger.fill, "s", LARGE))
        await tap.held.wait()
        stopped_at = paused.signal(signal.SIGSTOP)
        other = await crew.start()
        whereabouts = handle.action(Ledger.whereabouts, timeout=1.0)
        await eventually(whereabouts, lambda home: home[1] == other.pid)
        moved_after = time.monotonic() - stopped_at
        await handle.call(Ledger.fill, "n", CHUNKED)

        tap.flowing.set()
        resumed_at = paused.signal(signal.SIGCONT)
        await until(lambda: _ended(crew, paused.pid) == 1)
        await until(lambda: tap.connections >= 2)
        with pytest.raises(RivetError):
            await filling
        late = len(tap.puts(since=resumed_at))
        await other.kill()
        await eventually(whereabouts, lambda home: home[1] == paused.pid)
        report(moved_after_s=moved_after, resumed_after_s=resumed_at - stopped_at, late_puts=late)
        assert await handle.call(Ledger.filled) == ("n", CHUNKED)
        assert late == 0


def _ended(crew: Workers, pid: int) -> int:
    return sum(note.what == "end" for note in crew.journal.read() if note.process == pid)
