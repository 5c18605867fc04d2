"""The set of actor classes a program serves, and the ways to serve them.

``run`` and ``serve`` own a server; ``asgi`` with ``lifespan`` live inside somebody else's. All three put
the same host behind the same application.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import get_args

from rivetkit._actor import Actor
from rivetkit._authoring import InvalidActor
from rivetkit._compiler import compile_actor
from rivetkit._hosting import (
    EmbeddedOptions,
    Host,
    Hosting,
    Synchronous,
    choose_engine,
    embedded_hosting,
    engine_hosting,
    local_client,
    serverless_hosting,
)
from rivetkit._running import configure_logging, run_to_end
from rivetkit.client import Client
from rivetkit_core.actor.context import ActorContext
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.clock import Clock, SystemClock
from rivetkit_core.config import ConfigError
from rivetkit_core.entropy import Entropy, SystemEntropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.settings import RuntimeMode
from rivetkit_core.host.web.asgi import AsgiApp, Receive, Scope, Send
from rivetkit_core.host.web.server import Address, ServeError, bind, serve, stay
from rivetkit_core.metrics.exposition import Family, render

log = logging.getLogger("rivetkit.registry")

_SHUTDOWN_MARGIN = 5.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Registry:
    """Compiles actor classes and serves them.

    Args:
        actors: The classes. Authoring mistakes are reported here, all of them at once per class.
        data_dir: Where state is kept; ``:memory:`` keeps none. Default: ``RIVETKIT_STORAGE_PATH``, else
            ``./.rivetkit``. One process at a time may use a directory.
        namespace: What clients must name; ``RIVET_NAMESPACE``, else ``default``.
        token: What clients must present; ``RIVET_TOKEN``, else none and everybody who can connect may call.
        synchronous: ``normal`` survives a crash of the process; ``full`` also a power failure, for a slower
            commit.
        engine: Where actors run: the URL of a Rivet Engine; ``local`` for one that this process starts;
            ``embedded`` for this process, whatever the environment says. Default: ``RIVET_ENDPOINT``,
            ``RIVET_RUN_ENGINE=1``, else this process. ``data_dir``, ``token`` and ``synchronous`` are for the
            embedded host; an engine takes its own settings from the environment.

    Raises:
        InvalidActor: A class cannot work as written; the message says what to write instead.
        ConfigError: An argument or an environment variable is not valid.
    """

    def __init__(
        self,
        *actors: type[Actor],
        data_dir: str | Path | None = None,
        namespace: str | None = None,
        token: str | None = None,
        synchronous: Synchronous = "normal",
        engine: str | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._factories = _compile(actors)
        if synchronous not in get_args(Synchronous):
            raise ConfigError(f"synchronous is {synchronous!r}; it is 'normal' or 'full'")
        self._engine = engine
        self._mode: RuntimeMode | None = None
        choose_engine(engine, os.environ)  # a mistake shows here, not when the program is served
        self._options = EmbeddedOptions(
            data_dir=data_dir or os.environ.get("RIVETKIT_STORAGE_PATH") or "./.rivetkit",
            namespace=namespace or os.environ.get("RIVET_NAMESPACE") or "default",
            token=token if token is not None else os.environ.get("RIVET_TOKEN") or None,
            synchronous=synchronous,
        )
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._hosting: Hosting | None = None

    @property
    def actor_names(self) -> tuple[str, ...]:
        """Wire names of the registered actors."""
        return tuple(factory.name for factory in self._factories)

    @property
    def factories(self) -> tuple[ActorFactory, ...]:
        """The compiled actors, for a host of one's own."""
        return self._factories

    @contextlib.contextmanager
    def hosted(self, hosting: Hosting) -> Generator[None]:
        """Stand on a host of somebody else's for the duration of a block, who opens and closes it.

        Raises:
            RuntimeError: The registry is served already.
        """
        if self._hosting is not None:
            raise RuntimeError("the registry is served already; give a test a registry of its own")
        self._hosting = hosting
        try:
            yield
        finally:
            self._hosting = None

    @property
    def shutdown_bound(self) -> float:
        """Seconds an orderly end may take, for whoever kills what has not ended by then."""
        grace = max(
            (factory.config.effective_sleep_grace_period() for factory in self._factories), default=0.0
        )
        return 2 * (grace + _SHUTDOWN_MARGIN) + _SHUTDOWN_MARGIN

    @property
    def client(self) -> Client:
        """A client for code in this process; calls take no socket. Usable while the registry runs.

        Raises:
            RivetError: ``registry.shut_down`` when it does not run.
        """
        if self._hosting is None or not self._hosting.host.is_open:
            raise _not_running()
        return local_client(self._hosting.host.access)

    def metrics(self) -> str:
        """The numbers of all actors in this process, as Prometheus reads them (text format 0.0.4).

        For programs that serve them themselves, behind a check of their own. Empty while the registry does
        not run. Safe to call from any thread.
        """
        return render(self.metric_families()).decode()

    def metric_families(self) -> list[Family]:
        """What ``metrics`` shows, for collectors of other libraries."""
        return [] if self._hosting is None else list(self._hosting.host.metrics.families())

    def asgi(self, *, mode: RuntimeMode | None = None) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """An ASGI application to serve or mount.

        Served on its own it opens and closes the registry through the ASGI lifespan. Frameworks do not
        forward that to mounted applications: give them ``lifespan`` as well.

            app = FastAPI(lifespan=registry.lifespan)
            app.mount("/rivet", registry.asgi())

        Args:
            mode: ``serverless`` for engines that call this application, at the URL it is mounted at, when an
                actor is to start; they must be configured with that URL. Default: ``RIVETKIT_RUNTIME_MODE``,
                else ``envoy``: this process connects to its engine.

        Raises:
            ConfigError: ``serverless`` with the embedded host.
        """
        if mode is not None:
            choose_engine(self._engine, os.environ, mode)
            self._mode = mode

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            hosting = self._require_hosting()
            if scope["type"] != "lifespan" and not hosting.host.is_open:
                raise _not_running()
            await hosting.app(None)(scope, receive, send)

        return application

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None]:
        """Keep the registry open for the duration of a block; a lifespan for FastAPI and Starlette.

        On exit new calls are refused, accepted ones finish, and every actor is saved.

        Raises:
            StorageError: The data directory is locked, damaged, newer than this release or not writable.
            RivetError: ``engine.*``: the engine cannot be reached or refused this process.
        """
        host = self._require_hosting().host
        await host.open()
        try:
            yield
        finally:
            await self._close(host)

    async def serve(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        fd: int | None = None,
        engine: str | None = None,
        handle_signals: bool = False,
        app: AsgiApp | None = None,
        on_ready: Callable[[str], None] | None = None,
        stop: asyncio.Event | None = None,
        stays: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Serve until cancelled or ``stop`` is set; with ``handle_signals``, until SIGINT or SIGTERM.

        On an engine clients connect to the engine, and this process listens only if ``port``, ``fd`` or
        ``app`` is given.

        Args:
            host: Address to listen on. Anything but loopback should come with a token.
            port: Port to listen on; 0 picks a free one. Default: 6420, on an engine ``RIVET_PORT`` or 3000.
            fd: An inherited listening socket instead of host and port, for restarts without refusals.
            engine: As for the constructor, which it overrules.
            handle_signals: Install handlers for SIGINT and SIGTERM while serving.
            app: An ASGI application for every path that is not ours: your pages, your API.
            on_ready: Called once work is taken up, with the URL for clients.
            stop: Ends serving when it is set, as a signal does.
            stays: For a program that ends all processes of a pool at once: asked when this one ends, whether
                others stay to take its actors over. If not, they are put to sleep. Default: the engine knows.

        Raises:
            ServeError: The port is taken or not allowed.
            StorageError: As for ``lifespan``, or the last changes of an actor could not be saved.
            RivetError: ``engine.*``: the engine cannot be reached or refused this process.
        """
        hosting = self._require_hosting(engine, stays)
        listens = hosting.listens or app is not None or port is not None or fd is not None
        listener = bind(Address(host, hosting.port if port is None else port, fd)) if listens else None
        await self._open(hosting, listener)
        if listener is not None and host not in _LOOPBACK and not hosting.guarded:
            log.warning("listening on %s without a token: everybody who can connect may call actors", host)
        url = hosting.endpoint if listener is None else _url(listener.getsockname(), host)

        def ready() -> None:
            if on_ready is not None:
                on_ready(url)

        finish = functools.partial(self._close, hosting.host)
        if listener is None:
            await stay(finish=finish, handle_signals=handle_signals, on_ready=ready, stop=stop)
        else:
            await serve(
                hosting.app(app),
                listener,
                finish=finish,
                handle_signals=handle_signals,
                on_ready=ready,
                stop=stop,
            )

    def run(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        fd: int | None = None,
        engine: str | None = None,
        app: AsgiApp | None = None,
    ) -> None:
        """Serve from a script until Ctrl-C or SIGTERM, then save everything and return.

        Starts its own event loop. When it cannot serve, it prints one line that says why and what to do, and
        exits with status 1. The arguments are those of ``serve``.
        """
        configure_logging()
        if _has_running_loop():
            raise RuntimeError(
                "registry.run() starts an event loop of its own, and one is running already: "
                "write `await registry.serve()` inside it"
            )
        try:
            run_to_end(
                self.serve(
                    host=host,
                    port=port,
                    fd=fd,
                    engine=engine,
                    handle_signals=True,
                    app=app,
                    on_ready=self._announce,
                )
            )
        except (RivetError, ServeError, ConfigError) as failure:
            print(f"rivetkit: {failure}", file=sys.stderr)
            raise SystemExit(1) from None

    def _announce(self, url: str) -> None:
        where = self._require_hosting().where(url)
        print(f"rivetkit: serving {', '.join(self.actor_names)} {where}", flush=True)

    def _require_hosting(
        self, engine: str | None = None, stays: Callable[[], Awaitable[bool]] | None = None
    ) -> Hosting:
        if self._hosting is None:
            settings = choose_engine(engine or self._engine, os.environ, self._mode)
            clock, entropy = self._clock, self._entropy
            if settings is None:
                self._hosting = embedded_hosting(self._factories, self._options, clock=clock, entropy=entropy)
            elif settings.mode == "serverless":
                self._hosting = serverless_hosting(self._factories, settings, clock=clock, entropy=entropy)
            else:
                self._hosting = engine_hosting(
                    self._factories, settings, clock=clock, entropy=entropy, stays=stays
                )
        return self._hosting

    async def _open(self, hosting: Hosting, listener: socket.socket | None) -> None:
        try:
            await hosting.host.open()
        except BaseException:
            self._hosting = None
            if listener is not None:
                listener.close()
            raise

    async def _close(self, host: Host) -> None:
        unsaved = await host.close()
        self._hosting = None
        if unsaved:
            raise error(
                "storage.unavailable", f"{unsaved} actors could not save their last changes; see the log"
            )


def _compile(actors: tuple[type[Actor], ...]) -> tuple[ActorFactory, ...]:
    factories: dict[str, ActorFactory] = {}
    owners: dict[str, type[Actor]] = {}
    for cls in actors:
        if cls in owners.values():
            raise InvalidActor(f"{cls.__name__} is given twice: once is enough")
        factory = compile_actor(cls, client_factory=_client_of)
        if factory.name in factories:
            raise InvalidActor(
                f"{cls.__name__} and {owners[factory.name].__name__} both have the name {factory.name!r}: "
                f'give one of them another with @actor(name="...")'
            )
        factories[factory.name] = factory
        owners[factory.name] = cls
    return tuple(factories.values())


def _client_of(core: ActorContext) -> Client:
    return local_client(core.access, core.clock, core.entropy)


def _url(sockname: object, host: str) -> str:
    if isinstance(sockname, tuple):
        port: object = sockname[1]  # pyright: ignore[reportUnknownVariableType]  # the family decides its length
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}"
    return str(sockname)


def _not_running() -> RivetError:
    return error(
        "registry.shut_down",
        "The registry is not running: serve it, or give your application its lifespan, as in "
        "FastAPI(lifespan=registry.lifespan)",
    )


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
