"""Actors over the network: HTTP calls and websockets to a gateway (client-protocol 1, 3, 4).

A key is sent in the URL, as the TypeScript client does. Where a URL cannot carry it (a comma, a lone
empty part, a long input), the actor is resolved through the manager API first and called by id.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from rivetkit.client._link import WebSocketLink
from rivetkit.client._retry import backoff
from rivetkit_core._version import VERSION
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ActorSpecifier, ProtocolError, RivetError, error, rebuild
from rivetkit_core.host.port import ActorKey, ById, ByKey, Link, Target
from rivetkit_core.wire import actor_key, cbor, subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.gateway_url import (
    MAX_QUERY_INPUT,
    Endpoint,
    direct_url,
    encode_component,
    manager_url,
    query_url,
)
from rivetkit_core.wire.json_form import cbor_to_json
from rivetkit_core.wire.messages import Encoding, HttpError

_METADATA_ATTEMPTS = 3
_MAX_MESSAGE = 32 * 1024 * 1024
_OPEN_TIMEOUT = 40.0  # a gateway holds the handshake for up to 30 s while an actor starts
_GONE_SILENTLY = "Server disconnected without sending a response"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Where and how to call."""

    endpoint: Endpoint
    namespace: str = "default"
    token: str | None = None
    pool: str = "default"
    encoding: Encoding = Encoding.BARE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata_lookup: bool = True


class HttpAccess:
    """Implements ``ActorAccess`` with httpx and websockets. Sockets are opened when needed."""

    def __init__(
        self,
        options: HttpOptions,
        *,
        clock: Clock,
        entropy: Entropy,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._entropy = entropy
        self._base = options.endpoint.base
        self._namespace = options.namespace
        self._token = options.token
        self._looked_up = not options.metadata_lookup
        self._lookup_lock = asyncio.Lock()
        headers = {"user-agent": f"rivetkit-python/{VERSION}", **options.headers}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        self._http = httpx.AsyncClient(headers=headers, timeout=None, limits=limits, transport=transport)  # noqa: S113 - callers bound their calls

    async def aclose(self) -> None:
        await self._http.aclose()

    async def gateway_url(self, target: Target, path: str = "") -> str:
        """URL of an actor's gateway, for clients and tools that speak HTTP themselves."""
        await self._look_up()
        return await self._url(target, path)

    async def resolve(self, target: Target) -> str:
        await self._look_up()
        match target:
            case ById(actor_id):
                return actor_id
            case ByKey(create=True):
                body = self._placement(target.name, target.key, target.input, target.region)
                answer = await self._manage("PUT", "/actors", {}, body)
                return _actor_id(answer.get("actor"))
            case ByKey(name, key):
                query = {"name": name, "key": actor_key.serialize(key)}
                answer = await self._manage("GET", "/actors", query, None)
                found = answer.get("actors")
                if not isinstance(found, list) or not found:
                    raise error("actor.not_found")
                return _actor_id(cast("list[object]", found)[0])

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        await self._look_up()
        answer = await self._manage("POST", "/actors", {}, self._placement(name, key, input, region))
        return _actor_id(answer.get("actor"))

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        await self._look_up()
        codec = Codec(self._options.encoding)
        headers = {"x-rivet-encoding": codec.encoding.value, "content-type": _content_type(codec.encoding)}
        if self._token is not None:
            headers["x-rivet-token"] = self._token
        if params is not None:
            headers["x-rivet-conn-params"] = _ascii_json(params)
        url = await self._url(target, f"/action/{encode_component(action)}")
        response = await self._send("POST", url, headers, codec.encode_action_request(args))
        if response.status_code != 200:
            raise _http_failure(response, codec)
        try:
            return codec.decode_action_response(response.content)
        except ProtocolError as broken:
            raise error(
                "client.request_failed", reason=f"the answer is malformed: {broken.reason}"
            ) from broken

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        await self._look_up()
        codec = Codec(self._options.encoding)
        url = await self._url(target, "/connect")
        offered = subprotocols.build(codec.encoding.value, None if params is None else _ascii_json(params))
        try:
            socket = await connect(
                url.replace("http", "ws", 1),
                subprotocols=[Subprotocol(offer) for offer in offered],
                additional_headers=dict(self._options.headers),
                user_agent_header=f"rivetkit-python/{VERSION}",
                compression=None,
                max_size=_MAX_MESSAGE,
                open_timeout=_OPEN_TIMEOUT,
            )
        except (OSError, InvalidHandshake, InvalidURI, EOFError) as failure:
            raise self._unreachable(failure) from failure
        return WebSocketLink(socket, codec)

    async def _url(self, target: Target, path: str) -> str:
        if isinstance(target, ByKey) and not self._fits_url(target):
            # By id from here on; an actor that was destroyed meanwhile is looked for again.
            target = ById(await self.resolve(target))
        if isinstance(target, ById):
            return direct_url(self._base, target.actor_id, path, self._token)
        return query_url(
            self._base,
            target.name,
            path,
            namespace=self._namespace,
            method="getOrCreate" if target.create else "get",
            key=target.key,
            pool=self._options.pool if target.create else None,
            input=target.input,
            region=target.region,
            crash_policy="sleep" if target.create else None,
            token=self._token,
        )

    def _fits_url(self, target: ByKey) -> bool:
        fits_input = target.input is None or len(target.input) <= MAX_QUERY_INPUT
        return fits_input and actor_key.fits_query(target.key)

    def _placement(
        self, name: str, key: ActorKey, input: bytes | None, region: str | None
    ) -> dict[str, object]:
        body: dict[str, object] = {} if region is None else {"datacenter": region}
        body |= {"name": name, "key": actor_key.serialize(key), "runner_name_selector": self._options.pool}
        if input is not None:
            body["input"] = base64.b64encode(input).decode()
        return body | {"crash_policy": "sleep"}

    async def _manage(
        self, method: str, path: str, query: Mapping[str, str], body: dict[str, object] | None
    ) -> dict[str, object]:
        headers = {} if self._token is None else {"authorization": f"Bearer {self._token}"}
        content: bytes | None = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body).encode()
        url = manager_url(self._base, path, [*query.items(), ("namespace", self._namespace)])
        response = await self._send(method, url, headers, content)
        if response.status_code != 200:
            raise _http_failure(response, Codec(Encoding.JSON))
        return _json_object(response)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        try:
            return await self._http.request(method, url, headers=dict(headers), content=content)
        except httpx.RemoteProtocolError as failure:
            if _GONE_SILENTLY not in str(failure):
                raise self._unreachable(failure) from failure
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure
        # A pooled connection that the server had closed meanwhile; stock gateways do that after errors
        # without saying so. One more attempt on a fresh one (client-protocol 1.4).
        try:
            return await self._http.request(method, url, headers=dict(headers), content=content)
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure

    def _unreachable(self, failure: Exception) -> RivetError:
        text = str(failure) or type(failure).__name__
        refused = isinstance(failure, httpx.ConnectError | ConnectionRefusedError)
        hint = ": is the server running?" if refused else ""
        return error("client.request_failed", reason=f"{self._base} cannot be reached ({text}){hint}")

    async def _look_up(self) -> None:
        """Ask the endpoint once whether another one should be used (client-protocol 1.8)."""
        if self._looked_up:
            return
        async with self._lookup_lock:
            if self._looked_up:
                return
            self._redirect(await self._metadata())
            self._looked_up = True

    async def _metadata(self) -> dict[str, object]:
        headers = {} if self._token is None else {"authorization": f"Bearer {self._token}"}
        url = manager_url(self._base, "/metadata", [("namespace", self._namespace)])
        for attempt in range(_METADATA_ATTEMPTS):
            try:
                response = await self._send("GET", url, headers, None)
            except RivetError:
                if attempt + 1 == _METADATA_ATTEMPTS:
                    raise
            else:
                if response.status_code == 200:
                    return _json_object(response)
                if response.status_code < 500 or attempt + 1 == _METADATA_ATTEMPTS:
                    raise _http_failure(response, Codec(Encoding.JSON))
            await self._clock.sleep(backoff(attempt, self._entropy, first=0.1, longest=1.0))
        raise error("client.request_failed", reason="no metadata")

    def _redirect(self, metadata: dict[str, object]) -> None:
        endpoint = metadata.get("clientEndpoint")
        if not isinstance(endpoint, str):
            return
        self._base = endpoint.rstrip("/")
        namespace, token = metadata.get("clientNamespace"), metadata.get("clientToken")
        if isinstance(namespace, str):
            self._namespace = namespace
        if isinstance(token, str):
            self._token = token


def _content_type(encoding: Encoding) -> str:
    return "application/json" if encoding is Encoding.JSON else "application/octet-stream"


def _ascii_json(params: bytes) -> str:
    """JSON in ASCII, for headers: stock servers lose anything else (client-protocol 3.1)."""
    return json.dumps(json.loads(cbor_to_json(params)), separators=(",", ":"))


def _json_object(response: httpx.Response) -> dict[str, object]:
    try:
        parsed: object = response.json()
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise error("client.request_failed", reason="the answer is not a JSON object")
    return cast("dict[str, object]", parsed)


def _actor_id(actor: object) -> str:
    actor_id = cast("dict[str, object]", actor).get("actor_id") if isinstance(actor, dict) else None
    if not isinstance(actor_id, str):
        raise error("client.request_failed", reason="the answer names no actor")
    return actor_id


def _http_failure(response: httpx.Response, codec: Codec) -> RivetError:
    """The error a response carries: JSON if it says so, else in the caller's encoding."""
    if "application/json" in response.headers.get("content-type", ""):
        codec = Codec(Encoding.JSON)
    try:
        return failure_of(codec.decode_http_error(response.content))
    except ProtocolError:
        reason = f"the server answered with status {response.status_code}"
        return error("client.request_failed", reason=reason)


def failure_of(received: HttpError) -> RivetError:
    """A received error as an exception."""
    actor: ActorSpecifier | None = received.actor
    metadata = None if received.metadata is None else cbor.decode(received.metadata)
    return rebuild(received.group, received.code, received.message, metadata, actor)
