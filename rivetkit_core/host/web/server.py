"""Serves an ASGI application with uvicorn: binding, signals, and an orderly end.

uvicorn's own signal handling would close every websocket before actors could answer, and end the process
by the signal. Here the first SIGINT or SIGTERM stops accepting, lets the application finish what it
accepted, and the process exits 0; the second one gives up waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
import websockets.http11

from rivetkit_core.host.web.asgi import AsgiApp
from rivetkit_core.host.web.http_protocol import BoundedHttpProtocol

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("rivetkit.server")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MAX_FRAME = 32 * 1024 * 1024
_MAX_HEADER_LINE = 256 * 1024
_PING_INTERVAL = 25.0
_BACKLOG = 2048


class ServeError(Exception):
    """The server cannot start; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``fd`` is an inherited listening socket; then host and port are not used."""

    host: str = "127.0.0.1"
    port: int = 6420
    fd: int | None = None


def bind(address: Address) -> socket.socket:
    """Open the listening socket.

    Raises:
        ServeError: The port is taken or not allowed, or the host name is unknown.
    """
    if address.fd is not None:
        return _inherited(address.fd)
    if not 0 <= address.port <= 65_535:  # getaddrinfo would wrap it around
        raise ServeError(f"port {address.port} does not exist: choose one between 0 and 65535")
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol spelled out asyncio turns Nagle's algorithm off; without, an event followed by
        # an answer waits 40 ms for the client's acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as failure:
        raise ServeError(_explain_bind(address, failure)) from failure
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError as failure:
        listener.close()
        raise ServeError(_explain_bind(address, failure)) from failure
    listener.setblocking(False)
    return listener


def _inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.detach()  # it belongs to somebody else
            raise ServeError(f"file descriptor {descriptor} is not a listening socket: check fd=...")
    except OSError as failure:
        reason = failure.strerror or failure
        raise ServeError(f"file descriptor {descriptor} cannot be listened on: {reason}") from failure
    listener.setblocking(False)
    return listener


def _explain_bind(address: Address, failure: OSError) -> str:
    where = f"{address.host}:{address.port}"
    if isinstance(failure, socket.gaierror):
        return f"the host name {address.host} is unknown ({failure.strerror}): choose another host=..."
    match failure.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use: stop the other program, or choose another port with port=..."
        case errno.EACCES:
            return f"no permission to listen on {where}: choose a port above 1023 with port=..."
        case errno.EADDRNOTAVAIL:
            return f"{address.host} is not an address of this machine: choose another host=..."
        case _:
            return f"cannot listen on {where}: {failure.strerror or failure}"


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the owner decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop_accepting(self) -> None:
        for server in getattr(self, "servers", []):
            server.close()


async def serve(
    app: AsgiApp,
    listener: socket.socket,
    *,
    finish: Callable[[], Awaitable[None]],
    handle_signals: bool = True,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until a signal, cancellation or ``stop``, then stop accepting, await ``finish``, and end.

    ``finish`` runs while open connections can still be answered; it runs exactly once, also when serving
    fails. A second signal cancels it.

    Raises:
        ServeError: A second signal came before ``finish`` was done.
    """
    # websockets reads this limit from a module constant; connection parameters travel in a header and
    # may fill one (client-protocol 9).
    websockets.http11.MAX_LINE_LENGTH = max(websockets.http11.MAX_LINE_LENGTH, _MAX_HEADER_LINE)
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",  # below that it logs the URLs of websockets, which may carry tokens
        http=BoundedHttpProtocol,
        ws="websockets-sansio",
        ws_max_size=_MAX_FRAME,
        ws_ping_interval=_PING_INTERVAL,
        ws_ping_timeout=_PING_INTERVAL,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=_MAX_HEADER_LINE,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    stop, give_up = stop or asyncio.Event(), asyncio.Event()
    async with _signals(stop, give_up) if handle_signals else contextlib.nullcontext():
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            if on_ready is not None:
                on_ready()
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.stop_accepting()
            try:
                await _unless(give_up, finish)
            finally:
                server.should_exit = True
                server.force_exit = give_up.is_set()
                await _unless(give_up, lambda: serving)


async def stay(
    *,
    finish: Callable[[], Awaitable[None]],
    handle_signals: bool = True,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Like ``serve``, without a server: wait for a signal, cancellation or ``stop``, then await ``finish``.

    Raises:
        ServeError: A second signal came before ``finish`` was done.
    """
    stop, give_up = stop or asyncio.Event(), asyncio.Event()
    async with _signals(stop, give_up) if handle_signals else contextlib.nullcontext():
        try:
            if on_ready is not None:
                on_ready()
            await stop.wait()
        finally:
            await _unless(give_up, finish)


async def _unless(give_up: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work`` to its end, or cancel it when ``give_up`` is set first."""
    working = asyncio.ensure_future(work())
    giving_up = asyncio.create_task(give_up.wait())
    try:
        await asyncio.wait([working, giving_up], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        working.cancel()
        await asyncio.wait([working])
        raise
    finally:
        giving_up.cancel()
    if not working.done():
        working.cancel()  # and not awaited: it may wait for code that does not end
        log.warning("second signal: not waiting any longer")
        raise ServeError("stopped by a second signal, without waiting for unfinished work and unsaved state")
    await working


@contextlib.asynccontextmanager
async def _signals(stop: asyncio.Event, give_up: asyncio.Event) -> AsyncGenerator[None]:
    loop = asyncio.get_running_loop()

    def received() -> None:
        if stop.is_set():
            give_up.set()
        stop.set()

    def fallback(_signal: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(received)

    undo: list[Callable[[], object]] = []
    try:
        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, received)
                undo.append(functools.partial(loop.remove_signal_handler, number))
            except NotImplementedError:  # Windows has no loop signal handlers
                undo.append(functools.partial(signal.signal, number, signal.signal(number, fallback)))
        yield
    finally:
        for step in undo:
            step()
