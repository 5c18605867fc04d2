"""The examples' servers and clients, started as their pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.program import ROOT, Program, run

SAID = {
    "scheduler": ["planned: drink some tea", "planned: stand up", "due: drink some tea"],
    "order_queue": ["accepted", "refused: the card was declined", "sold for 10.0"],
    "per_tenant_database": [
        "acme: website, 90 minutes, 135.00",
        "globex: website, 90 minutes, 180.00",
    ],
    "turn_based_game": [
        ".........",
        ".........",
        "....X....",
        "O...X....",
        "O.X.X....",
        "OOX.X....",
        "OOX.X.X..",
        "Ada wins",
    ],
    "collaborative_document": ["Hello, dear world!"],
}


@pytest.mark.parametrize("name", SAID)
async def test_a_client_has_its_say_with_its_server(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with Program("-m", f"examples.{name}", "--port", "0", cwd=tmp_path) as server:
        url = await server.serving()
        said = await run("-m", f"examples.{name}.client", url, cwd=tmp_path)
        assert said.splitlines() == SAID[name]
        assert await server.stop() == 0
