"""A process that writes to every store is killed again and again, and the stores agree."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.store_program import Found

_ROOT = Path(__file__).parents[2]
_ROUNDS = 20
_START_LIMIT = 20.0


@pytest.mark.crash
@pytest.mark.timeout(240)
async def test_twenty_kills_leave_the_stores_in_agreement(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("RIVETKIT_CRASH_SEED") or random.SystemRandom().getrandbits(32))
    print(f"RIVETKIT_CRASH_SEED={seed}")
    chance = random.Random(seed)
    answered = 0
    for _ in range(_ROUNDS):
        found, last = await life(tmp_path / "data", chance.uniform(0.0, 0.3))
        require_agreement(found, answered)
        answered = last or found.state
    assert answered > _ROUNDS
    record_property("answered", answered)


async def life(data_dir: Path, seconds: float) -> tuple[Found, int]:
    """Start, let it write for a while, kill; what it found, and the last call it knew to be answered."""
    program = (sys.executable, "-m", "tests.crash.store_program", str(data_dir))
    process = await asyncio.create_subprocess_exec(*program, cwd=_ROOT, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_LIMIT):
            first = await process.stdout.readline()
        exited = asyncio.ensure_future(process.wait())
        await asyncio.wait([exited], timeout=seconds)
    finally:
        if process.returncode is None:
            process.kill()
        rest, _ = await process.communicate()
    *whole, _torn = rest.split(b"\n")
    return Found.model_validate_json(first), int(whole[-1]) if whole else 0


def require_agreement(found: Found, answered: int) -> None:
    assert found.state >= answered, "an answered call was lost"
    assert found.keys == list(range(1, found.state + 1)), "keys and state are of different moments"
    assert found.rows == [(number, 2) for number in range(1, found.state + 1)], "rows and state disagree"
    assert found.messages == list(range(1, found.state + 1)), "messages and state disagree"
    assert found.planned == found.state, "schedules and state disagree"
