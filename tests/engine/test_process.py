from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.binary import ENGINE_VERSION
from rivetkit_core.host.engine.launch import EngineLaunch, Runtime
from tests.engines import engine_process, launch_into

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
DIES_AND_LEAVES_ITS_ENGINE = """
import asyncio, os, sys
from pathlib import Path
from rivetkit_core.host.engine.launch import EngineLaunch
from tests.engines import engine_process

async def main():
    ports = [int(port) for port in sys.argv[2:5]]
    await engine_process(EngineLaunch(storage=Path(sys.argv[1]), port=ports[0], peer_port=ports[1],
        metrics_port=ports[2], start_timeout=30)).start()
    os._exit(0)

asyncio.run(main())
"""


@pytest.fixture
def launch(tmp_path: Path) -> EngineLaunch:
    return launch_into(tmp_path)


def api(launch: EngineLaunch, namespace: str = "default") -> EngineApi:
    return EngineApi(launch.endpoint, clock=SystemClock(), namespace=namespace)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    async with asyncio.timeout(30):
        while not condition():
            await clock.sleep(0.05)


async def test_a_started_engine_answers_and_is_gone_after_stop(launch: EngineLaunch) -> None:
    process = engine_process(launch)
    health = await process.start()
    pid = process.pid
    assert pid is not None
    assert (health.runtime, health.version) == ("engine", ENGINE_VERSION)
    runtime = Runtime.load(launch.runtime_file)
    assert runtime is not None
    assert (runtime.pid, runtime.endpoint, runtime.owner) == (pid, launch.endpoint, os.getpid())
    await process.stop()
    assert not is_running(pid)
    assert not launch.runtime_file.exists()


async def test_the_engine_announces_its_own_port(launch: EngineLaunch) -> None:
    async with engine_process(launch), api(launch) as engine:
        assert [place.url for place in await engine.datacenters()] == [launch.endpoint + "/"]


async def test_a_running_engine_is_reused_and_not_stopped(launch: EngineLaunch) -> None:
    async with engine_process(launch) as first:
        async with engine_process(launch) as second:
            assert second.pid is None
        assert first.pid is not None
        assert is_running(first.pid)


async def test_two_that_start_at_once_share_one_engine(launch: EngineLaunch) -> None:
    first, second = engine_process(launch), engine_process(launch)
    await asyncio.gather(first.start(), second.start())
    try:
        await until(lambda: None in (first.pid, second.pid))
        assert {first.pid, second.pid} != {None}
    finally:
        await first.stop()
        await second.stop()


async def test_an_engine_of_another_version_than_the_wanted_one_is_refused(launch: EngineLaunch) -> None:
    async with engine_process(launch):
        with pytest.raises(RivetError, match=rf"version {ENGINE_VERSION}, not 0\.0\.1") as refused:
            await engine_process(dataclasses.replace(launch, version="0.0.1")).start()
    assert refused.value.code == "version_mismatch"


async def test_a_detached_engine_stays(launch: EngineLaunch) -> None:
    process = engine_process(dataclasses.replace(launch, lifetime="detached"))
    await process.start()
    pid = process.pid
    assert pid is not None
    try:
        await process.stop()
        assert is_running(pid)
        async with engine_process(launch) as second:
            assert second.pid is None
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_an_orphan_is_found_and_ended_by_its_new_owner(launch: EngineLaunch) -> None:
    ports = [str(port) for port in (launch.port, launch.peer_port, launch.metrics_port)]
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", DIES_AND_LEAVES_ITS_ENGINE, str(launch.storage), *ports],
        cwd=ROOT,
        check=True,
    )
    left = Runtime.load(launch.runtime_file)
    assert left is not None
    assert is_running(left.pid)
    async with engine_process(launch) as process:
        assert process.pid == left.pid
    await until(lambda: not is_running(left.pid))


async def test_a_killed_engine_comes_back_with_its_data(launch: EngineLaunch) -> None:
    async with engine_process(launch) as process, api(launch) as engine:
        made = await engine.create_namespace("kept")
        killed = process.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(lambda: process.pid not in (None, killed))
        assert await engine.namespaces("kept") == (made,)


@pytest.mark.parametrize("which", [0, 1])
async def test_a_private_port_in_use_is_named(launch: EngineLaunch, which: int) -> None:
    port = launch.private_ports[which]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RivetError, match=str(port)) as refused:
        await engine_process(launch).start()
    assert refused.value.code == "port_occupied"


async def test_data_that_another_engine_uses_ends_the_start_with_the_engines_words(
    launch: EngineLaunch,
) -> None:
    async with engine_process(launch):
        with pytest.raises(RivetError, match="lock") as refused:
            await engine_process(launch_into(launch.storage)).start()
    assert refused.value.code == "health_check_failed"


async def test_a_setting_the_engine_does_not_know_ends_the_start_at_once(
    launch: EngineLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIVET__NO_SUCH_SETTING", "1")
    with pytest.raises(RivetError, match="no_such_setting"):
        await engine_process(launch).start()
