from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rivetkit.cli
from rivetkit.cli._app import app
from rivetkit_core.host.engine.binary import ENGINE_VERSION, installed_path
from tests.unit.host.engine.fake_engine import fake_engine

ROOT = Path(__file__).resolve().parents[4]


def run(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output, standard error."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RIVET")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RIVETKIT_STORAGE_PATH", str(tmp_path / "storage"))
    monkeypatch.setenv("RIVET_ENGINE_BINARY_PATH", str(fake_engine(tmp_path, ENGINE_VERSION)))


@pytest.fixture
def port() -> int:
    """A port that is free together with the two the engine derives from it."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            found: int = first.getsockname()[1]
            try:
                for other in (found + 1, found + 10):
                    held.enter_context(socket.create_server(("127.0.0.1", other)))
            except (OSError, OverflowError):
                continue
            return found


@pytest.fixture
def detached(port: int, tmp_path: Path) -> Iterator[str]:
    """A detached engine; its endpoint."""
    status, output, _ = run("engine", "start", "--port", str(port), "--detach")
    assert status == 0
    runtime = json.loads((tmp_path / "storage/.rivetkit/var/engine/runtime.json").read_text())
    try:
        assert f"process {runtime['pid']}" in output
        yield str(runtime["endpoint"])
    finally:
        os.kill(runtime["pid"], signal.SIGKILL)


def test_without_its_packages_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(_name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(SystemExit) as ended:
        rivetkit.cli.main()
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert "pip install 'rivetkit[cli]'" in message
    assert message.count("\n") == 1


def test_help_names_the_commands() -> None:
    status, output, _ = run("engine", "--help")
    assert status == 0
    assert all(command in output for command in ("install", "start", "status"))


def test_an_installed_engine_is_told_by_its_path(tmp_path: Path) -> None:
    installed = installed_path(tmp_path / "storage" / ".rivetkit", "1.2.3")
    installed.parent.mkdir(parents=True)
    installed.touch(0o755)
    assert run("engine", "install", "--version", "1.2.3")[:2] == (0, f"{installed}\n")


def test_a_failed_installation_is_one_line_and_status_1() -> None:
    status, output, complaint = run("engine", "install", "--version", "newest")
    assert (status, output) == (1, "")
    assert "not a version" in complaint
    assert complaint.count("\n") == 1


def test_status_is_1_when_no_engine_answers(port: int) -> None:
    status, output, complaint = run("engine", "status", "--endpoint", f"http://127.0.0.1:{port}")
    assert (status, output) == (1, "")
    assert f"http://127.0.0.1:{port}" in complaint


def test_status_tells_which_engine_answers(detached: str) -> None:
    status, output, _ = run("engine", "status", "--endpoint", detached)
    assert status == 0
    assert output == f"engine {ENGINE_VERSION} at {detached}, envoy protocol 8\n"


def test_status_never_shows_a_token(detached: str) -> None:
    with_token = detached.replace("//", "//default:secret@")
    status, output, complaint = run("engine", "status", "--endpoint", with_token)
    assert status == 0
    assert "secret" not in output + complaint


def test_starting_where_an_engine_runs_is_no_failure(detached: str, port: int) -> None:
    status, output, _ = run("engine", "start", "--port", str(port))
    assert status == 0
    assert output == f"engine at {detached}, it was running already\n"


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVET_PORT", "much")
    status, _, complaint = run("engine", "status")
    assert status == 1
    assert "RIVET_PORT is 'much'" in complaint


def test_an_engine_elsewhere_is_not_started_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVET_ENDPOINT", "https://engine.example")
    status, _, complaint = run("engine", "start")
    assert status == 1
    assert "--port" in complaint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_engine_and_the_command(port: int, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "rivetkit.cli", "engine", "start", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(f"engine at http://127.0.0.1:{port}, process ")
        assert (tmp_path / "data/var/engine/db").is_dir()
        running.send_signal(number)
        assert running.wait(20) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
