"""The HTTP face of a program whose actors run on an engine: it serves no actor, it says where they are.

A client pointed at this program learns the engine's address from ``/metadata`` (client-protocol 1.8) and
goes there, so a page and its program move to an engine without a change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, Protocol

from rivetkit_core._version import VERSION
from rivetkit_core.actor.factory import ActorFactory
from rivetkit_core.edge.errors import error_json
from rivetkit_core.edge.metrics import MetricsDoor
from rivetkit_core.errors import RivetError, error, masked, status_of
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.web import cors
from rivetkit_core.host.web.asgi import AsgiApp, Head, Headers, Receive, Scope, Send, read_head, respond
from rivetkit_core.host.web.lifespan import Opened, run_lifespan
from rivetkit_core.host.web.metrics import MetricsApp
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.wire.envoy.codec import SUPPORTED_VERSIONS

_BANNER = b"This is a RivetKit server. Connect to it with a RivetKit client.\n"


class Fronted(Opened, Protocol):
    """A host whose actors an engine placed."""

    @property
    def factories(self) -> Mapping[str, ActorFactory]: ...

    @property
    def metrics(self) -> ProcessMetrics: ...

    @property
    def is_in_touch(self) -> bool:
        """Whether every engine it works for was heard of lately."""
        ...


class FrontApp:
    """One host as an ASGI application; ``fallback`` gets every request that is not ours.

    Args:
        kind: What the engine is told: whether it waits for our connection, or calls us first.
    """

    def __init__(
        self,
        host: Fronted,
        settings: EngineSettings,
        *,
        kind: Literal["normal", "serverless"] = "normal",
        door: MetricsDoor | None = None,
        fallback: AsgiApp | None = None,
    ) -> None:
        self._host = host
        self._settings = settings
        self._kind = kind
        self._fallback = fallback
        self._metrics = MetricsApp(host.metrics, door or MetricsDoor())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case "lifespan":
                await run_lifespan(self._host, receive, send)
            case kind:
                raise RuntimeError(f"unsupported ASGI scope {kind!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_head(scope)
        if self._metrics.takes(head, alone=self._fallback is None):
            await self._metrics.serve(head, send)
            return
        ours = head.path in ("/metadata", "/health")
        if not ours and self._fallback is not None:
            await self._fallback(scope, receive, send)
            return
        if head.method == "OPTIONS":
            await respond(send, 200, cors.manager_preflight(head), b"")
            return
        headers = cors.manager_headers(head)
        try:
            content_type, body = self._answer(head)
        except RivetError as failure:
            await refuse(send, failure, headers)
        else:
            await respond(send, 200, [*headers, ("content-type", content_type)], body)

    def _answer(self, head: Head) -> tuple[str, bytes]:
        match head.method, head.path:
            case "GET" | "HEAD", "/":
                return "text/plain; charset=utf-8", _BANNER
            case "GET" | "HEAD", "/health":
                if not self._host.is_in_touch:
                    raise error("engine.ping_stale")
                return "application/json", _dump({"runtime": "rivetkit", "status": "ok", "version": VERSION})
            case "GET" | "HEAD", "/metadata":
                return "application/json", _dump(self._metadata())
            case _:
                raise error("api.not_found")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._fallback is not None:
            await self._fallback(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1011, "reason": "api.not_found"})

    def _metadata(self) -> dict[str, object]:
        public = self._settings.public
        shown: dict[str, object] = {
            "runtime": "rivetkit",
            "version": VERSION,
            "envoyProtocolVersion": SUPPORTED_VERSIONS[0],
            "envoy": {"kind": {self._kind: {}}, "version": self._settings.version},
            "actorNames": {name: {"metadata": {}} for name in self._host.factories},
            "clientEndpoint": public.base,
            "clientNamespace": public.namespace or self._settings.namespace,
        }
        if public.token is not None:
            shown["clientToken"] = public.token
        return shown


async def refuse(send: Send, failure: RivetError, headers: Headers) -> None:
    """Answer with an error, as far as strangers may see it."""
    seen = masked(failure)
    status = status_of(seen.group, seen.code)
    await respond(send, status, [*headers, ("content-type", "application/json")], error_json(seen))


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
