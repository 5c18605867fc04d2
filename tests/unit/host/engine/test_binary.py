from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.binary import (
    ENGINE_VERSION,
    Platform,
    find_binary,
    install,
    installed_path,
    platform_of,
)
from rivetkit_core.testing import FakeClock, settle

FAKE_NPM = """#!/bin/sh
echo "$@" > "$NPM_CALLED_WITH"
{behaviour}
"""
INSTALLS = """
while [ "$1" != --prefix ]; do shift; done
folder="$2/node_modules/@rivetkit/{package}"
mkdir -p "$folder"
printf '#!/bin/sh\\necho "Rivet {reports}"\\n' > "$folder/rivet-engine"
"""


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def npm_package(folder: Path, version: str = ENGINE_VERSION) -> Path:
    package = folder / "node_modules" / "@rivetkit" / platform_of().package
    program = make_program(package / "rivet-engine")
    (package / "package.json").write_text(json.dumps({"version": version}))
    return program


class FakeNpm:
    """A script called npm that is alone on PATH, next to the few programs it needs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = folder / "calls"
        self._script = folder / "npm"
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
        monkeypatch.setenv("NPM_CALLED_WITH", str(self.calls))
        self.behaves("exit 1")

    def behaves(self, script: str) -> None:
        self._script.write_text(FAKE_NPM.format(behaviour=script))
        self._script.chmod(0o755)

    def installs(self, reports: str) -> None:
        self.behaves(INSTALLS.format(package=platform_of().package, reports=reports))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    folder = tmp_path / "bin"
    folder.mkdir()
    return FakeNpm(folder, monkeypatch)


async def install_into(storage: Path, version: str = "1.2.3") -> Path:
    return await install(version, storage=storage, clock=SystemClock(), entropy=SeededEntropy(1))


@pytest.mark.parametrize(
    ("system", "machine", "package"),
    [
        ("Linux", "x86_64", "engine-cli-linux-x64-musl"),
        ("Linux", "aarch64", "engine-cli-linux-arm64-musl"),
        ("Darwin", "x86_64", "engine-cli-darwin-x64"),
        ("Darwin", "arm64", "engine-cli-darwin-arm64"),
        ("Windows", "AMD64", "engine-cli-win32-x64"),
    ],
)
def test_every_platform_has_its_package(system: str, machine: str, package: str) -> None:
    assert platform_of(system, machine).package == package


def test_on_windows_the_program_has_its_suffix() -> None:
    assert platform_of("Windows", "AMD64") == Platform(
        "engine-cli-win32-x64", "rivet-engine-x86_64-pc-windows-gnu.exe", "rivet-engine.exe"
    )


@pytest.mark.parametrize(
    ("system", "machine"), [("FreeBSD", "amd64"), ("Linux", "riscv64"), ("Windows", "ARM64")]
)
def test_a_platform_without_an_engine_is_named(system: str, machine: str) -> None:
    with pytest.raises(RivetError, match=f"{system.lower()} on {machine.lower()}") as refused:
        platform_of(system, machine)
    assert refused.value.code == "unsupported_platform"


def test_an_explicit_program_is_taken_over_all_others(tmp_path: Path) -> None:
    mine = make_program(tmp_path / "mine")
    make_program(installed_path(tmp_path, ENGINE_VERSION))
    assert find_binary(storage=tmp_path, explicit=mine) == mine


@pytest.mark.parametrize("mode", [None, 0o644])
def test_an_explicit_program_must_be_executable(tmp_path: Path, mode: int | None) -> None:
    mine = tmp_path / "mine"
    if mode is not None:
        mine.touch(mode)
    make_program(installed_path(tmp_path, ENGINE_VERSION))
    with pytest.raises(RivetError, match="mine is not an executable") as refused:
        find_binary(storage=tmp_path, explicit=mine)
    assert refused.value.code == "binary_not_found"


def test_an_installed_program_is_taken_before_node_modules(tmp_path: Path) -> None:
    installed = make_program(installed_path(tmp_path, ENGINE_VERSION))
    npm_package(tmp_path)
    assert find_binary(storage=tmp_path, working_directory=tmp_path, environ={}) == installed


def test_another_installed_version_is_not_taken(tmp_path: Path) -> None:
    make_program(installed_path(tmp_path, "0.0.1"))
    with pytest.raises(RivetError, match=ENGINE_VERSION):
        find_binary(storage=tmp_path, working_directory=tmp_path, environ={})


def test_the_version_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    asked = make_program(installed_path(tmp_path, "0.0.1"))
    assert find_binary(storage=tmp_path, version="0.0.1", environ={}) == asked


def test_node_modules_are_looked_for_upwards(tmp_path: Path) -> None:
    program = npm_package(tmp_path)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_binary(storage=tmp_path / "none", working_directory=deep, environ={}) == program


def test_node_modules_of_another_version_are_passed_over_for_one_that_fits(tmp_path: Path) -> None:
    program = npm_package(tmp_path, "1.1.1")
    npm_package(tmp_path / "a", "2.2.2")
    found = find_binary(
        storage=tmp_path / "none", version="1.1.1", working_directory=tmp_path / "a", environ={}
    )
    assert found == program


def test_the_path_comes_last(tmp_path: Path) -> None:
    program = make_program(tmp_path / "bin" / "rivet-engine")
    environ = {"PATH": str(program.parent)}
    storage = tmp_path / "none"
    assert find_binary(storage=storage, working_directory=tmp_path, environ=environ) == program
    in_modules = npm_package(tmp_path)
    assert find_binary(storage=storage, working_directory=tmp_path, environ=environ) == in_modules


async def test_npm_installs_the_package_of_the_platform(tmp_path: Path, npm: FakeNpm) -> None:
    npm.installs(reports="1.2.3")
    program = await install_into(tmp_path)
    assert program == installed_path(tmp_path, "1.2.3")
    assert program.stat().st_mode & stat.S_IXUSR
    assert f"@rivetkit/{platform_of().package}@1.2.3" in npm.calls.read_text()
    assert list((tmp_path / "engine").iterdir()) == [program.parent]


async def test_an_installed_version_is_not_fetched_again(tmp_path: Path, npm: FakeNpm) -> None:
    make_program(installed_path(tmp_path, "1.2.3"))
    await install_into(tmp_path)
    assert not npm.calls.exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "cannot reach its registry"),
        ("echo 'npm error code E404' >&2; exit 1", "npm knows no"),
        ("echo 'npm error code ETARGET' >&2; exit 1", "npm knows no"),
        ("echo 'npm error fetch //me:secret@host/x' >&2; exit 1", "fetch //host/x"),
        ("exit 1", "npm said: nothing"),
        ("exit 0", "holds no rivet-engine"),
    ],
)
async def test_a_failure_of_npm_is_explained_and_leaves_nothing(
    tmp_path: Path, npm: FakeNpm, script: str, reason: str
) -> None:
    npm.behaves(script)
    with pytest.raises(RivetError, match=reason) as failed:
        await install_into(tmp_path)
    assert failed.value.code == "install_failed"
    assert list((tmp_path / "engine").iterdir()) == []


async def test_a_program_that_reports_another_version_is_not_installed(tmp_path: Path, npm: FakeNpm) -> None:
    npm.installs(reports="9.9.9")
    with pytest.raises(RivetError, match=r"says it is version 9\.9\.9"):
        await install_into(tmp_path)
    assert list((tmp_path / "engine").iterdir()) == []


async def test_a_program_that_does_not_run_is_not_installed(tmp_path: Path, npm: FakeNpm) -> None:
    npm.installs(reports="nothing")
    with pytest.raises(RivetError, match="does not run on this machine"):
        await install_into(tmp_path)


async def test_without_npm_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RivetError, match=r"install Node\.js"):
        await install_into(tmp_path)


@pytest.mark.parametrize("version", ["latest", "../1.2.3", "1.2.3 --global", ""])
async def test_only_plain_versions_are_installed(tmp_path: Path, npm: FakeNpm, version: str) -> None:
    with pytest.raises(RivetError, match="not a version"):
        await install_into(tmp_path, version)
    assert not npm.calls.exists()


async def test_a_storage_folder_that_cannot_be_written_is_named(tmp_path: Path, npm: FakeNpm) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(RivetError, match="file"):
        await install_into(occupied)


async def test_a_cancelled_installation_ends_npm_and_leaves_nothing(tmp_path: Path, npm: FakeNpm) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    npm.behaves(f"echo $$ > {ready}; exec tail -f /dev/null")
    installing = asyncio.create_task(install_into(tmp_path))
    process = int(await asyncio.to_thread(ready.read_text))
    installing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await installing
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert list((tmp_path / "engine").iterdir()) == []


async def test_an_npm_that_hangs_is_ended(tmp_path: Path, npm: FakeNpm) -> None:
    ready, clock = tmp_path / "ready", FakeClock()
    os.mkfifo(ready)
    npm.behaves(f"echo $$ > {ready}; exec tail -f /dev/null")
    installing = asyncio.create_task(
        install("1.2.3", storage=tmp_path, clock=clock, entropy=SeededEntropy(1))
    )
    await asyncio.to_thread(ready.read_text)
    while not clock.pending():
        await settle()
    await clock.advance(minutes=10)
    with pytest.raises(RivetError, match="did not finish within 600 s"):
        await installing
