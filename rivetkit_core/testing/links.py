"""Actors that are played by a test: an ``ActorAccess`` and ``Link`` that do as they are told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from rivetkit_core.asgi import RawHeaders
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorKey, ById, LinkClosed, RawRequest, RawSocket, Target
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Init,
    QueueSendRequest,
    QueueSendResponse,
    ToClient,
    ToServer,
)


class ScriptedLink:
    """One connection. The test says what arrives and when it ends, and reads what was sent.

    Attributes:
        sent: What the client sent, oldest first.
        closed: Code and reason, once either side closed.
        params: What the client connected with.
        refuse_next: Raised by the next ``send`` of an action; subscriptions cannot be refused.
    """

    def __init__(self, params: bytes | None = None) -> None:
        self.sent: list[ToServer] = []
        self.closed: tuple[int, str] | None = None
        self.params = params
        self.refuse_next: RivetError | None = None
        self._incoming: deque[ToClient | RivetError] = deque()
        self._wake = asyncio.Event()

    @property
    def requests(self) -> list[ActionRequest]:
        """The actions among ``sent``."""
        return [message for message in self.sent if isinstance(message, ActionRequest)]

    def deliver(self, message: ToClient | RivetError) -> None:
        """Let a message arrive, or a failure to read one."""
        self._incoming.append(message)
        self._wake.set()

    def answer(self, output: bytes, index: int = -1) -> None:
        """Answer one of ``requests``, the latest by default."""
        self.deliver(ActionResponse(self.requests[index].id, output))

    def lose(self, code: int = 1006, reason: str = "") -> None:
        """End the connection; what was delivered before is still received."""
        if self.closed is None:
            self.closed = (code, reason)
            self._wake.set()

    def send(self, message: ToServer) -> None:
        if self.refuse_next is not None and isinstance(message, ActionRequest):
            refused, self.refuse_next = self.refuse_next, None
            raise refused
        if self.closed is not None:
            raise LinkClosed(*self.closed)
        self.sent.append(message)

    async def receive(self) -> ToClient:
        while not self._incoming:
            if self.closed is not None:
                raise LinkClosed(*self.closed)
            self._wake.clear()
            await self._wake.wait()
        message = self._incoming.popleft()
        if isinstance(message, RivetError):
            raise message
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await asyncio.sleep(0)  # a socket yields here; tests should meet the same interleavings
        self.lose(code, reason)


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One stateless call as the transport saw it."""

    target: Target
    action: str
    args: bytes
    params: bytes | None


@dataclass(frozen=True, slots=True)
class ScriptedSend:
    """One message to a queue as the transport saw it."""

    target: Target
    queue: str
    request: QueueSendRequest
    params: bytes | None


@dataclass(frozen=True, slots=True)
class ScriptedFetch:
    """One raw request as the transport saw it."""

    target: Target
    request: RawRequest
    params: bytes | None


@dataclass(slots=True)
class ScriptedAnswer:
    """An answer to a raw request; after ``parts``, ``failure`` if there is one."""

    status: int = 200
    headers: RawHeaders = field(default_factory=RawHeaders)
    parts: Sequence[bytes] = ()
    failure: RivetError | None = None
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        if self.failure is not None:
            raise self.failure

    async def aclose(self) -> None:
        self.closed = True


class ScriptedAccess:
    """Opens ``ScriptedLink``s and answers calls from a list. Without a script connecting succeeds.

    Attributes:
        links: Every link it opened, oldest first.
        attempts: How often connecting was tried.
        calls: The stateless calls.
        sends: The messages to queues.
        fetches: The raw requests.
        closed: Whether ``aclose`` was called.
    """

    def __init__(self) -> None:
        self.links: list[ScriptedLink] = []
        self.attempts = 0
        self.calls: list[ScriptedCall] = []
        self.sends: list[ScriptedSend] = []
        self.fetches: list[ScriptedFetch] = []
        self.closed = False
        self._openings: deque[RivetError | tuple[ToClient, ...]] = deque()
        self._answers: deque[RivetError | bytes] = deque()
        self._replies: deque[RivetError | QueueSendResponse] = deque()
        self._raw_answers: deque[RivetError | ScriptedAnswer] = deque()

    @property
    def link(self) -> ScriptedLink:
        """The latest link."""
        return self.links[-1]

    def next_connect(self, *outcomes: RivetError | tuple[ToClient, ...]) -> None:
        """What the next attempts end in: an error, or a link on which those messages have arrived."""
        self._openings.extend(outcomes)

    def next_call(self, *outcomes: RivetError | bytes) -> None:
        """What the next calls end in; one without an answer waits for ever."""
        self._answers.extend(outcomes)

    def next_send(self, *outcomes: RivetError | QueueSendResponse) -> None:
        """What the next messages end in; one without an answer is completed without a response."""
        self._replies.extend(outcomes)

    def next_fetch(self, *outcomes: RivetError | ScriptedAnswer) -> None:
        """What the next raw requests end in; one without an answer gets an empty one."""
        self._raw_answers.extend(outcomes)

    async def resolve(self, target: Target) -> str:
        await asyncio.sleep(0)
        return target.actor_id if isinstance(target, ById) else f"id of {target.name}"

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        await asyncio.sleep(0)
        return f"id of {name}"

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        self.calls.append(ScriptedCall(target, action, args, params))
        await asyncio.sleep(0)
        if not self._answers:
            await asyncio.Event().wait()
        outcome = self._answers.popleft()
        if isinstance(outcome, RivetError):
            raise outcome
        return outcome

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        self.sends.append(ScriptedSend(target, queue, request, params))
        await asyncio.sleep(0)
        if not self._replies:
            return QueueSendResponse("completed")
        outcome = self._replies.popleft()
        if isinstance(outcome, RivetError):
            raise outcome
        return outcome

    async def connect(self, target: Target, *, params: bytes | None) -> ScriptedLink:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.closed:
            raise error("client.disposed")
        if self._openings:
            outcome = self._openings.popleft()
            if isinstance(outcome, RivetError):
                raise outcome
        else:
            outcome = (Init("actor-1", f"connection-{self.attempts}"),)
        link = ScriptedLink(params)
        for message in outcome:
            link.deliver(message)
        self.links.append(link)
        return link

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> ScriptedAnswer:
        self.fetches.append(ScriptedFetch(target, request, params))
        await asyncio.sleep(0)
        if not self._raw_answers:
            return ScriptedAnswer()
        outcome = self._raw_answers.popleft()
        if isinstance(outcome, RivetError):
            raise outcome
        return outcome

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        await asyncio.sleep(0)
        raise error("actor.not_found")

    async def aclose(self) -> None:
        self.closed = True
