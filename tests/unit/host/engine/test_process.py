from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.binary import ENGINE_VERSION
from rivetkit_core.host.engine.launch import EngineLaunch, Runtime
from rivetkit_core.host.engine.process import EngineProcess
from rivetkit_core.testing import FakeClock
from tests.unit.host.engine.fake_engine import fake_engine


class HurriedClock(SystemClock):
    """Real time for sockets and processes, and pauses a twentieth as long; deadlines on request."""

    deadlines = 1

    def monotonic(self) -> float:
        return super().monotonic() * self.deadlines

    async def sleep(self, delay: float) -> None:
        await super().sleep(delay / 20)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]


@pytest.fixture
def launch(tmp_path: Path) -> EngineLaunch:
    port, peer, metrics = free_ports(3)
    return EngineLaunch(storage=tmp_path / "storage", port=port, peer_port=peer, metrics_port=metrics)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return fake_engine(tmp_path, ENGINE_VERSION)


class World:
    """Makes engine processes over one fake program."""

    def __init__(self, launch: EngineLaunch, program: Path) -> None:
        self.launch = launch
        self.program = program
        self.clock = HurriedClock()

    def process(self, told: str = "", **changes: object) -> EngineProcess:
        async def locate() -> Path:
            return self.program

        launch = dataclasses.replace(self.launch, **changes)
        return EngineProcess(launch, locate=locate, clock=self.clock, environ={"FAKE_ENGINE": told})

    @property
    def starts(self) -> int:
        return len((self.launch.database / "starts").read_text().splitlines())


@pytest.fixture
def world(launch: EngineLaunch, program: Path) -> World:
    return World(launch, program)


@pytest.fixture
def foreign_server(launch: EngineLaunch) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", launch.port)) as listener:
        yield listener


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def test_an_engine_is_started_and_stopped(world: World) -> None:
    process = world.process()
    assert (await process.start()).version == ENGINE_VERSION
    pid = process.pid
    assert pid is not None
    assert is_running(pid)
    await process.stop()
    assert not is_running(pid)
    assert not world.launch.runtime_file.exists()


async def test_who_runs_on_the_folder_is_written_down(world: World) -> None:
    async with world.process() as process:
        assert Runtime.load(world.launch.runtime_file) == Runtime(
            pid=process.pid or 0,
            endpoint=world.launch.endpoint,
            bind_host="127.0.0.1",
            public_url=world.launch.endpoint,
            binary=str(world.program),
            lifetime="child",
            owner=os.getpid(),
        )


async def test_a_key_press_in_our_terminal_does_not_reach_the_engine(world: World) -> None:
    async with world.process() as process:
        assert os.getsid(process.pid or 0) == process.pid


async def test_stopping_twice_is_harmless(world: World) -> None:
    process = world.process()
    await process.start()
    await process.stop()
    await process.stop()


async def test_an_engine_that_ignores_the_signal_is_killed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    process = world.process("deaf")
    await process.start()
    pid = process.pid
    assert pid is not None
    world.clock.deadlines = 20
    await process.stop()
    assert not is_running(pid)
    assert "is killed" in caplog.text


async def test_a_running_engine_is_reused_without_looking_for_a_program(world: World) -> None:
    async def locate() -> Path:
        raise AssertionError("not needed")

    async with (
        world.process() as first,
        EngineProcess(world.launch, locate=locate, clock=HurriedClock()) as second,
    ):
        assert first.pid is not None
        assert second.pid is None
    assert world.starts == 1


async def test_a_reused_engine_of_another_version_is_warned_about(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.process("version=9.9.9"):
        caplog.clear()
        async with world.process():
            assert "has version 9.9.9" in caplog.text
            assert ENGINE_VERSION in caplog.text


async def test_a_version_that_must_fit_is_compared(world: World) -> None:
    async with world.process():
        with pytest.raises(RivetError, match=rf"version {ENGINE_VERSION}, not 1\.1\.1") as refused:
            await world.process(version="1.1.1").start()
    assert refused.value.code == "version_mismatch"


async def test_a_started_engine_of_the_wrong_version_is_ended_again(world: World) -> None:
    process = world.process("version=9.9.9", version="1.1.1")
    with pytest.raises(RivetError, match="9"):
        await process.start()
    assert process.pid is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", world.launch.port))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b'HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{"runtime":"rivetkit"}', "'rivetkit'"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "no engine"),
    ],
)
async def test_another_program_on_the_port_is_told(
    world: World, foreign_server: socket.socket, answer: bytes, shown: str
) -> None:
    def respond() -> None:
        peer, _ = foreign_server.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(answer)

    responding = asyncio.get_running_loop().run_in_executor(None, respond)
    with pytest.raises(RivetError, match=shown) as refused:
        await world.process().start()
    await responding
    assert refused.value.code == "port_occupied"
    assert str(world.launch.port) in refused.value.message


async def test_a_program_that_never_answers_occupies_the_port(
    world: World, foreign_server: socket.socket
) -> None:
    clock = FakeClock()

    async def locate() -> Path:
        raise AssertionError("not reached")

    starting = asyncio.create_task(EngineProcess(world.launch, locate=locate, clock=clock).start())
    while not starting.done():
        await clock.advance(0.5)
    with pytest.raises(RivetError, match="does not answer") as refused:
        await starting
    assert refused.value.code == "port_occupied"
    assert foreign_server.fileno() >= 0


async def test_an_engine_that_ends_at_once_is_told_with_its_last_words(world: World) -> None:
    with pytest.raises(RivetError, match=r"ended with status 1[\s\S]*the disk is on fire") as failed:
        await world.process("exits").start()
    assert failed.value.code == "health_check_failed"
    assert isinstance(failed.value.metadata, dict)
    assert world.starts == 1


async def test_an_engine_that_never_answers_is_ended_in_time(world: World) -> None:
    with pytest.raises(RivetError, match="it runs and does not answer"):
        await world.process("silent", start_timeout=0.1).start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", world.launch.port))


async def test_a_program_that_cannot_run_is_named(world: World) -> None:
    world.program.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(RivetError, match="rivet-engine"):
        await world.process().start()


async def test_a_folder_that_cannot_be_made_is_named(world: World) -> None:
    world.launch.storage.touch()
    with pytest.raises(RivetError, match="storage"):
        await world.process().start()


async def test_a_missing_program_ends_the_start(launch: EngineLaunch) -> None:
    async def locate() -> Path:
        raise RivetError("engine", "binary_not_found")

    with pytest.raises(RivetError) as refused:
        await EngineProcess(launch, locate=locate, clock=HurriedClock()).start()
    assert refused.value.code == "binary_not_found"


async def test_a_cancelled_start_leaves_no_engine(world: World) -> None:
    process = world.process("silent")
    starting = asyncio.create_task(process.start())
    await until((world.launch.database / "starts").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", world.launch.port))


async def test_an_engine_that_dies_is_started_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.process() as process:
        killed = process.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await until(lambda: process.pid not in (None, killed))
        assert "ended with signal 9" in caplog.text
        assert world.starts == 2
        runtime = Runtime.load(world.launch.runtime_file)
        assert runtime is not None
        assert runtime.pid == process.pid


async def test_an_engine_that_keeps_dying_is_given_up(world: World) -> None:
    async with world.process() as process:
        world.program.write_text("#!/bin/sh\nexit 7\n")
        os.kill(process.pid or 0, signal.SIGKILL)
        async with asyncio.timeout(20):
            failure = await process.failed()
        assert failure.code == "health_check_failed"
        assert "status 7" in failure.message
        assert process.pid is None


async def test_an_engine_somebody_else_starts_meanwhile_is_used(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    others: list[subprocess.Popen[bytes]] = []

    async def locate() -> Path:
        others.append(await asyncio.to_thread(start_directly, world))
        return world.program

    try:
        async with EngineProcess(world.launch, locate=locate, clock=HurriedClock()) as process:
            assert process.pid is None
            assert "another process was faster" in caplog.text
            assert others[0].poll() is None
    finally:
        for other in others:
            other.kill()
            await asyncio.to_thread(other.wait)


def start_directly(world: World) -> subprocess.Popen[bytes]:
    """Start the program as another process would, and return when it listens."""
    world.launch.database.mkdir(parents=True)
    engine = subprocess.Popen([world.program, "start"], env=world.launch.environment({}))
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", world.launch.port)).close()
            return engine


async def test_a_detached_engine_outlives_its_process_and_is_reused(world: World) -> None:
    process = world.process(lifetime="detached")
    await process.start()
    pid = process.pid
    assert pid is not None
    await process.stop()
    try:
        async with world.process() as second:
            assert second.pid is None
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_old_logs_are_removed(world: World) -> None:
    world.launch.log_folder.mkdir(parents=True)
    for second in range(20):
        (world.launch.log_folder / f"engine-10000000{second:02}-stdout.log").touch()
    async with world.process():
        kept = sorted(path.name for path in world.launch.log_folder.glob("*-stdout.log"))
    assert len(kept) == 10
    assert kept[0] == "engine-1000000011-stdout.log"


def test_an_inherited_environment_cannot_move_the_engine(launch: EngineLaunch) -> None:
    environ = launch.environment(
        {"rivet__guard__port": "1", "RIVET__FILE_SYSTEM__PATH": "/", "HOME": "/home"}
    )
    assert environ["RIVET__GUARD__PORT"] == str(launch.port)
    assert environ["RIVET__FILE_SYSTEM__PATH"] == str(launch.database)
    assert "rivet__guard__port" not in environ
    assert environ["HOME"] == "/home"


def test_an_inherited_environment_may_tune_the_engine(launch: EngineLaunch) -> None:
    environ = launch.environment({"rivet__telemetry__enabled": "true", "RUST_BACKTRACE": "1"})
    assert "RIVET__TELEMETRY__ENABLED" not in environ
    assert environ["RIVET__GUARD__TCP_NODELAY"] == "true"
    assert environ["RIVET__RUNTIME__WORKER_CPU_MAX"] == "1000000", (
        "a busy machine must not hold up new actors"
    )
    assert "RUST_BACKTRACE" not in environ


def test_a_topology_of_the_users_own_is_left_whole(launch: EngineLaunch) -> None:
    environ = launch.environment({"RIVET__TOPOLOGY__DATACENTER_LABEL": "2"})
    topology = {name for name in environ if name.startswith("RIVET__TOPOLOGY")}
    assert topology == {"RIVET__TOPOLOGY__DATACENTER_LABEL"}


@pytest.mark.parametrize(
    ("host", "bound", "endpoint"),
    [
        ("localhost", "127.0.0.1", "http://127.0.0.1:7000"),
        ("app.localhost", "127.0.0.1", "http://127.0.0.1:7000"),
        ("::1", "::1", "http://[::1]:7000"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:7000"),
    ],
)
def test_only_an_unspecified_address_opens_the_engine_to_others(host: str, bound: str, endpoint: str) -> None:
    launch = EngineLaunch(storage=Path("s"), host=host, port=7000)
    environ = launch.environment({})
    assert environ["RIVET__GUARD__HOST"] == bound
    assert environ["RIVET__API_PEER__HOST"] == environ["RIVET__METRICS__HOST"] == "127.0.0.1"
    assert (environ["RIVET__API_PEER__PORT"], environ["RIVET__METRICS__PORT"]) == ("7001", "7010")
    assert launch.endpoint == endpoint


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pid": "x"}', b"\xff", b'{"pid": 1, "endpoint": "e"}'])
def test_a_damaged_runtime_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runtime.json"
    path.write_bytes(content)
    assert Runtime.load(path) is None


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rivetkit.engine")
