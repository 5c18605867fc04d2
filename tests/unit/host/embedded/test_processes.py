"""A real process: signals, and data directories it must not touch."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

_ROOT = Path(__file__).parents[4]
_QUERY = "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=a"


class Program:
    """``program.py`` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Exit code, and what it said on stderr."""
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode()
        return await self.process.wait(), said

    async def call(self, action: str, *args: object) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.post(f"/gateway/note/action/{action}?{_QUERY}", json={"args": list(args)})


@contextlib.asynccontextmanager
async def _started(data_dir: Path, *words: str) -> AsyncGenerator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.host.embedded.program",
        str(data_dir),
        *words,
        cwd=_ROOT,
        env={**os.environ, "RIVET_LOG_LEVEL": "ERROR"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def _serving(data_dir: Path) -> AsyncGenerator[Program]:
    async with _started(data_dir) as program:
        banner = await program.line()
        program.url = banner.partition(" on ")[2].partition(",")[0]
        assert program.url.startswith("http://127.0.0.1:"), banner
        yield program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_accepted_work_finish_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    async with _serving(tmp_path) as program:
        held = asyncio.create_task(program.call("hold", "kept"))
        assert await program.line() == "entered"
        program.send(number)
        program.send(signal.SIGUSR1)
        assert (await held).json() == {"output": "kept"}
        assert await program.ended() == (0, "")
    async with _serving(tmp_path) as program:
        assert (await program.call("read")).json() == {"output": "kept"}


async def test_a_signal_closes_websockets_with_1001(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        url = f"ws{program.url.removeprefix('http')}/gateway/note/connect?{_QUERY}"
        async with connect(url, subprotocols=[Subprotocol("rivet")], proxy=None) as socket:
            await socket.recv()
            program.send(signal.SIGTERM)
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1001, "ws.going_away")
        assert await program.ended() == (0, "")


async def test_a_signal_refuses_new_connections_while_work_finishes(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        held = asyncio.create_task(program.call("hold", "x"))
        await program.line()
        program.send(signal.SIGTERM)
        with pytest.raises(httpx.ConnectError):
            while True:
                await program.call("read")
        program.send(signal.SIGUSR1)
        assert (await held).status_code == 200
        assert (await program.ended())[0] == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        held = asyncio.create_task(program.call("hold", "lost"))
        await program.line()
        program.send(signal.SIGTERM)
        with pytest.raises(httpx.ConnectError):
            while True:
                await program.call("read")
        program.send(signal.SIGTERM)
        async with asyncio.timeout(5):
            code, said = await program.ended()
        assert code == 1
        assert "second signal" in said.splitlines()[-1]
        await asyncio.wait([held])


async def test_a_full_disk_makes_the_shutdown_fail(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        await program.call("write", "first")
        program.send(signal.SIGTERM)
        assert (await program.ended())[0] == 0
    async with _serving(tmp_path) as program:
        assert (await program.call("fill")).status_code == 200
        assert (await program.call("write", "x" * 60_000)).status_code == 200
        program.send(signal.SIGTERM)
        code, said = await program.ended()
        assert code == 1
        assert said.splitlines()[-1].startswith("rivetkit: storage.unavailable: 1 actors could not save")
    async with _serving(tmp_path) as program:
        assert (await program.call("read")).json() == {"output": "first"}


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    async with _serving(tmp_path / "first") as program:
        port = program.url.rpartition(":")[2]
        async with _started(tmp_path / "second", port) as second:
            code, said = await second.ended()
    assert (code, len(said.splitlines())) == (1, 1), said
    assert said.startswith(f"rivetkit: 127.0.0.1:{port} is in use:")


# --- data directories ---------------------------------------------------------------------------------


def _fingerprint(directory: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.iterdir())
        if file.name.startswith("rivetkit.sqlite3") and not file.name.endswith("-shm") and file.stat().st_size
    }


async def _refusal(data_dir: Path) -> str:
    """The one line the program ends with."""
    async with _started(data_dir) as program:
        code, said = await program.ended()
    lines = said.splitlines()
    assert (code, len(lines)) == (1, 1), said
    return lines[0]


async def _filled(data_dir: Path) -> None:
    async with _serving(data_dir) as program:
        await program.call("write", "x" * 60_000)
        program.send(signal.SIGTERM)
        assert (await program.ended())[0] == 0


async def test_a_directory_in_use_is_refused_and_names_the_process(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        line = await _refusal(tmp_path)
        assert line.startswith("rivetkit: storage.locked:")
        assert str(program.process.pid) in line
        assert (await program.call("read")).status_code == 200


async def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    async with _serving(tmp_path) as program:
        program.send(signal.SIGKILL)
        await program.ended()
    async with _serving(tmp_path) as program:
        assert (await program.call("read")).status_code == 200


async def test_a_damaged_file_is_refused_and_untouched(tmp_path: Path) -> None:
    await _filled(tmp_path)
    path = tmp_path / "rivetkit.sqlite3"
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 : 4096 * 4] = b"\xab" * 8192
    path.write_bytes(damaged)
    before = _fingerprint(tmp_path)
    assert (await _refusal(tmp_path)).startswith("rivetkit: storage.corrupt:")
    assert _fingerprint(tmp_path) == before


@pytest.mark.parametrize("content", [b"not a database at all", b"x", b"SQLite format 3\0", b"\0" * 8192])
async def test_a_file_of_something_else_is_refused_and_untouched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rivetkit.sqlite3").write_bytes(content)
    before = _fingerprint(tmp_path)
    assert (await _refusal(tmp_path)).startswith("rivetkit: storage.corrupt:")
    assert _fingerprint(tmp_path) == before


async def test_a_newer_file_is_refused_and_untouched(tmp_path: Path) -> None:
    await _filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "rivetkit.sqlite3")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = _fingerprint(tmp_path)
    line = await _refusal(tmp_path)
    assert line.startswith("rivetkit: storage.newer_schema:")
    assert "999" in line
    assert _fingerprint(tmp_path) == before


async def test_a_database_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "rivetkit.sqlite3")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = _fingerprint(tmp_path)
    assert (await _refusal(tmp_path)).startswith("rivetkit: storage.corrupt:")
    assert _fingerprint(tmp_path) == before


@pytest.mark.parametrize("inside", [False, True])
async def test_a_path_that_is_no_directory_is_refused(tmp_path: Path, inside: bool) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    line = await _refusal(file / "data" if inside else file)
    assert line.startswith("rivetkit: storage.unavailable: Cannot use")
    assert file.read_text() == "mine"


async def test_a_directory_without_write_permission_is_refused() -> None:
    # Holds for root as well: nothing can be created there.
    directory = Path("/proc/self/data")
    if not directory.parent.exists():
        pytest.skip("no such file system here")
    assert (await _refusal(directory)).startswith("rivetkit: storage.unavailable: Cannot use")


async def test_the_lock_says_nothing_about_a_stale_holder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999\n")
    async with _serving(tmp_path) as program:
        assert json.loads((await program.call("read")).content) == {"output": ""}
        assert (tmp_path / "lock").read_text() == f"{program.process.pid}\n"
