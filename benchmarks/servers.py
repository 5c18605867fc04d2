"""The processes that are measured: our server, and the bare servers beside it.

    python -m benchmarks.servers [--profile FILE] rivetkit DATA_DIR | uvicorn | websockets | tasks
    python -m benchmarks.servers [--profile FILE] engine-host | bare-envoy ENGINE_URL

Each prints its port once it accepts connections (the last two: 0 once connected) and ends on SIGTERM. A line
on standard input is a command that is answered with a number: ``memory`` with the resident bytes, ``awake``
(rivetkit only) with the number of sleepers that are awake, ``hold N`` (tasks only) once N tasks wait. With a
profile, the server is sampled from the start to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.actors import ACTORS
from benchmarks.bare_envoy import bare_envoy
from benchmarks.sampling import sampled
from benchmarks.sleepers import ACTORS as SLEEPERS
from benchmarks.sleepers import awake
from rivetkit import Registry

_PAGE = os.sysconf("SC_PAGE_SIZE")


def _resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE


def _answer(commands: dict[str, Callable[[int], int]]) -> None:
    """Answer commands on a thread until standard input ends."""

    def read() -> None:
        for line in sys.stdin:
            name, _, argument = line.strip().partition(" ")
            print(commands[name](int(argument or 0)), flush=True)

    threading.Thread(target=read, daemon=True).start()


def _stopped() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


def _announce(port: object) -> None:
    print(port, flush=True)


async def rivetkit(data_dir: str) -> None:
    registry = Registry(*ACTORS, *SLEEPERS, data_dir=data_dir)
    _answer({"memory": lambda _: _resident_bytes(), "awake": lambda _: awake.count})
    await registry.serve(port=0, handle_signals=True, on_ready=lambda url: _announce(url.rsplit(":", 1)[1]))


async def engine_host(endpoint: str) -> None:
    _answer({"memory": lambda _: _resident_bytes()})
    registry = Registry(*ACTORS, engine=endpoint)
    await registry.serve(handle_signals=True, on_ready=lambda _: _announce(0))


async def bare_uvicorn() -> None:
    """Read the body, answer as many bytes as an action's result has."""

    async def handler(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"\x04\x00\x01\x01"})

    config = uvicorn.Config(handler, port=0, lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    _announce(server.servers[0].sockets[0].getsockname()[1])
    await serving


async def bare_websockets() -> None:
    """Echo every frame; one that starts with ``!`` goes to everybody instead."""
    everybody: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        everybody.add(connection)
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                if message[:1] == b"!":
                    broadcast(everybody, message)
                else:
                    await connection.send(message)
        everybody.discard(connection)

    stop = _stopped()
    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        _announce(next(iter(server.sockets)).getsockname()[1])
        await stop.wait()


async def bare_tasks() -> None:
    """Hold tasks that each wait on a queue of their own: the least an actor written by hand can be."""
    stop, loop = _stopped(), asyncio.get_running_loop()
    held: list[asyncio.Task[object]] = []

    async def hold(count: int) -> int:
        queues: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in range(count)]
        held.extend(asyncio.create_task(queue.get()) for queue in queues)
        await asyncio.sleep(0)
        return len(held)

    def on_loop(count: int) -> int:
        return asyncio.run_coroutine_threadsafe(hold(count), loop).result()

    _answer({"memory": lambda _: _resident_bytes(), "hold": on_loop})
    _announce(0)
    await stop.wait()
    for task in held:
        task.cancel()


async def envoy(endpoint: str) -> None:
    stop, ready = _stopped(), asyncio.Event()
    working = asyncio.create_task(bare_envoy(endpoint, ready))
    working.add_done_callback(lambda _: (ready.set(), stop.set()))
    await ready.wait()
    if not working.done():
        _announce(0)
    await stop.wait()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", type=Path)
    parser.add_argument("kind")
    parser.add_argument("argument", nargs="?", default="", help="a data directory, or an engine's endpoint")
    options = parser.parse_args()
    kinds: dict[str, Callable[[], Coroutine[object, object, None]]] = {
        "rivetkit": lambda: rivetkit(options.argument),
        "uvicorn": bare_uvicorn,
        "websockets": bare_websockets,
        "tasks": bare_tasks,
        "engine-host": lambda: engine_host(options.argument),
        "bare-envoy": lambda: envoy(options.argument),
    }
    profiling = sampled(options.profile) if options.profile else contextlib.nullcontext()
    with profiling, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(kinds[options.kind]())


if __name__ == "__main__":
    main()
