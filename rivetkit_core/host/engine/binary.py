"""Where the engine's program is on this machine, and how it gets there.

It is looked for in this order: an explicit path, the installed programs of the storage folder, node_modules
of the working directory and its parents, PATH. ``install`` lets the user's npm fetch the package of this
platform; nothing here talks to a network by itself.

    <storage>/engine/<version>/<artifact>     an installed program, named as in the releases
    <storage>/engine/.installing-<id>/        a download under way; never looked into
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy, new_uuid
from rivetkit_core.errors import RivetError, error

ENGINE_VERSION = "2.3.19"
"""The engine this release is tested with, and what ``install`` gets."""

_INSTALL_TIMEOUT = 600.0
_REPORT_TIMEOUT = 20.0
_SCOPE = "@rivetkit"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?")
_REPORTED = re.compile(rf"\b({_VERSION.pattern})")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ERR_SOCKET")
_NPM_OPTIONS = (
    "--no-save",
    "--no-package-lock",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
)
_MACHINES = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Platform:
    """How the engine for one kind of machine is called: npm package, release artifact, program."""

    package: str
    artifact: str
    program: str = "rivet-engine"


_PLATFORMS = {
    ("linux", "x64"): Platform("engine-cli-linux-x64-musl", "rivet-engine-x86_64-unknown-linux-musl"),
    ("linux", "arm64"): Platform("engine-cli-linux-arm64-musl", "rivet-engine-aarch64-unknown-linux-musl"),
    ("darwin", "x64"): Platform("engine-cli-darwin-x64", "rivet-engine-x86_64-apple-darwin"),
    ("darwin", "arm64"): Platform("engine-cli-darwin-arm64", "rivet-engine-aarch64-apple-darwin"),
    ("windows", "x64"): Platform(
        "engine-cli-win32-x64", "rivet-engine-x86_64-pc-windows-gnu.exe", "rivet-engine.exe"
    ),
}


def platform_of(system: str | None = None, machine: str | None = None) -> Platform:
    """The engine's names on a machine; on this one by default.

    Raises:
        RivetError: ``engine.unsupported_platform``.
    """
    system = (system or platform.system()).lower()
    machine = (machine or platform.machine()).lower()
    found = _PLATFORMS.get((system, _MACHINES.get(machine, machine)))
    if found is None:
        raise error("engine.unsupported_platform", platform=f"{system} on {machine}")
    return found


def find_binary(
    *,
    storage: Path,
    version: str | None = None,
    explicit: Path | None = None,
    working_directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Path:
    """The engine's program.

    Args:
        storage: Folder that holds installed programs.
        version: The only version that will do, as far as it shows before the program runs; by default
            ``ENGINE_VERSION`` of the installed ones, and any version elsewhere.
        explicit: The program itself; then nothing else is looked at.

    Raises:
        RivetError: ``engine.binary_not_found``, ``engine.unsupported_platform``.
    """
    if explicit is not None:
        if not _is_program(explicit):
            raise error("engine.binary_not_found", reason=f"{explicit} is not an executable file")
        return explicit
    ours = platform_of()
    environ = os.environ if environ is None else environ
    for candidate in _candidates(ours, storage, version, working_directory or Path.cwd(), environ):
        if _is_program(candidate):
            return candidate
    wanted = version or ENGINE_VERSION
    raise error(
        "engine.binary_not_found",
        reason=f"version {wanted} is not in {storage / 'engine'}, and none is in node_modules or on PATH",
    )


def installed_path(storage: Path, version: str) -> Path:
    """Where ``install`` puts a version."""
    return storage / "engine" / version / platform_of().artifact


async def install(version: str, *, storage: Path, clock: Clock, entropy: Entropy) -> Path:
    """Get a version of the engine through npm, unless it is there already.

    The program appears under its final name only after it was fetched and reported this version, so a
    cancelled or failed installation leaves nothing that could be found.

    Raises:
        RivetError: ``engine.install_failed``, ``engine.unsupported_platform``.
    """
    ours = platform_of()
    if _VERSION.fullmatch(version) is None:
        raise _failed(version, "this is not a version such as " + ENGINE_VERSION)
    target = installed_path(storage, version)
    if _is_program(target):
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise _failed(version, "npm is not on PATH; install Node.js, which brings it")
    workplace = storage / "engine" / f".installing-{new_uuid(entropy)}"
    try:
        workplace.mkdir(parents=True)
        await _fetch(npm, ours, version, workplace, clock)
        program = workplace / "node_modules" / _SCOPE / ours.package / ours.program
        await _check_version(program, version, clock)
        target.parent.mkdir(exist_ok=True)
        os.replace(program, target)
    except OSError as failure:
        raise _failed(version, f"{failure.strerror}: {failure.filename}") from failure
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return target


async def _fetch(npm: str, ours: Platform, version: str, workplace: Path, clock: Clock) -> None:
    package = f"{_SCOPE}/{ours.package}@{version}"
    command = (npm, "install", "--prefix", str(workplace), *_NPM_OPTIONS, package)
    status, output = await _run(command, clock, _INSTALL_TIMEOUT)
    if status is None:
        raise _failed(version, f"npm did not finish within {_INSTALL_TIMEOUT:g} s")
    if status != 0:
        raise _failed(version, _explain_npm(output, package))


async def _check_version(program: Path, version: str, clock: Clock) -> None:
    _make_executable(program, version)
    status, output = await _run((str(program), "--version"), clock, _REPORT_TIMEOUT)
    reported = _REPORTED.search(output)
    if status != 0 or reported is None:
        raise _failed(version, "the program does not run on this machine")
    if reported[1] != version:
        raise _failed(version, f"the program says it is version {reported[1]}")


def _make_executable(program: Path, version: str) -> None:
    if not program.is_file():
        raise _failed(version, f"the package npm installed holds no {program.name}")
    program.chmod(0o755)


async def _run(command: tuple[str, ...], clock: Clock, limit: float) -> tuple[int | None, str]:
    """Exit status (None: it took longer than ``limit`` seconds and was killed) and all output."""
    environ = {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )
    try:
        async with clock.timeout(limit):
            output, _ = await process.communicate()
    except TimeoutError:
        return None, ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode, output.decode(errors="replace")


def _explain_npm(output: str, package: str) -> str:
    for code in _OFFLINE:
        if code in output:
            return f"npm cannot reach its registry ({code}): check the network and npm's settings"
    if "E404" in output or "ETARGET" in output:
        return f"npm knows no {package}"
    lines = [line for line in _CREDENTIALS.sub("//", output).splitlines() if line.strip()]
    return f"npm said: {' / '.join(lines[:3])[:500] or 'nothing'}"


def _candidates(
    ours: Platform, storage: Path, version: str | None, start: Path, environ: Mapping[str, str]
) -> Iterator[Path]:
    yield storage / "engine" / (version or ENGINE_VERSION) / ours.artifact
    for folder in (start, *start.parents):
        package = folder / "node_modules" / _SCOPE / ours.package
        if version is None or _package_version(package) == version:
            yield package / ours.program
    on_path = shutil.which(ours.program, path=environ.get("PATH", ""))
    if on_path is not None:
        yield Path(on_path)


def _package_version(package: Path) -> str | None:
    try:
        described: object = json.loads((package / "package.json").read_text())
    except (OSError, ValueError):
        return None
    version = cast("dict[str, object]", described).get("version") if isinstance(described, dict) else None
    return version if isinstance(version, str) else None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _failed(version: str, reason: str) -> RivetError:
    return error("engine.install_failed", version=version, reason=reason)
