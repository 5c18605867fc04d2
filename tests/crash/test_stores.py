"""A process with effects of every kind is killed again and again, and none is lost or happens twice.

``RIVETKIT_CRASH_ROUNDS`` says how many kills; the releases are made with a hundred.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.effects import Found, Judge
from tests.crash.process import Nursery

_PROGRAM = "tests.crash.store_program"
_ROUNDS = int(os.environ.get("RIVETKIT_CRASH_ROUNDS", "12"))
_NUMBERS = 1_000_000  # for each life
_LAST_LIFE = 20.0


@pytest.mark.crash
@pytest.mark.timeout(60 + 5 * _ROUNDS)
async def test_kills_lose_and_repeat_no_effect(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("RIVETKIT_CRASH_SEED") or random.SystemRandom().getrandbits(32))
    print(f"RIVETKIT_CRASH_SEED={seed}")
    chance, judge = random.Random(seed), Judge()
    killed_at = time.time()
    async with Nursery.of(_PROGRAM) as nursery:
        for life in range(1, _ROUNDS + 1):
            arguments = (str(tmp_path / "data"), str(life * _NUMBERS))
            async with nursery.child(_PROGRAM, *arguments) as child:
                judge.compare(Found.model_validate_json(await child.line()), killed_at_ms=_ms(killed_at))
                lines = await child.lines_for(chance.uniform(0.0, 0.4))
                killed_at = time.time()
            for line in lines:
                judge.hear(line.decode())
        async with nursery.child(_PROGRAM, str(tmp_path / "data"), "0") as child:
            judge.compare(Found.model_validate_json(await child.line()), killed_at_ms=_ms(killed_at))
            *lines, last = await child.lines_for(_LAST_LIFE)
    for line in lines:
        judge.hear(line.decode())
    judge.finish(Found.model_validate_json(last))
    for name, value in judge.report().items():
        record_property(name, value)
    print(f"kills {_ROUNDS}, " + ", ".join(f"{name} {value}" for name, value in judge.report().items()))
    assert judge.counts["kept"] > _ROUNDS
    assert judge.counts["done"] > _ROUNDS


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
