"""Where the actors of a registry run: chosen by an argument or the environment, in one place.

embedded    this process, with a SQLite file: when nothing is said
engine      a Rivet Engine: ``RIVET_ENDPOINT``, or an URL in code
local       a Rivet Engine that this process starts, for development: ``RIVET_RUN_ENGINE=1``, or "local"
serverless  Rivet Engines that call this process: ``RIVETKIT_RUNTIME_MODE=serverless``, or ``mode`` in code
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, get_args

from rivetkit.client import Client, network_access
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.actor.inspector_token import InspectorOptions
from rivetkit_core.clock import Clock
from rivetkit_core.config import ConfigError
from rivetkit_core.edge.metrics import MetricsDoor, read_door
from rivetkit_core.entropy import Entropy
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.engine.environment import EngineEnvironment
from rivetkit_core.host.engine.front import FrontApp
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.managed import managed_engine
from rivetkit_core.host.engine.serverless import ServerlessHost
from rivetkit_core.host.engine.serverless_app import BASE_PATH, ServerlessApp
from rivetkit_core.host.engine.settings import EngineSettings, RuntimeMode, read_settings
from rivetkit_core.host.engine.start_request import EngineTarget
from rivetkit_core.host.port import ActorAccess
from rivetkit_core.host.web.asgi import AsgiApp
from rivetkit_core.metrics.process import ProcessMetrics

MEMORY = ":memory:"
"""As ``data_dir``: keep nothing on disk."""

EMBEDDED_PORT = 6420

Synchronous = Literal["normal", "full"]


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """What only the embedded host needs."""

    data_dir: str | Path
    namespace: str
    token: str | None
    synchronous: Synchronous


class Host(Protocol):
    """What a registry needs of the place its actors run in."""

    @property
    def is_open(self) -> bool: ...

    @property
    def access(self) -> ActorAccess: ...

    @property
    def metrics(self) -> ProcessMetrics: ...

    async def open(self) -> None:
        """Take up work.

        Raises:
            RivetError: It cannot; the message says what to do.
        """
        ...

    async def close(self) -> int:
        """Finish, save and stop; returns how many actors could not save their last changes."""
        ...


@dataclass(frozen=True, slots=True)
class Hosting:
    """A host, and how it shows itself.

    Attributes:
        app: Its ASGI application, with a fallback for paths that are not its own.
        where: In words, given the URL that this process listens on.
        port: Where it listens unless told.
        listens: Whether nobody can reach its actors without a server in this process.
        endpoint: Where clients connect if this process does not listen.
        guarded: Whether a stranger who can connect is stopped by something.
    """

    host: Host
    app: Callable[[AsgiApp | None], AsgiApp]
    where: Callable[[str], str]
    port: int
    listens: bool
    endpoint: str
    guarded: bool


def choose_engine(
    engine: str | None, environ: Mapping[str, str], mode: RuntimeMode | None = None
) -> EngineSettings | None:
    """The engine to use, or None for the embedded host.

    Args:
        mode: Instead of ``RIVETKIT_RUNTIME_MODE``.

    Raises:
        ConfigError: A variable or the argument is not valid.
    """
    if mode is not None:
        if mode not in get_args(RuntimeMode):
            raise ConfigError(f"mode is {mode!r}; it is 'envoy' or 'serverless'")
        environ = {**environ, "RIVETKIT_RUNTIME_MODE": mode}
    if engine == "embedded" and mode == "serverless":
        raise ConfigError("mode is 'serverless', which needs an engine, and engine is 'embedded'")
    if engine == "embedded":
        return None
    if engine == "local":
        return replace(read_settings({**environ, "RIVET_RUN_ENGINE": "1"}), auto_install=True)
    if engine is not None:
        if not engine.startswith(("http://", "https://")):
            raise ConfigError(f'engine is {engine!r}; it is a URL, "local" or "embedded"')
        return read_settings({**environ, "RIVET_ENDPOINT": engine})
    settings = read_settings(environ)
    wanted = environ.get("RIVET_ENDPOINT") or settings.spawn == "always" or settings.mode == "serverless"
    return settings if wanted else None


def embedded_hosting(
    factories: Iterable[ActorFactory], options: EmbeddedOptions, *, clock: Clock, entropy: Entropy
) -> Hosting:
    """Actors in this process."""
    path = None if str(options.data_dir) == MEMORY else Path(options.data_dir)
    door = read_door(os.environ)
    host = EmbeddedHost(
        factories,
        store=SqliteStore(path, full_sync=options.synchronous == "full"),
        clock=clock,
        entropy=entropy,
        namespace=options.namespace,
        expose_errors=os.environ.get("RIVET_EXPOSE_ERRORS") == "1",
        inspector=_inspector(door),
    )
    host.metrics.describe(envoy_version=1, envoy_kind="unknown", pool="default")
    return Hosting(
        host=host,
        app=lambda fallback: GatewayApp(host, token=options.token, door=door, fallback=fallback),
        where=lambda url: f"on {url}, data in {options.data_dir}",
        port=EMBEDDED_PORT,
        listens=True,
        endpoint="",
        guarded=options.token is not None,
    )


def engine_hosting(
    factories: Iterable[ActorFactory],
    settings: EngineSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    stays: Callable[[], Awaitable[bool]] | None = None,
) -> Hosting:
    """Actors that an engine places on this process; ``stays`` is as for ``EngineEnvironment``."""
    door, metrics = read_door(os.environ), ProcessMetrics()
    metrics.describe(envoy_version=settings.version, envoy_kind="serverful", pool=settings.pool)
    host = _engine_host(factories, settings, clock, entropy, stays, metrics=metrics)
    engine = f"on the engine at {settings.endpoint}, namespace {settings.namespace}, pool {settings.pool}"
    return Hosting(
        host=host,
        app=lambda fallback: FrontApp(host, settings, door=door, fallback=fallback),
        where=lambda url: engine if url == settings.endpoint else f"{engine}; listening on {url}",
        port=settings.port,
        listens=False,
        endpoint=settings.endpoint,
        guarded=True,
    )


def serverless_hosting(
    factories: Iterable[ActorFactory], settings: EngineSettings, *, clock: Clock, entropy: Entropy
) -> Hosting:
    """Actors of engines that call this process.

    Raises:
        ConfigError: The settings ask for an engine that this process starts.
    """
    if settings.spawn == "always":
        raise ConfigError(
            "a serverless host is called by an engine and starts none: run `rivetkit engine start` beside it"
        )
    known = tuple(factories)
    door, metrics = read_door(os.environ), ProcessMetrics()
    metrics.describe(envoy_version=settings.version, envoy_kind="serverless", pool=settings.pool)

    def make(target: EngineTarget) -> EngineHost:
        place = replace(
            settings,
            endpoint=target.endpoint,
            namespace=target.namespace,
            pool=target.pool,
            token=target.token,
        )
        return _engine_host(known, place, clock, entropy, metrics=metrics)

    host = ServerlessHost(known, make=make, access=_access(settings, clock, entropy), metrics=metrics)
    return Hosting(
        host=host,
        app=lambda fallback: ServerlessApp(host, settings, clock=clock, door=door, fallback=fallback),
        where=lambda url: f"to engines that call {url}{BASE_PATH}",
        port=settings.port,
        listens=True,
        endpoint="",
        guarded=settings.named.token is not None or settings.named.endpoint is not None,
    )


def _engine_host(
    factories: Iterable[ActorFactory],
    settings: EngineSettings,
    clock: Clock,
    entropy: Entropy,
    stays: Callable[[], Awaitable[bool]] | None = None,
    *,
    metrics: ProcessMetrics,
) -> EngineHost:
    spawns = settings.spawn == "always"
    process = managed_engine(settings, clock=clock, entropy=entropy) if spawns else None
    return EngineHost(
        factories,
        environment=EngineEnvironment(settings, clock=clock, entropy=entropy, process=process, stays=stays),
        access=_access(settings, clock, entropy),
        clock=clock,
        entropy=entropy,
        expose_errors=settings.expose_errors,
        metrics=metrics,
        inspector=_inspector(read_door(os.environ)),
    )


def _inspector(door: MetricsDoor) -> InspectorOptions:
    return InspectorOptions(
        enabled=os.environ.get("RIVET_INSPECTOR_DISABLE") != "1",
        token=os.environ.get("_RIVET_TEST_INSPECTOR_TOKEN") or None,
        metrics_token=door.token,
    )


def _access(settings: EngineSettings, clock: Clock, entropy: Entropy) -> ActorAccess:
    return network_access(
        settings.endpoint,
        namespace=settings.namespace,
        token=settings.token,
        pool=settings.pool,
        clock=clock,
        entropy=entropy,
    )


def local_client(access: ActorAccess, clock: Clock | None = None, entropy: Entropy | None = None) -> Client:
    """A client over a host's own access."""
    return Client(transport=access, clock=clock, entropy=entropy)
