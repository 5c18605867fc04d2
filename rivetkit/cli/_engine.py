"""``rivetkit engine``: install, start and look at an engine on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from rivetkit.cli._output import err, fail, out, reported
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.host.engine.api import EngineApi
from rivetkit_core.host.engine.binary import ENGINE_VERSION, install
from rivetkit_core.host.engine.launch import EngineLaunch
from rivetkit_core.host.engine.managed import launch_of, managed_engine
from rivetkit_core.host.engine.process import EngineProcess
from rivetkit_core.host.engine.resources import EngineMetadata
from rivetkit_core.host.engine.settings import EngineSettings, is_local, read_settings
from rivetkit_core.wire.gateway_url import parse_endpoint

app = typer.Typer(help="The Rivet Engine on this machine.", no_args_is_help=True)

_STATUS_TIMEOUT = 5.0


@app.command("install")
def install_command(
    version: Annotated[str, typer.Option(help="The version to install.")] = ENGINE_VERSION,
) -> None:
    """Install the engine with npm, below ~/.rivetkit (or RIVETKIT_STORAGE_PATH).

    Does nothing when the version is installed already.
    """
    with reported():
        settings = read_settings(os.environ)
        with err.status(f"Installing the engine {version}"):
            path = asyncio.run(
                install(version, storage=settings.storage, clock=SystemClock(), entropy=SystemEntropy())
            )
    out.print(str(path), markup=False)


@app.command("start")
def start_command(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_525, help="Where it listens, on loopback. Default: RIVET_ENDPOINT's, or 6420."
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for its data and logs. Default: ~/.rivetkit, or below RIVETKIT_STORAGE_PATH."
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
) -> None:
    """Start the engine and keep it running until Ctrl-C.

    An engine that runs there already is used as it is.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with reported():
        settings = read_settings(os.environ)
        process = managed_engine(
            settings,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            launch=_launch(settings, port, data_dir, detach),
        )
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(process, detach))


@app.command("status")
def status_command(
    endpoint: Annotated[
        str | None, typer.Option(help="Which engine. Default: RIVET_ENDPOINT, or http://127.0.0.1:6420.")
    ] = None,
) -> None:
    """Say which engine answers; status 1 when none does."""
    with reported():
        base = read_settings(os.environ).endpoint if endpoint is None else parse_endpoint(endpoint).base
        found = asyncio.run(_status(base))
    out.print(
        f"engine {found.version} at {base}, envoy protocol {found.envoy_protocol_version}", markup=False
    )


def _launch(settings: EngineSettings, port: int | None, data_dir: Path | None, detach: bool) -> EngineLaunch:
    if port is not None:
        settings = dataclasses.replace(settings, endpoint=f"http://127.0.0.1:{port}")
    elif not is_local(settings.endpoint):
        fail(f"RIVET_ENDPOINT is {settings.endpoint}, which is not on this machine: choose a --port")
    launch = launch_of(settings)
    return dataclasses.replace(
        launch,
        storage=launch.storage if data_dir is None else data_dir.absolute(),
        lifetime="detached" if detach else "child",
    )


async def _run(process: EngineProcess, detach: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C cancels us instead
            loop.add_signal_handler(number, stopped.set)
    async with process:
        ours = f"process {process.pid}" if process.pid is not None else "it was running already"
        out.print(f"engine at {process.endpoint}, {ours}", markup=False)
        if process.pid is None or detach:
            return
        await _until_stopped(process, stopped)


async def _until_stopped(process: EngineProcess, stopped: asyncio.Event) -> None:
    """Wait for a signal.

    Raises:
        RivetError: The engine is gone for good.
    """
    failing = asyncio.create_task(process.failed())
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait([failing, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        failing.cancel()
        stopping.cancel()
        await asyncio.wait([failing, stopping])
    if not failing.cancelled():
        raise failing.result()


async def _status(base: str) -> EngineMetadata:
    async with EngineApi(base, clock=SystemClock(), request_timeout=_STATUS_TIMEOUT) as api:
        health = await api.health()
        if health.runtime != "engine":
            fail(f"{base} is no engine but a server of the kind {health.runtime!r}")
        return await api.metadata()
