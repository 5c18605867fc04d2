"""The processes that are measured: our server, and the bare servers beside it.

    python -m benchmarks.servers rivetkit|uvicorn|websockets [data_dir]

Each prints its port once it accepts connections and ends on SIGTERM. ``rivetkit`` answers lines on standard
input: ``memory`` prints its resident memory in bytes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any

import uvicorn
import uvloop
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.actors import ACTORS
from rivetkit import Registry

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process as the operating system counts it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE


def _answer_memory() -> None:
    for line in sys.stdin:
        if line.strip() == "memory":
            print(resident_bytes(), flush=True)


async def rivetkit(data_dir: str) -> None:
    threading.Thread(target=_answer_memory, daemon=True).start()
    registry = Registry(*ACTORS, data_dir=data_dir)
    await registry.serve(port=0, handle_signals=True, on_ready=lambda url: _announce(url.rsplit(":", 1)[1]))


async def bare_uvicorn() -> None:
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
    _announce(str(server.servers[0].sockets[0].getsockname()[1]))
    await serving


async def bare_websockets() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        _announce(str(next(iter(server.sockets)).getsockname()[1]))
        await stop.wait()


def _announce(port: str) -> None:
    print(port, flush=True)


def main() -> None:
    match sys.argv[1:]:
        case ["rivetkit", data_dir]:
            work = rivetkit(data_dir)
        case ["uvicorn"]:
            work = bare_uvicorn()
        case ["websockets"]:
            work = bare_websockets()
        case _:
            raise SystemExit(__doc__)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
