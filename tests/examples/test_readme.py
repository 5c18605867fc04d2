"""The README's programs, copied into an empty folder and run as it says."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import httpx
import pytest

from rivetkit import Client
from tests.examples.program import ROOT, Program, run

SNIPPETS = ROOT / "docs" / "snippets"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has: the four files, and rivetkit installed."""
    for name in ("counter.py", "client.py", "sync_client.py", "fastapi_app.py"):
        shutil.copy(SNIPPETS / name, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_quickstart_counts_on_after_a_restart(folder: Path) -> None:
    if is_taken(6420):
        pytest.skip("another program listens on port 6420, which the README's clients name")
    async with Program("counter.py", cwd=folder) as server:
        assert await server.serving() == "http://127.0.0.1:6420"
        assert (await run("client.py", cwd=folder)).split("\n") == ["5", "changed to 6", ""]
        assert await server.stop() == 0
    async with Program("counter.py", cwd=folder) as server:
        await server.serving()
        assert (await run("client.py", cwd=folder)).split("\n") == ["11", "changed to 12", ""]
        assert await run("sync_client.py", cwd=folder) == "13\n"
    assert (folder / ".rivetkit").is_dir()


async def test_the_fastapi_program_serves_its_routes_and_its_actors(folder: Path) -> None:
    async with Program("-m", "uvicorn", "fastapi_app:app", "--port", "0", cwd=folder) as server:
        url = await server.serving()
        async with httpx.AsyncClient() as browser:
            assert (await browser.post(f"{url}/hits")).json() == 1
        async with Client(f"{url}/rivet") as client:
            hits = client.get_by_name("counter", "hits")
            assert await hits.call_by_name("increment", 2) == 3
            async with hits.connect() as live:
                assert await live.call_by_name("increment") == 4
        assert await server.stop() == 0
