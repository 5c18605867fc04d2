"""A client that speaks the protocol and hides nothing: raw answers, frames and close codes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote, urlencode

import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rivetkit_core.wire import cbor
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    ErrorMessage,
    Event,
    HttpError,
    Init,
    SubscriptionRequest,
    ToClient,
)


@dataclass(frozen=True)
class Target:
    """An actor as a URL names it: the segment behind ``/gateway/`` and, for a key, what the query says."""

    segment: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])


def by_id(actor_id: str) -> Target:
    return Target(quote(actor_id, safe=""))


def by_key(name: str, key: str | None = None, *, create: bool = True, **more: str) -> Target:
    """``key`` is the comma-joined form; ``more`` are further ``rvt-`` parameters, with underscores."""
    params = {"rvt-method": "getOrCreate" if create else "get"}
    if create:
        params["rvt-runner"] = "default"
    if key is not None:
        params["rvt-key"] = key
    params |= {f"rvt-{option.replace('_', '-')}": value for option, value in more.items()}
    return Target(quote(name, safe=""), params)


class SocketEnded(Exception):
    """The server closed the websocket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class RawSocket:
    """One websocket; messages go through the codec of its encoding."""

    def __init__(self, socket: ClientConnection, codec: Codec) -> None:
        self.socket = socket
        self.codec = codec

    async def receive_frame(self) -> str | bytes:
        try:
            return await self.socket.recv()
        except websockets.ConnectionClosed as ended:
            assert ended.rcvd is not None, "the connection broke"
            raise SocketEnded(ended.rcvd.code, ended.rcvd.reason) from None

    async def receive(self) -> ToClient:
        frame = await self.receive_frame()
        return self.codec.decode_to_client(frame.encode() if isinstance(frame, str) else frame)

    async def init(self) -> Init:
        message = await self.receive()
        assert isinstance(message, Init), message
        return message

    async def send(self, message: ActionRequest | SubscriptionRequest) -> None:
        data = self.codec.encode_to_server(message)
        await self.socket.send(data.decode() if self.codec.encoding is Encoding.JSON else data)

    async def request(self, id: int, name: str, *args: object) -> None:
        await self.send(ActionRequest(id, name, cbor.encode(list(args))))

    async def subscribe(self, event: str, *, on: bool = True) -> None:
        await self.send(SubscriptionRequest(event, on))

    async def call(self, id: int, name: str, *args: object) -> object:
        """Send and take the next message as the answer."""
        await self.request(id, name, *args)
        return await self.answer(id)

    async def answer(self, id: int) -> object:
        message = await self.receive()
        assert isinstance(message, ActionResponse), message
        assert message.id == id
        return cbor.decode(message.output)

    async def failure(self, id: int | None) -> ErrorMessage:
        message = await self.receive()
        assert isinstance(message, ErrorMessage), message
        assert message.action_id == id
        return message

    async def event(self) -> tuple[str, object]:
        message = await self.receive()
        assert isinstance(message, Event), message
        return message.name, cbor.decode(message.args)

    async def ended(self) -> tuple[int, str]:
        """Code and reason of the close frame, which must be what comes next."""
        try:
            frame = await self.receive_frame()
        except SocketEnded as end:
            return end.code, end.reason
        raise AssertionError(f"still open: {frame!r}")


class RawClient:
    """HTTP and websockets against one base URL, in one namespace.

    Args:
        misses: Whether a call that makes its actor may miss it for a moment, when the last one of its key was
            just destroyed. The engine looks the key up and starts the actor in two steps.
    """

    def __init__(
        self, base_url: str, http: httpx.AsyncClient, namespace: str = "default", *, misses: bool = False
    ) -> None:
        self.base_url = base_url
        self.http = http
        self.namespace = namespace
        self._misses = misses

    @property
    def ws_url(self) -> str:
        return "ws" + self.base_url.removeprefix("http")

    @property
    def scope(self) -> dict[str, str]:
        """The query parameters of every manager request."""
        return {"namespace": self.namespace}

    def url(self, target: Target, path: str) -> str:
        """The URL of an actor's path, without the server."""
        params = {"rvt-namespace": self.namespace, **target.params} if target.params else {}
        return f"/gateway/{target.segment}{path}" + (f"?{urlencode(params)}" if params else "")

    def here(self, path: str) -> str:
        """A path of which ``NAMESPACE`` is the part to fill in."""
        return path.replace("NAMESPACE", self.namespace)

    # --- actors ---------------------------------------------------------------------------------

    async def post(
        self,
        target: Target,
        name: str,
        *args: object,
        encoding: Encoding = Encoding.JSON,
        version: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call an action; the answer as it came."""
        body = Codec(encoding, version).encode_action_request(cbor.encode(list(args)))
        sent = {"x-rivet-encoding": encoding.value, **(headers or {})}
        return await self.http.post(
            self.url(target, f"/action/{quote(name, safe='')}"), content=body, headers=sent
        )

    async def call(
        self,
        target: Target,
        name: str,
        *args: object,
        encoding: Encoding = Encoding.JSON,
        version: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        """Call an action; its output. Like every client it asks again while an actor is between two lives."""
        answer = await self.post(target, name, *args, encoding=encoding, version=version, headers=headers)
        missing = self._misses and target.params.get("rvt-method") == "getOrCreate"
        while answer.status_code != 200 and between_lives(answer, missing=missing):
            answer = await self.post(target, name, *args, encoding=encoding, version=version, headers=headers)
        assert answer.status_code == 200, answer.text
        return cbor.decode(Codec(encoding, version).decode_action_response(answer.content))

    async def id_of(self, target: Target) -> str:
        identity = cast("list[object]", await self.call(target, "whoami"))
        return cast("str", identity[0])

    @contextlib.asynccontextmanager
    async def connect(
        self,
        target: Target | str,
        *tokens: str,
        encoding: Encoding = Encoding.JSON,
        version: int = 4,
        params: object = None,
        marker: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[RawSocket]:
        """Open ``/connect`` of a target, or any path given as text."""
        path = target if isinstance(target, str) else self.url(target, "/connect")
        offered = ["rivet"] if marker else []
        offered += [f"rivet_encoding.{encoding}", *tokens]
        if params is not None:
            offered.append("rivet_conn_params." + quote(json.dumps(params), safe=""))
        async with connect(
            self.ws_url + path,
            subprotocols=[Subprotocol(token) for token in offered],
            additional_headers=headers,
            compression="deflate",
            proxy=None,
        ) as socket:
            yield RawSocket(socket, Codec(encoding, version))

    # --- manager --------------------------------------------------------------------------------

    async def manage(
        self, method: str, path: str, body: object = None, *, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        if params is None:
            params = self.scope
        return await self.http.request(method, path, params=params, content=content, headers=headers)

    async def settled(self, method: str, path: str, body: object) -> httpx.Response:
        """``manage``, again while the answer is that an actor ended before it was there.

        The engine makes an actor before it looks whether its key is free.
        """
        answer = await self.manage(method, path, body)
        while answer.status_code != 200 and between_lives(answer):
            answer = await self.manage(method, path, body)
        return answer

    async def gone(self, name: str) -> None:
        """Wait until no actor of a name is left."""
        while await self.actors(name=name):
            pass

    async def actors(self, **params: str) -> list[dict[str, object]]:
        """The actors of one page of ``GET /actors``."""
        answer = await self.manage("GET", "/actors", params={**self.scope, **params})
        assert answer.status_code == 200, answer.text
        return cast("list[dict[str, object]]", answer.json()["actors"])


def error_of(answer: httpx.Response) -> str:
    """``group.code`` of a JSON error body."""
    assert answer.headers["content-type"] == "application/json", answer.headers
    body = cast("dict[str, object]", answer.json())
    return f"{body['group']}.{body['code']}"


def between_lives(answer: httpx.Response, *, missing: bool = False) -> bool:
    """Whether a call failed only because its actor is between two lives, and did not run."""
    if answer.headers["content-type"] != "application/json":
        return False
    group, _, code = error_of(answer).partition(".")
    ending = code.startswith(("destroyed_", "destroying", "stopping"))
    return group == "actor" and (ending or (missing and code == "not_found"))


def gateway_error(answer: httpx.Response) -> tuple[int, str]:
    """Status and identity of a gateway error, whose header and body must agree."""
    identity = error_of(answer)
    if not identity.startswith("api."):  # no gateway had part in these
        assert answer.headers["x-rivet-error"] == identity
    assert answer.headers["x-rivet-ray-id"]
    assert "x-rivet-actor" not in answer.headers
    return answer.status_code, error_of(answer)


def actor_error(answer: httpx.Response, encoding: Encoding, version: int = 4) -> HttpError:
    """The error an actor answered with."""
    assert "x-rivet-error" not in answer.headers
    return Codec(encoding, version).decode_http_error(answer.content)


def offers(*tokens: str) -> Sequence[Subprotocol]:
    return [Subprotocol(token) for token in tokens]
