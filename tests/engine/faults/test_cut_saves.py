"""The connection is cut, or the worker is killed, in the middle of saving a state of many pieces."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rivetkit.client import ActorHandle, Client
from rivetkit_core.errors import RivetError
from rivetkit_core.wire.envoy.messages import KvPut, KvRequest, ToRivet
from tests.engine.faults import ROUNDS
from tests.engine.faults.load import eventually
from tests.engine.faults.program import StrictLedger
from tests.engine.faults.wiretap import Cut, wiretap
from tests.engine.faults.workers import workers
from tests.engines import RunningEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

ONE_PUT = 100_000
THREE_PUTS = 1_000_000
FIVE_PUTS = 3_000_000
OLD, NEW = 200_000, {1: ONE_PUT, 3: THREE_PUTS, 5: FIVE_PUTS}
PLACES: tuple[Cut, ...] = ("before", "inside", "after")
CLEAR_FAILURES = {
    "client.timed_out",
    "core.internal_error",
    "guard.actor_stopped_while_waiting",
    "guard.tunnel_message_timeout",
    "guard.tunnel_request_aborted",
    "storage.unavailable",
}


@dataclass
class CutAt:
    """Cuts once, at the nth write from now on."""

    nth: int
    where: Cut

    def __call__(self, message: ToRivet) -> Cut | None:
        if isinstance(message, KvRequest) and isinstance(message.data, KvPut):
            self.nth -= 1
            if self.nth == 0:
                return self.where
        return None


async def _fill(handle: ActorHandle[StrictLedger], size: int) -> str:
    try:
        await handle.action(StrictLedger.fill, timeout=40.0)("n", size)
    except RivetError as failure:
        return f"{failure.group}.{failure.code}"
    return "ok"


async def test_a_save_whose_connection_is_cut_anywhere_is_whole_or_not_there(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    cases: list[tuple[int, int, Cut]] = [
        (puts, nth, where) for puts in NEW for nth in sorted(set(_pieces(puts))) for where in PLACES
    ]
    answers: dict[tuple[int, int, Cut], str] = {}
    async with (
        wiretap(engine.endpoint) as tap,
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        worker = await crew.start(endpoint=tap.endpoint)
        handles = {case: client.get_or_create(StrictLedger, "-".join(map(str, case))) for case in cases}
        for handle in handles.values():
            await eventually(lambda handle=handle: handle.call(StrictLedger.fill, "o", OLD))
        for case, handle in handles.items():
            puts, nth, where = case
            tap.judge = CutAt(nth, where)
            answers[case] = await _fill(handle, NEW[puts])
        assert tap.cuts == len(cases)
        await worker.kill()
        await crew.start()
        torn = [case for case in cases if not await _is_whole(handles[case], NEW[case[0]], answers[case])]
    report(
        cuts=tap.cuts,
        succeeded_after_reconnect=sum(answer == "ok" for answer in answers.values()),
        failures=dict(Counter(answer for answer in answers.values() if answer != "ok")),
        torn_or_lost=len(torn),
    )
    assert torn == []
    assert set(answers.values()) <= CLEAR_FAILURES | {"ok"}


async def test_a_worker_killed_between_the_pieces_of_a_save_leaves_the_old_state_or_the_new(
    engine: RunningEngine, tmp_path: Path, report: Callable[..., None]
) -> None:
    namespace = await engine.fresh_namespace()
    cases: list[tuple[int, Cut]] = [(1, "inside"), (2, "before"), (3, "before"), (3, "inside"), (3, "after")]
    found: Counter[str] = Counter()
    async with (
        workers(tmp_path, engine.endpoint, namespace) as crew,
        Client(engine.endpoint, namespace=namespace) as client,
    ):
        handles = {case: client.get_or_create(StrictLedger, "-".join(map(str, case))) for case in cases}
        for case, handle in handles.items():
            async with wiretap(engine.endpoint) as tap:
                worker = await crew.start(endpoint=tap.endpoint)
                await eventually(lambda handle=handle: handle.call(StrictLedger.fill, "o", OLD))
                tap.judge = CutAt(*case)
                tap.on_cut = partial(worker.signal, signal.SIGKILL)
                filling = asyncio.create_task(_fill(handle, THREE_PUTS))
                await worker.gone()
                filling.cancel()
                await asyncio.wait([filling])
        await crew.start()
        for handle in handles.values():
            mark, _ = await eventually(lambda handle=handle: handle.call(StrictLedger.filled))
            found[mark] += 1
            assert await _is_whole(handle, THREE_PUTS, "killed")
    report(kills=len(cases), old=found["o"], new=found["n"], torn=0)
    assert found == {"o": 4, "n": 1}


def _pieces(puts: int) -> Iterable[int]:
    """Which of the puts of one save are cut: all if there is time, else the first and the last."""
    return range(1, puts + 1) if ROUNDS > 1 else (1, puts)


async def _is_whole(handle: ActorHandle[StrictLedger], new: int, answer: str) -> bool:
    """Whether the stored state is the new one, or the old one if nobody was told of the new one."""
    found = await eventually(lambda: handle.call(StrictLedger.filled))
    return found == ("n", new) or (answer != "ok" and found == ("o", OLD))
