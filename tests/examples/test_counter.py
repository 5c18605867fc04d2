from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.program import ROOT, Program, run


async def test_the_counter_goes_on_counting_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for expected in (5, 10):
        async with Program("-m", "examples.counter", "--port", "0", cwd=tmp_path) as server:
            url = await server.serving()
            said = await run("-m", "examples.counter.client", url, cwd=tmp_path)
            assert said.split() == ["now", str(expected), "event", str(expected)]
            assert await server.stop() == 0
