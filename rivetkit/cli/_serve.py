"""``rivetkit serve``: one registry, in this process or in many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rivetkit._hosting import choose_engine
from rivetkit._running import configure_logging
from rivetkit.cli._loading import LoadError, load_registry
from rivetkit.cli._output import fail, reported
from rivetkit.cli._processes import SpawnedWorker, spawn_worker
from rivetkit.cli._reports import Ready, Refusal
from rivetkit.cli._supervisor import Supervisor
from rivetkit_core.clock import SystemClock
from rivetkit_core.entropy import SystemEntropy
from rivetkit_core.host.engine.managed import managed_engine
from rivetkit_core.host.engine.settings import EngineSettings

log = logging.getLogger("rivetkit.workers")

_WORKER = (sys.executable, "-m", "rivetkit.cli._worker")
_MAX_WORKERS = 1024
_ABOUT_THE_ENGINE = frozenset(
    {"RIVET_RUN_ENGINE", "RIVET_RUN_ENGINE_HOST", "RIVET_RUN_ENGINE_PORT", "RIVETKIT_ENGINE_SPAWN"}
)


Target = Annotated[
    str,
    typer.Argument(
        metavar="APP", help="Where the registry is: module:name, as in app:registry. Name: registry."
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        max=_MAX_WORKERS,
        help="How many processes run actors. More than one needs an engine, which divides the actors "
        "among them.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        help='Where actors run: the URL of an engine; "local" for one started here; "embedded" for this '
        "process alone. Default: RIVET_ENDPOINT, RIVET_RUN_ENGINE=1, else as the registry says."
    ),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65_535,
        help="Port to listen on, 0 for a free one. Default: 6420. On an engine clients connect to the "
        "engine, and this process listens only if a port is given.",
    ),
]
AppDir = Annotated[Path, typer.Option(help="Folder the module is looked for in, before Python's path.")]
VersionNumber = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2**32 - 1,
        help="Version of this deployment: the engine places new actors on the highest one that is "
        "connected. Default: RIVET_ENVOY_VERSION, else 1.",
    ),
]
Grace = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Seconds workers get to end before they are killed. Default: what the longest shutdown "
        "grace period of the actors needs.",
    ),
]


def serve_command(
    target: Target,
    workers: Workers = 1,
    engine: EngineOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = None,
    app_dir: AppDir = Path(),
    version_number: VersionNumber = None,
    grace: Grace = None,
) -> None:
    """Serve the actors of a registry until Ctrl-C or SIGTERM, then save everything and end.

    With several workers each is a process of its own. One that ends is started again; send one SIGTERM and
    its actors move to the others while it restarts. Status 0 when all of them ended in order.
    """
    if version_number is not None:
        os.environ["RIVET_ENVOY_VERSION"] = str(version_number)
    if workers == 1:
        _serve_here(target, app_dir, host, port, engine)
        return
    if port is not None:
        fail("--port is for one worker: several do not listen, their clients connect to the engine")
    with reported():
        settings = _shared_engine(engine, workers)
        configure_logging()
        code = asyncio.run(_supervise(target, str(app_dir.absolute()), settings, workers, grace))
    raise typer.Exit(code)


def _serve_here(target: str, app_dir: Path, host: str, port: int | None, engine: str | None) -> None:
    with reported():
        try:
            registry = load_registry(target, app_dir)
        except LoadError as failure:
            _refuse(Refusal(str(failure), failure.traceback))
        registry.run(host=host, port=port, engine=engine)


def _shared_engine(engine: str | None, workers: int) -> EngineSettings:
    settings = choose_engine(engine, os.environ)
    if os.name == "nt":
        fail("--workers needs Linux or macOS")
    if settings is None:
        fail(
            f"{workers} workers need an engine, since the embedded host keeps its data for one process: "
            "add --engine local, --engine URL or RIVET_ENDPOINT"
        )
    if settings.mode == "serverless":
        fail("--workers is not for serverless mode: start several servers behind the URL the engine calls")
    return settings


async def _supervise(
    target: str, app_dir: str, settings: EngineSettings, workers: int, grace: float | None
) -> int:
    arguments = (app_dir, target)
    environ = _environment_of_workers(settings, os.environ)

    async def spawn(number: int) -> SpawnedWorker:
        return await spawn_worker(_WORKER, number, arguments, environ)

    def on_ready(report: Ready) -> None:
        print(
            f"rivetkit: serving {', '.join(report.actors)} with {workers} workers on the engine at "
            f"{settings.endpoint}, namespace {settings.namespace}, pool {settings.pool}",
            flush=True,
        )

    supervisor = Supervisor(spawn, workers, clock=SystemClock(), grace=grace, on_ready=on_ready)
    async with _engine_of(settings):
        with _signals(supervisor) as received:
            clean = await supervisor.run()
    if supervisor.refusal is not None:
        _refuse(supervisor.refusal)
    if len(received) > 1:
        return 128 + received[-1]
    return 0 if clean else 1


@contextlib.asynccontextmanager
async def _engine_of(settings: EngineSettings) -> AsyncGenerator[None]:
    """The engine, for as long as workers need it, if it is ours to start."""
    if settings.spawn != "always":
        yield
        return
    async with managed_engine(settings, clock=SystemClock(), entropy=SystemEntropy()):
        yield


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Generator[list[int]]:
    """Have the first signal end the workers in order and the second one at once; lists what came."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def receive(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            log.info("%s: ending the workers", number.name)
            supervisor.stop()
        else:
            log.warning("a second signal: not waiting any longer")
            supervisor.kill()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, receive, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _environment_of_workers(settings: EngineSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """What workers read their settings from: an engine that runs, which none of them starts."""
    ours = {name: value for name, value in environ.items() if name not in _ABOUT_THE_ENGINE}
    ours["RIVET_ENDPOINT"] = settings.endpoint
    ours["RIVET_NAMESPACE"] = settings.namespace
    if settings.token is not None:
        ours["RIVET_TOKEN"] = settings.token
    return ours


def _refuse(refusal: Refusal) -> NoReturn:
    sys.stderr.write(refusal.traceback)
    fail(refusal.message)
