"""The set of actor classes a program serves, and the ways to serve them.

``run`` and ``serve`` own a server; ``asgi`` with ``lifespan`` live inside somebody else's. All three put
the same host behind the same application.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rivetkit._actor import Actor
from rivetkit._authoring import InvalidActor
from rivetkit._compiler import compile_actor
from rivetkit.client import Client
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.clock import Clock, SystemClock
from rivetkit_core.config import ConfigError
from rivetkit_core.entropy import Entropy, SystemEntropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.embedded.gateway.app import GatewayApp
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.embedded.store import SqliteStore
from rivetkit_core.host.port import ActorAccess
from rivetkit_core.host.web.asgi import AsgiApp, Receive, Scope, Send
from rivetkit_core.host.web.server import Address, ServeError, bind, serve

log = logging.getLogger("rivetkit.registry")

MEMORY = ":memory:"
"""As ``data_dir``: keep nothing on disk."""

_SWITCH_INTERVAL = 0.0005
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Synchronous = Literal["normal", "full"]


@dataclass(frozen=True, slots=True)
class _Options:
    data_dir: str | Path
    namespace: str
    token: str | None
    synchronous: Synchronous


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

    Raises:
        InvalidActor: A class cannot work as written; the message says what to write instead.
    """

    def __init__(
        self,
        *actors: type[Actor],
        data_dir: str | Path | None = None,
        namespace: str | None = None,
        token: str | None = None,
        synchronous: Synchronous = "normal",
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._factories = _compile(actors)
        if synchronous not in get_args(Synchronous):
            raise ConfigError(f"synchronous is {synchronous!r}; it is 'normal' or 'full'")
        self._options = _Options(
            data_dir=data_dir or os.environ.get("RIVETKIT_STORAGE_PATH") or "./.rivetkit",
            namespace=namespace or os.environ.get("RIVET_NAMESPACE") or "default",
            token=token if token is not None else os.environ.get("RIVET_TOKEN") or None,
            synchronous=synchronous,
        )
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._host: EmbeddedHost | None = None

    @property
    def actor_names(self) -> tuple[str, ...]:
        """Wire names of the registered actors."""
        return tuple(factory.name for factory in self._factories)

    @property
    def client(self) -> Client:
        """A client for code in this process; calls take no socket. Usable while the registry runs.

        Raises:
            RivetError: ``registry.shut_down`` when it does not run.
        """
        if self._host is None or not self._host.is_open:
            raise _not_running()
        return _local_client(self._host.access)

    def asgi(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """An ASGI application to serve or mount.

        Served on its own it opens and closes the registry through the ASGI lifespan. Frameworks do not
        forward that to mounted applications: give them ``lifespan`` as well.

            app = FastAPI(lifespan=registry.lifespan)
            app.mount("/rivet", registry.asgi())
        """

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            host = self._require_host()
            if scope["type"] != "lifespan" and not host.is_open:
                raise _not_running()
            await GatewayApp(host, token=self._options.token)(scope, receive, send)

        return application

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None]:
        """Keep the registry open for the duration of a block; a lifespan for FastAPI and Starlette.

        On exit new calls are refused, accepted ones finish, and every actor is saved.

        Raises:
            StorageError: The data directory is locked, damaged, newer than this release or not writable.
        """
        host = self._require_host()
        await host.open()
        try:
            yield
        finally:
            await self._close(host)

    async def serve(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 6420,
        fd: int | None = None,
        handle_signals: bool = False,
        app: AsgiApp | None = None,
        on_ready: Callable[[str], None] | None = None,
    ) -> None:
        """Serve until cancelled; with ``handle_signals``, until SIGINT or SIGTERM.

        Args:
            host: Address to listen on. Anything but loopback should come with a token.
            port: Port to listen on; 0 picks a free one.
            fd: An inherited listening socket instead of host and port, for restarts without refusals.
            handle_signals: Install handlers for SIGINT and SIGTERM while serving.
            app: An ASGI application for every path that is not ours: your pages, your API.
            on_ready: Called with the URL once connections are accepted.

        Raises:
            ServeError: The port is taken or not allowed.
            StorageError: As for ``lifespan``, or the last changes of an actor could not be saved.
        """
        listener = bind(Address(host, port, fd))
        embedded = self._require_host()
        try:
            await embedded.open()
        except BaseException:
            listener.close()
            raise
        if host not in _LOOPBACK and self._options.token is None:
            log.warning("listening on %s without a token: everybody who can connect may call actors", host)
        url = _url(listener.getsockname(), host)
        await serve(
            GatewayApp(embedded, token=self._options.token, fallback=app),
            listener,
            finish=lambda: self._close(embedded),
            handle_signals=handle_signals,
            on_ready=None if on_ready is None else lambda: on_ready(url),
        )

    def run(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 6420,
        fd: int | None = None,
        app: AsgiApp | None = None,
    ) -> None:
        """Serve from a script until Ctrl-C or SIGTERM, then save everything and return.

        Starts its own event loop. When it cannot serve, it prints one line that says why and what to do, and
        exits with status 1. ``app`` answers every path that is not ours, as for ``serve``.
        """
        if not logging.getLogger().handlers:
            level = os.environ.get("RIVET_LOG_LEVEL", "INFO").upper()
            logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
            logging.getLogger("uvicorn").setLevel(logging.WARNING)
        # The store commits on a thread of its own; with the default of 5 ms it would starve while the event
        # loop is busy, and every strict reply with it.
        sys.setswitchinterval(_SWITCH_INTERVAL)
        if _has_running_loop():
            raise RuntimeError(
                "registry.run() starts an event loop of its own, and one is running already: "
                "write `await registry.serve()` inside it"
            )
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                serving = self.serve(
                    host=host, port=port, fd=fd, handle_signals=True, app=app, on_ready=self._announce
                )
                runner.run(serving)
        except (RivetError, ServeError) as failure:
            print(f"rivetkit: {failure}", file=sys.stderr)
            raise SystemExit(1) from None

    def _announce(self, url: str) -> None:
        names = ", ".join(self.actor_names)
        print(f"rivetkit: serving {names} on {url}, data in {self._options.data_dir}", flush=True)

    def _require_host(self) -> EmbeddedHost:
        if self._host is None:
            options = self._options
            path = None if str(options.data_dir) == MEMORY else Path(options.data_dir)
            self._host = EmbeddedHost(
                self._factories,
                store=SqliteStore(path, full_sync=options.synchronous == "full"),
                clock=self._clock,
                entropy=self._entropy,
                namespace=options.namespace,
                expose_errors=os.environ.get("RIVET_EXPOSE_ERRORS") == "1",
            )
        return self._host

    async def _close(self, host: EmbeddedHost) -> None:
        unsaved = await host.close()
        self._host = None
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
        factory = compile_actor(cls, client_factory=lambda core: _local_client(core.access))
        if factory.name in factories:
            raise InvalidActor(
                f"{cls.__name__} and {owners[factory.name].__name__} both have the name {factory.name!r}: "
                f'give one of them another with @actor(name="...")'
            )
        factories[factory.name] = factory
        owners[factory.name] = cls
    return tuple(factories.values())


def _local_client(access: ActorAccess) -> Client:
    return Client(transport=access)


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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return None
    return uvloop.new_event_loop
