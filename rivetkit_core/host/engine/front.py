"""The HTTP face of a program whose actors run on an engine: it serves no actor, it says where they are.

A client pointed at this program learns the engine's address from ``/metadata`` (client-protocol 1.8) and
goes there, so a page and its program move to an engine without a change.
"""

from __future__ import annotations

import json

from rivetkit_core._version import VERSION
from rivetkit_core.edge.errors import error_json
from rivetkit_core.errors import RivetError, error, masked, status_of
from rivetkit_core.host.engine.host import EngineHost
from rivetkit_core.host.engine.settings import EngineSettings
from rivetkit_core.host.web import cors
from rivetkit_core.host.web.asgi import AsgiApp, Head, Receive, Scope, Send, read_head, respond
from rivetkit_core.host.web.lifespan import run_lifespan
from rivetkit_core.wire.envoy.codec import SUPPORTED_VERSIONS

_BANNER = b"This is a RivetKit server. Connect to it with a RivetKit client.\n"
_PING_STALE_AFTER = 20.0


class FrontApp:
    """One engine host as an ASGI application; ``fallback`` gets every request that is not ours."""

    def __init__(
        self, host: EngineHost, settings: EngineSettings, *, fallback: AsgiApp | None = None
    ) -> None:
        self._host = host
        self._settings = settings
        self._fallback = fallback

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
            status = 200
        except RivetError as failure:
            seen = masked(failure)
            status = status_of(seen.group, seen.code)
            content_type, body = "application/json", error_json(seen)
        await respond(send, status, [*headers, ("content-type", content_type)], body)

    def _answer(self, head: Head) -> tuple[str, bytes]:
        match head.method, head.path:
            case "GET" | "HEAD", "/":
                return "text/plain; charset=utf-8", _BANNER
            case "GET" | "HEAD", "/health":
                self._require_contact()
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

    def _require_contact(self) -> None:
        last = self._host.envoy.last_contact
        if last is None or self._host.clock.monotonic() - last > _PING_STALE_AFTER:
            raise error("engine.ping_stale")

    def _metadata(self) -> dict[str, object]:
        public = self._settings.public
        shown: dict[str, object] = {
            "runtime": "rivetkit",
            "version": VERSION,
            "envoyProtocolVersion": SUPPORTED_VERSIONS[0],
            "envoy": {"kind": {"normal": {}}, "version": self._settings.version},
            "actorNames": {name: {"metadata": {}} for name in self._host.factories},
            "clientEndpoint": public.base,
            "clientNamespace": public.namespace or self._settings.namespace,
        }
        if public.token is not None:
            shown["clientToken"] = public.token
        return shown


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
