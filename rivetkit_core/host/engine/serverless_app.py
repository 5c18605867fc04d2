"""The HTTP face of a serverless host (envoy-protocol 8).

    POST /start    the engine starts an actor; the answer lasts as long as that generation
    everything else is ``FrontApp``'s: /metadata, /health, /

Works at the root, below any mount point, and below ``/api/rivet``, where engines look unless told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import TypeVar

from rivetkit_core.clock import Clock
from rivetkit_core.edge.metrics import MetricsDoor
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.front import FrontApp, refuse
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.serverless import ServerlessHost
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.engine.start_request import EngineTarget, read_start, read_target
from rivetkit_core.host.web import cors
from rivetkit_core.host.web.asgi import AsgiApp, Head, Receive, Scope, Send, read_body, read_head, respond
from rivetkit_core.wire.envoy.messages import Checkpoint, CommandEntry

T = TypeVar("T")

log = logging.getLogger("rivetkit.serverless")

BASE_PATH = "/api/rivet"
MAX_START_BODY = 1024 * 1024
"""Bytes of a start request; the actor's input is most of it."""

_PING_INTERVAL = 1.0
_PING = b"event: ping\ndata:\n\n"
_STOPPING = b"event: stopping\ndata:\n\n"
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies would hold pings back, and the engine would give the actor up
]


class ServerlessApp:
    """A serverless host as an ASGI application; ``fallback`` gets every request that is not ours."""

    def __init__(
        self,
        host: ServerlessHost,
        settings: EngineSettings,
        *,
        clock: Clock,
        door: MetricsDoor | None = None,
        fallback: AsgiApp | None = None,
        max_start_body: int = MAX_START_BODY,
    ) -> None:
        self._host = host
        self._settings = settings
        self._clock = clock
        self._max_start_body = max_start_body
        self._front = FrontApp(host, settings, kind="serverless", door=door, fallback=fallback)
        self._front_alone = FrontApp(host, settings, kind="serverless", door=door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._front(scope, receive, send)
            return
        scope, front = self._below_base(scope)
        head = read_head(scope)
        match head.method, head.path:
            case "POST", "/start":
                await self._start(head, receive, send)
            case "OPTIONS", "/start" | "/metadata" | "/health":
                await respond(send, 204, cors.manager_preflight(head), b"")
            case _:
                await front(scope, receive, send)

    def _below_base(self, scope: Scope) -> tuple[Scope, FrontApp]:
        """The scope as seen from the base path, if it is below that; what is there is all ours."""
        path = read_head(scope).path
        if path != BASE_PATH and not path.startswith(BASE_PATH + "/"):
            return scope, self._front
        root = str(scope.get("root_path", "")).rstrip("/")
        return {**scope, "root_path": root + BASE_PATH}, self._front_alone

    async def _start(self, head: Head, receive: Receive, send: Send) -> None:
        try:
            target = read_target(head, self._settings)
            entry = read_start(await read_body(receive, head, self._max_start_body))
            async with _alongside(_disconnected(receive)) as gone:
                host = await self._begin(target, entry, gone)
                if host is not None:
                    await self._stream(host, entry.checkpoint, gone, send)
        except RivetError as failure:
            log.warning("a request to start an actor was refused: %s", failure)
            await refuse(send, failure, [])

    async def _begin(
        self, target: EngineTarget, entry: CommandEntry, gone: asyncio.Task[None]
    ) -> EngineHost | None:
        """Start the actor, unless the engine goes away first: then it counts this generation as lost."""
        async with _alongside(self._host.begin(target, entry)) as beginning:
            await asyncio.wait([beginning, gone], return_when=asyncio.FIRST_COMPLETED)
            return beginning.result() if beginning.done() else None

    async def _stream(
        self, host: EngineHost, checkpoint: Checkpoint, gone: asyncio.Task[None], send: Send
    ) -> None:
        """Ping until the generation has ended, and say so. The end of the request is not the actor's end."""
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        async with _alongside(host.ended(checkpoint.actor_id, checkpoint.generation)) as ended:
            with contextlib.suppress(OSError):  # servers raise it, or a subclass, once the peer is gone
                while not (ended.done() or gone.done()):
                    await send({"type": "http.response.body", "body": _PING, "more_body": True})
                    with contextlib.suppress(TimeoutError):
                        async with self._clock.timeout(_PING_INTERVAL):
                            await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
                last = _STOPPING if ended.done() else b""
                await send({"type": "http.response.body", "body": last, "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _alongside(work: Coroutine[object, object, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """A task for the duration of a block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
