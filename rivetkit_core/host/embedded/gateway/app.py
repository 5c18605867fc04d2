"""The ASGI application: routes requests to the manager API and to actors (client-protocol 1 and 9).

Errors from here are JSON whatever the caller's encoding; errors of an actor are in the caller's. Every
answer below ``/gateway`` carries a ray id, with which a client can be found in the log.
"""

from __future__ import annotations

import json
import logging

from rivetkit_core._version import VERSION
from rivetkit_core.edge.errors import error_json
from rivetkit_core.edge.http import HttpRequest, actor_headers, serve_http
from rivetkit_core.edge.metrics import MetricsDoor
from rivetkit_core.edge.raw import RawHead, is_raw
from rivetkit_core.entropy import new_uuid
from rivetkit_core.errors import RivetError, masked, status_of
from rivetkit_core.host.embedded.gateway.auth import TokenGuard, header_tokens
from rivetkit_core.host.embedded.gateway.manager import Manager
from rivetkit_core.host.embedded.gateway.requests import serve_streamed
from rivetkit_core.host.embedded.gateway.sockets import SocketGateway
from rivetkit_core.host.embedded.gateway.targets import (
    header_target,
    is_gateway_path,
    is_ours,
    parse_target,
    to_target,
)
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.web import cors
from rivetkit_core.host.web.asgi import (
    AsgiApp,
    Head,
    Headers,
    Receive,
    Scope,
    Send,
    read_body,
    read_head,
    respond,
)
from rivetkit_core.host.web.lifespan import run_lifespan
from rivetkit_core.host.web.metrics import MetricsApp
from rivetkit_core.wire.gateway_url import DirectTarget, QueryTarget

log = logging.getLogger("rivetkit.gateway")

_BANNER = b"This is a RivetKit server. Connect to it with a RivetKit client.\n"


class GatewayApp:
    """One host as an ASGI application. Its lifespan opens and closes the host.

    ``fallback`` gets every request that is not ours, pages for instance; ``/metrics`` is ours if ``door``
    can be opened.
    """

    def __init__(
        self,
        host: EmbeddedHost,
        *,
        token: str | None = None,
        door: MetricsDoor | None = None,
        fallback: AsgiApp | None = None,
    ) -> None:
        self._host = host
        self._fallback = fallback
        self._metrics = MetricsApp(host.metrics, door or MetricsDoor())
        self._guard = TokenGuard(token)
        self._manager = Manager(host)
        self._sockets = SocketGateway(host, self._guard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http" | "websocket":
                await self._route(scope, receive, send)
            case "lifespan":
                await run_lifespan(self._host, receive, send)
            case kind:
                raise RuntimeError(f"unsupported ASGI scope {kind!r}")

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_head(scope)
        if scope["type"] == "http" and self._metrics.takes(head, alone=self._fallback is None):
            await self._metrics.serve(head, send)
        elif self._fallback is not None and not is_ours(head):
            await self._fallback(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._sockets.serve(head, receive, send)
        elif is_gateway_path(head.path) or head.text("x-rivet-target") is not None:
            await self._gateway(head, receive, send)
        else:
            await self._control(head, receive, send)

    # --- actors ---------------------------------------------------------------------------------

    async def _gateway(self, head: Head, receive: Receive, send: Send) -> None:
        if head.method == "OPTIONS":
            await respond(send, 204, cors.gateway_preflight(head), b"")
            return
        ray = new_uuid(self._host.entropy)
        headers: Headers = [*cors.gateway_headers(head), ("x-rivet-ray-id", ray)]
        try:
            target = self._target(head)
            if is_raw(target.path):
                actor = await self._host.reach(to_target(target, self._host.namespace))
                raw = RawHead(head.method, target.path, target.query, head.raw_headers)
                await serve_streamed(actor, raw, headers, receive, send)
                return
            # The body first: an actor that was reached may be gone again when a slow upload is done.
            body = await read_body(receive, head)
            actor = await self._host.reach(to_target(target, self._host.namespace))
        except RivetError as failure:
            await self._gateway_error(failure, ray, headers, send)
            return
        response = await serve_http(actor, HttpRequest(head.method, target.path, head.headers, body))
        headers.append(("content-type", response.content_type))
        headers += [
            (name, value.encode().decode("latin-1"))
            for name, value in actor_headers(actor.identity.specifier)
        ]
        await respond(send, response.status, [*headers, *response.headers], response.body)

    def _target(self, head: Head) -> DirectTarget | QueryTarget:
        parsed = parse_target(head.path, head.query) if is_gateway_path(head.path) else None
        if parsed is None:
            parsed = header_target(head)
        self._guard.check(*header_tokens(head), parsed.token)
        return parsed

    async def _gateway_error(self, failure: RivetError, ray: str, headers: Headers, send: Send) -> None:
        seen = masked(failure)
        status = status_of(seen.group, seen.code)
        if status >= 500:
            log.warning("gateway answered %s.%s", seen.group, seen.code, extra={"ray_id": ray})
        headers = [
            *headers,
            ("content-type", "application/json"),
            ("x-rivet-error", f"{seen.group}.{seen.code}"),
        ]
        await respond(send, status, headers, error_json(seen))

    # --- control --------------------------------------------------------------------------------

    async def _control(self, head: Head, receive: Receive, send: Send) -> None:
        if head.method == "OPTIONS":
            await respond(send, 200, cors.manager_preflight(head), b"")
            return
        headers = cors.manager_headers(head)
        try:
            status, content_type, body = 200, "application/json", await self._control_answer(head, receive)
            if head.path == "/":
                content_type = "text/plain; charset=utf-8"
        except RivetError as failure:
            seen = masked(failure)
            status, content_type, body = (
                status_of(seen.group, seen.code),
                "application/json",
                error_json(seen),
            )
        await respond(send, status, [*headers, ("content-type", content_type)], body)

    async def _control_answer(self, head: Head, receive: Receive) -> bytes:
        match head.method, head.path:
            case "GET" | "HEAD", "/":
                return _BANNER
            case "GET" | "HEAD", "/health":
                return _dump({"runtime": "rivetkit", "status": "ok", "version": VERSION})
            case "GET" | "HEAD", "/metadata":
                return _dump(self._metadata())
            case _:
                self._guard.check(*header_tokens(head))
                return _dump(await self._manager.handle(head, await read_body(receive, head)))

    def _metadata(self) -> dict[str, object]:
        names = self._host.registry.factories
        return {
            "runtime": "rivetkit",
            "version": VERSION,
            "envoyProtocolVersion": 8,
            "envoy": {"kind": {"normal": {}}, "version": 1},
            "actorNames": {name: {"metadata": {}} for name in names},
        }


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
