"""``ActorAccess`` over HTTP and websockets: what stands between a client and a server elsewhere.

The first request asks the server's metadata where clients should go (client-protocol 1.8); all others wait
for it. Actors with a key are addressed by the query form of gateway URLs, without a round trip; where that
form cannot carry the key or the input, their id is resolved first.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

import httpx

from rivetkit.client._endpoint import Gateway, Settings
from rivetkit.client._http import HttpSender, answered_failure
from rivetkit.client._link import open_link
from rivetkit.client._pending import twin
from rivetkit.client._raw_network import NetworkAnswer, open_raw_socket
from rivetkit_core._version import VERSION
from rivetkit_core.asgi import RawHeaders
from rivetkit_core.clock import Clock
from rivetkit_core.entropy import Entropy
from rivetkit_core.errors import ActorNotFound, RivetError, error
from rivetkit_core.host.port import (
    ActorKey,
    ById,
    ByKey,
    Link,
    RawAnswer,
    RawRequest,
    RawSocket,
    Target,
)
from rivetkit_core.wire import actor_key, gateway_url
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.json_form import cbor_to_json, loads
from rivetkit_core.wire.messages import Encoding, QueueSendRequest, QueueSendResponse

Json = dict[str, object]

_CRASH_POLICY = "sleep"


class HttpAccess:
    """Reaches actors through the gateway and manager API of one server."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        entropy: Entropy,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._http_transport = http_transport
        self._sender: HttpSender | None = None
        self._gateway: Gateway | None = None
        self._lookup: asyncio.Task[Gateway | RivetError] | None = None
        self._closed = False

    async def resolve(self, target: Target) -> str:
        if isinstance(target, ById):
            return target.actor_id
        gateway = await self._require_gateway()
        return await self._resolve_key(gateway, target)

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        gateway = await self._require_gateway()
        body = _optional(datacenter=region) | {
            "name": name,
            "runner_name_selector": self._settings.pool,
            "key": actor_key.serialize(key),
            **_optional(input=_base64(input)),
            "crash_policy": _CRASH_POLICY,
        }
        try:
            return _actor_id(await self._manage(gateway, "POST", body=body))
        except RivetError as failure:
            if (failure.group, failure.code) == ("actor", "destroyed_during_creation"):
                await self._refuse_key_in_use(gateway, ByKey(name, key))
            raise

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        codec = Codec(self._settings.encoding)
        path = f"/action/{gateway_url.encode_component(action)}"
        answer = await self._post(target, path, codec.encode_action_request(args), params)
        return codec.decode_action_response(answer)

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        codec = Codec(self._settings.encoding)
        path = f"/queue/{gateway_url.encode_component(queue)}"
        answer = await self._post(target, path, codec.encode_queue_request(request), params)
        return codec.decode_queue_response(answer)

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        gateway = await self._require_gateway()
        return await open_link(
            await self._actor_url(gateway, target, "/connect"),
            Codec(self._settings.encoding),
            params_json=None if params is None else cbor_to_json(params),
            headers=self._settings.headers,
            shown=gateway.base,
        )

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        gateway = await self._require_gateway()
        url = await self._actor_url(gateway, target, "/request" + request.target)
        own = self._raw_headers(gateway, params)
        given = [(name, value) for name, value in request.headers if name.lower() != b"host"]
        answer = await self._require_sender().send(
            request.method, url, headers=[*own, *given], content=request.body or None, stream=True
        )
        return await NetworkAnswer.of(answer, gateway.base)

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        gateway = await self._require_gateway()
        return await open_raw_socket(
            await self._actor_url(gateway, target, "/websocket" + path),
            protocols,
            params_json=None if params is None else cbor_to_json(params),
            headers=self._settings.headers,
            shown=gateway.base,
        )

    async def gateway_url(self, target: Target) -> str:
        """The URL of an actor, without a path; it contains the token, if there is one."""
        return await self._actor_url(await self._require_gateway(), target, "")

    async def aclose(self) -> None:
        self._closed = True
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.wait([self._lookup])
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.aclose()

    def _require_sender(self) -> HttpSender:
        if self._closed:
            raise error("client.disposed")
        if self._sender is None:
            self._sender = HttpSender(
                clock=self._clock,
                entropy=self._entropy,
                transport=self._http_transport,
            )
        return self._sender

    async def _require_gateway(self) -> Gateway:
        """Look the metadata up once; everybody who asks meanwhile shares the answer, or the failure."""
        sender = self._require_sender()
        if self._gateway is not None:
            return self._gateway
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up(sender), name="rivetkit metadata")
        lookup = self._lookup
        await asyncio.wait([lookup])
        if lookup.cancelled():
            raise error("client.disposed")
        found = lookup.result()
        if isinstance(found, RivetError):
            raise twin(found)
        return found

    async def _look_up(self, sender: HttpSender) -> Gateway | RivetError:
        gateway = self._settings.gateway
        url = gateway_url.manager_url(gateway.base, "/metadata", [("namespace", gateway.namespace)])
        try:
            answer = await sender.send("GET", url, headers=self._manager_headers(gateway))
            self._check(gateway, answer)
            self._gateway = gateway.redirected(_json_object(answer.content, gateway.base))
        except RivetError as failure:
            return failure
        finally:
            self._lookup = None
        return self._gateway

    async def _post(self, target: Target, path: str, content: bytes, params: bytes | None) -> bytes:
        gateway = await self._require_gateway()
        url = await self._actor_url(gateway, target, path)
        headers = self._actor_headers(gateway, params)
        answer = await self._require_sender().send("POST", url, headers=headers, content=content)
        self._check(gateway, answer)
        return answer.content

    async def _actor_url(self, gateway: Gateway, target: Target, path: str) -> str:
        if isinstance(target, ById):
            return gateway_url.direct_url(gateway.base, target.actor_id, path, gateway.token)
        if not _fits_query(target):
            actor_id = await self._resolve_key(gateway, target)
            return gateway_url.direct_url(gateway.base, actor_id, path, gateway.token)
        return gateway_url.query_url(
            gateway.base,
            target.name,
            path,
            namespace=gateway.namespace,
            method="getOrCreate" if target.create else "get",
            key=target.key,
            pool=self._settings.pool,
            input=target.input,
            region=target.region,
            crash_policy=_CRASH_POLICY,
            token=gateway.token,
        )

    async def _resolve_key(self, gateway: Gateway, target: ByKey) -> str:
        key = actor_key.serialize(target.key)
        if not target.create:
            found = await self._manage(gateway, "GET", query=[("name", target.name), ("key", key)])
            return _first_actor_id(found)
        body = _optional(datacenter=target.region) | {
            "name": target.name,
            "key": key,
            "runner_name_selector": self._settings.pool,
            **_optional(input=_base64(target.input)),
            "crash_policy": _CRASH_POLICY,
        }
        return _actor_id(await self._manage(gateway, "PUT", body=body))

    async def _refuse_key_in_use(self, gateway: Gateway, target: ByKey) -> None:
        """An engine makes an actor before it looks whether the key is free, and may say only that it ended.

        Raises:
            RivetError: ``actor.duplicate_key``.
        """
        with suppress(ActorNotFound):
            actor_id = await self._resolve_key(gateway, target)
            key = actor_key.serialize(target.key)
            raise error("actor.duplicate_key", existing_actor_id=actor_id, key=key)

    async def _manage(
        self,
        gateway: Gateway,
        method: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Json | None = None,
    ) -> Json:
        url = gateway_url.manager_url(
            gateway.base, "/actors", [*(query or []), ("namespace", gateway.namespace)]
        )
        headers = self._manager_headers(gateway)
        content: bytes | None = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode()
        answer = await self._require_sender().send(method, url, headers=headers, content=content)
        self._check(gateway, answer)
        return _json_object(answer.content, gateway.base)

    def _check(self, gateway: Gateway, answer: httpx.Response) -> None:
        if not answer.is_success:
            content_type = answer.headers.get("content-type", "")
            raise answered_failure(
                gateway.base, answer.status_code, content_type, answer.content, self._settings.encoding
            )

    def _manager_headers(self, gateway: Gateway) -> dict[str, str]:
        headers = self._common_headers()
        if gateway.token is not None:
            headers["authorization"] = f"Bearer {gateway.token}"
        return headers

    def _actor_headers(self, gateway: Gateway, params: bytes | None) -> dict[str, str]:
        encoding = self._settings.encoding
        headers = self._common_headers()
        headers["x-rivet-encoding"] = encoding.value
        headers["content-type"] = (
            "application/json" if encoding is Encoding.JSON else "application/octet-stream"
        )
        if gateway.token is not None:
            headers["x-rivet-token"] = gateway.token
        if params is not None:
            headers["x-rivet-conn-params"] = _ascii_json(params)
        return headers

    def _raw_headers(self, gateway: Gateway, params: bytes | None) -> RawHeaders:
        headers = self._common_headers()
        if gateway.token is not None:
            headers["x-rivet-token"] = gateway.token
        if params is not None:
            headers["x-rivet-conn-params"] = _ascii_json(params)
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def _common_headers(self) -> dict[str, str]:
        return {"user-agent": f"RivetKit/{VERSION}", **self._settings.headers}


def _fits_query(target: ByKey) -> bool:
    size = 0 if target.input is None else len(target.input)
    return actor_key.fits_query(target.key) and size <= gateway_url.MAX_QUERY_INPUT


def _ascii_json(params: bytes) -> str:
    """Header values are read as UTF-8 or Latin-1, depending on the server; ASCII is the same in both."""
    return json.dumps(loads(cbor_to_json(params)), separators=(",", ":"))


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _optional(**fields: str | None) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _json_object(body: bytes, base: str) -> Json:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise error("client.request_failed", reason=f"{base} did not answer with JSON; is it a Rivet server?")
    return cast("Json", parsed)


def _actor_id(answer: Mapping[str, object]) -> str:
    actor = answer.get("actor")
    actor_id = cast("Json", actor).get("actor_id") if isinstance(actor, dict) else None
    if not isinstance(actor_id, str):
        raise error("client.request_failed", reason="the server answered without an actor id")
    return actor_id


def _first_actor_id(answer: Mapping[str, object]) -> str:
    actors = answer.get("actors")
    if not isinstance(actors, list) or not actors:
        raise error("actor.not_found")
    return _actor_id({"actor": cast("list[object]", actors)[0]})
