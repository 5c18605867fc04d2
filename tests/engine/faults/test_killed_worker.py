"""A worker is killed under load, and another one takes its actors over."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit.client import Client
from tests.engine.faults import ROUNDS
from tests.engine.faults.load import Load, eventually
from tests.engine.faults.program import SAVE_INTERVAL, Ledger, StrictLedger, ThrottledLedger
from tests.engine.faults.workers import workers
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

LEDGERS: dict[str, type[Ledger]] = {
    "strict-0": StrictLedger,
    "strict-1": StrictLedger,
    "throttled-0": ThrottledLedger,
    "throttled-1": ThrottledLedger,
}
WRITE_SLACK = 1.0
ON_THE_WAY = 0.5
CLEAR_FAILURES = {
    "client.timed_out",
    "core.internal_error",
    "guard.actor_ready_timeout",
    "guard.actor_stopped_while_waiting",
    "guard.tunnel_message_timeout",
    "guard.tunnel_request_aborted",
}


async def test_the_actors_of_a_killed_worker_come_back_on_another(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    async with (
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        load = Load(client, LEDGERS)
        await crew.start()
        gaps: list[float] = []
        killed: list[float] = []
        async with load.running(timeout=60.0) as tally:
            for _ in range(ROUNDS):
                await crew.start()
                await load.progress()
                homes = {key: await _home(load, key) for key in LEDGERS}
                victim = max(homes.values(), key=list(homes.values()).count)
                killed.append(await crew.by_pid(victim).kill())
                try:
                    await load.progress(within=60.0)
                except AssertionError as failure:
                    failure.add_note(await _described(engine, namespace))
                    raise
                gaps.append(tally.gap_after(killed[-1], (key for key in LEDGERS if homes[key] == victim)))
                assert victim not in {await _home(load, key) for key in LEDGERS}
        verdict = await load.verify()
        print(
            killed,
            [n for n in crew.journal.read() if n.entry in verdict.doubled],
            [
                (e, load.tally.acknowledged[k].get(e))
                for e in verdict.doubled
                for k in LEDGERS
                if e.startswith(k)
            ],
        )
        figures = {
            "rounds": ROUNDS,
            "calls": tally.sent,
            "acknowledged": tally.answers,
            "failures": dict(tally.failures),
            "seconds_until_answers": [round(gap, 1) for gap in gaps],
            "lost_strict": len(verdict.lost_strict),
            "lost_throttled": len(verdict.lost_throttled),
            "oldest_loss_s": max((_age(at, killed) for at in verdict.lost_throttled), default=0.0),
            "doubled": len(verdict.doubled),
            "overlaps": len(crew.journal.overlaps()),
        }
        report(**figures)
        assert verdict.lost_strict == []
        assert all(_age(at, killed) < SAVE_INTERVAL + WRITE_SLACK for at in verdict.lost_throttled)
        assert crew.journal.overlaps() == []
        assert set(tally.failures) <= CLEAR_FAILURES


async def _described(engine: RunningEngine, namespace: str) -> str:
    """What the engine thinks of the actors and of the workers."""
    async with engine.api(namespace) as api:
        actors = [
            actor for cls in ("strictLedger", "throttledLedger") for actor in await api.list_actors(cls)
        ]
        return "\n".join(map(repr, [*actors, *await api.list_envoys("default")]))


async def _home(load: Load, key: str) -> int:
    _, process = await eventually(lambda: load.handle(key).call(Ledger.whereabouts))
    return process


def _age(at: float, killed: list[float]) -> float:
    """Seconds from an answer to the next kill. An answer may have been on its way at the kill itself."""
    return min((moment - at for moment in killed if moment > at - ON_THE_WAY), default=math.inf)
