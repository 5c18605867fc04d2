"""The unmodified TypeScript client, seen from a Python test. The Node side is ``driver.mjs``.

    async with TypescriptClient(endpoint, "bare") as client:
        counter = client.get_or_create("counter", "a")
        assert await counter.call("increment", 2) == 2

Values travel as ``values.py`` says. Every wait is bounded, because a stock client that does not like a frame
drops it and waits for ever.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from tests.harness.node import REQUEST_TIMEOUT, Message, NodeError, NodeProcess
from tests.interop.values import UNDEFINED, Undefined, pack, unpack

Encoding = Literal["json", "cbor", "bare"]
Status = Literal["idle", "connecting", "connected", "disconnected"]
Key = str | Sequence[str]

_DRIVER = Path(__file__).with_name("driver.mjs")
EVENT_TIMEOUT = 10.0


class TypescriptError(Exception):
    """What the client threw. ``group`` and ``code`` are None for errors of its own that have none."""

    def __init__(self, details: Message) -> None:
        self.kind = cast("str", details["kind"])
        self.group = cast("str | None", details.get("group"))
        self.code = cast("str | None", details.get("code"))
        self.message = cast("str", details["message"])
        self.status_code = cast("int | None", details.get("statusCode"))
        self.metadata = unpack(details.get("metadata"))
        self.actor = unpack(details.get("actor"))
        super().__init__(f"{self.identity}: {self.message}")

    @property
    def identity(self) -> str:
        """``group.code``, or the name of the JavaScript class."""
        return f"{self.group}.{self.code}" if self.group is not None else self.kind


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a listener saw it."""

    name: str
    args: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """What ``fetch`` answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was heard over a raw websocket, and how it ended."""

    heard: list[object]
    code: int
    reason: str


class TypescriptClient:
    """A Node process with one client for ``endpoint``, ``namespace`` and ``encoding``."""

    def __init__(self, endpoint: str, encoding: Encoding, *, namespace: str = "default") -> None:
        self.encoding: Encoding = encoding
        self._client: Message = {"endpoint": endpoint, "namespace": namespace, "encoding": encoding}
        self._connections: dict[int, TypescriptConnection] = {}
        # Pushed lines may overtake the answer that tells a connection's number.
        self._early: dict[int, list[Message]] = {}
        environment = {**os.environ, "RIVET_LOG_LEVEL": "silent"}
        self._node = NodeProcess(_DRIVER, self._pushed, environment=environment)

    async def __aenter__(self) -> Self:
        await self._node.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._node.__aexit__(kind, error, trace)

    def get(self, name: str, key: Key = (), *, params: object = UNDEFINED) -> TypescriptHandle:
        """A handle that never creates."""
        return self._handle(name, "get", key=_key(key), params=params)

    def get_or_create(
        self, name: str, key: Key = (), *, params: object = UNDEFINED, input: object = UNDEFINED
    ) -> TypescriptHandle:
        """A handle that creates the actor on first use."""
        return self._handle(name, "getOrCreate", key=_key(key), params=params, input=input)

    def get_for_id(self, name: str, actor_id: str, *, params: object = UNDEFINED) -> TypescriptHandle:
        """A handle on one actor by its id."""
        return self._handle(name, "getForId", actorId=actor_id, params=params)

    async def create(self, name: str, key: Key = (), *, input: object = UNDEFINED) -> str:
        """Create an actor now and return its id."""
        fields = _given(key=_key(key), input=input)
        return cast("str", await self.request("create", name=name, **fields))

    async def request(self, operation: str, *, timeout: float = REQUEST_TIMEOUT, **fields: object) -> object:
        """Run one operation of the driver.

        Raises:
            TypescriptError: The client threw.
            TimeoutError: It did not answer within ``timeout`` seconds.
        """
        try:
            return await self._node.request(operation, answer_timeout=timeout, **self._client, **fields)
        except NodeError as failure:
            raise TypescriptError(failure.details) from failure

    def attach(self, connection: TypescriptConnection) -> None:
        """Send what is pushed for ``connection`` to it, starting with what came already."""
        self._connections[connection.number] = connection
        for message in self._early.pop(connection.number, ()):
            connection.receive(message)

    def _handle(self, name: str, method: str, **fields: object) -> TypescriptHandle:
        return TypescriptHandle(self, {"name": name, "method": method, **_given(**fields)})

    def _pushed(self, message: Message) -> None:
        number = cast(
            "int", next(message[kind] for kind in ("event", "status", "failure") if kind in message)
        )
        connection = self._connections.get(number)
        if connection is None:
            self._early.setdefault(number, []).append(message)
        else:
            connection.receive(message)


class TypescriptHandle:
    """A handle of the stock client. Making one does no I/O."""

    def __init__(self, client: TypescriptClient, fields: Message) -> None:
        self._client = client
        self._fields = fields

    async def call(self, action: str, *args: object, timeout: float = REQUEST_TIMEOUT) -> object:
        """Call an action over HTTP."""
        packed = [pack(argument) for argument in args]
        fields: Message = {**self._fields, "action": action, "args": packed}
        return unpack(await self._client.request("call", timeout=timeout, **fields))

    async def send(self, queue: str, body: object) -> object:
        """Send a message to a queue."""
        return unpack(await self._client.request("send", **self._fields, queue=queue, body=pack(body)))

    async def send_and_wait(self, queue: str, body: object, *, timeout: int) -> object:
        """Send a message and wait for its completion, so many milliseconds; the whole answer."""
        fields: Message = {**self._fields, "queue": queue, "body": pack(body), "wait": True}
        return unpack(await self._client.request("send", **fields, patience=timeout))

    async def resolve(self) -> str:
        """The id of the actor."""
        return cast("str", await self._client.request("resolve", **self._fields))

    async def gateway_url(self) -> str:
        """The URL the client would use, without an actor path."""
        return cast("str", await self._client.request("gatewayUrl", **self._fields))

    async def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """A raw HTTP request to the actor."""
        fields: Message = {**self._fields, "path": path, "httpMethod": method, "headers": headers or {}}
        if body is not None:
            fields["body"] = pack(body)
        answer = cast("Message", await self._client.request("fetch", **fields))
        return Response(answer["status"], answer["headers"], cast("bytes", unpack(answer["body"])))

    async def converse(
        self, path: str, *say: str | bytes, hear: int, closing: tuple[int, str] | None = None
    ) -> Conversation:
        """Over a raw websocket say everything, hear ``hear`` messages, close if told to, wait for the end."""
        fields: Message = {**self._fields, "path": path, "say": [pack(one) for one in say], "hear": hear}
        if closing is not None:
            fields["closing"] = list(closing)
        told = cast("Message", await self._client.request("converse", **fields))
        heard = [unpack(one) for one in cast("list[Any]", told["heard"])]
        return Conversation(heard, cast("int", told["code"]), cast("str", told["reason"]))

    async def open(self) -> TypescriptConnection:
        """Start connecting, without waiting for the outcome."""
        number = cast("int", await self._client.request("connect", **self._fields))
        connection = TypescriptConnection(self._client, number)
        self._client.attach(connection)
        return connection

    async def connect(self) -> TypescriptConnection:
        """Connect and wait until the server said so."""
        connection = await self.open()
        await connection.ready()
        return connection


class TypescriptConnection:
    """A live connection of the stock client.

    Attributes:
        events: What listeners received, in order.
        statuses: Every change of status, in order.
        errors: What was given to ``onError``.
    """

    def __init__(self, client: TypescriptClient, number: int) -> None:
        self.number = number
        self.events: asyncio.Queue[Received] = asyncio.Queue()
        self.statuses: asyncio.Queue[Status] = asyncio.Queue()
        self.errors: asyncio.Queue[TypescriptError] = asyncio.Queue()
        self._client = client

    def receive(self, message: Message) -> None:
        """Take one pushed line."""
        if "event" in message:
            args = cast("list[object]", unpack(message["args"]))
            self.events.put_nowait(Received(message["name"], tuple(args)))
        elif "status" in message:
            self.statuses.put_nowait(message["value"])
        else:
            self.errors.put_nowait(TypescriptError(message["error"]))

    async def ready(self) -> None:
        """Wait until it is connected for the first time."""
        await self._request("connReady")

    async def call(self, action: str, *args: object, timeout: float = REQUEST_TIMEOUT) -> object:
        """Call an action over the socket."""
        packed = [pack(argument) for argument in args]
        return unpack(await self._request("connCall", timeout=timeout, action=action, args=packed))

    async def on(self, event: str) -> int:
        """Listen; returns the listener for ``off``. The client sends the subscription without an answer."""
        return cast("int", await self._request("connOn", event=event))

    async def once(self, event: str) -> int:
        """Listen for one event."""
        return cast("int", await self._request("connOnce", event=event))

    async def off(self, listener: int) -> None:
        """Stop listening."""
        await self._request("connOff", listener=listener)

    async def status(self) -> Status:
        """The status now."""
        return cast("Status", await self._request("connStatus"))

    async def dispose(self) -> None:
        """Close it for good."""
        await self._request("dispose")

    async def next_event(self, *, timeout: float = EVENT_TIMEOUT) -> Received:
        """The next event any listener received."""
        async with asyncio.timeout(timeout):
            return await self.events.get()

    async def next_error(self, *, timeout: float = EVENT_TIMEOUT) -> TypescriptError:
        """The next error of the connection itself."""
        async with asyncio.timeout(timeout):
            return await self.errors.get()

    async def until(self, status: Status, *, timeout: float = EVENT_TIMEOUT) -> None:
        """Wait for a change to ``status``, dropping the changes before it."""
        async with asyncio.timeout(timeout):
            while await self.statuses.get() != status:
                continue

    async def _request(self, operation: str, *, timeout: float = REQUEST_TIMEOUT, **fields: object) -> object:
        return await self._client.request(operation, timeout=timeout, connection=self.number, **fields)


def _key(key: Key) -> list[str]:
    return [key] if isinstance(key, str) else list(key)


def _given(*, params: object = UNDEFINED, input: object = UNDEFINED, **fields: Any) -> Message:
    """Fields of a request; what was not given stays away, since the client tells absent from undefined."""
    optional = {"params": params, "input": input}
    present = {name: pack(value) for name, value in optional.items() if not isinstance(value, Undefined)}
    return {**fields, **present}
