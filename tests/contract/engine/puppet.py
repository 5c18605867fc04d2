"""A host that does nothing on its own: tests read what the engine sent and say what is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TypeVar

from rivetkit_core.clock import SystemClock
from rivetkit_core.host.engine.link import EnvoyLink
from rivetkit_core.wire.envoy.messages import (
    ActorEvent,
    Checkpoint,
    CommandEntry,
    Commands,
    EnvoyInit,
    EventEntry,
    Events,
    KvGet,
    KvRequest,
    KvRequestData,
    KvResponse,
    KvResponseData,
    MessageId,
    Metadata,
    Ping,
    Pong,
    ResponseStart,
    Running,
    SqlError,
    SqlExec,
    SqlExecResponse,
    SqlExecute,
    SqlExecuteBatch,
    SqlExecuteBatchResponse,
    SqlExecuteResponse,
    SqlResult,
    SqlScriptResult,
    SqlStatement,
    SqlValue,
    StartActor,
    StopActor,
    StopCode,
    Stopped,
    ToEnvoy,
    ToEnvoyTunnel,
    ToEnvoyTunnelKind,
    ToRivetTunnel,
    ToRivetTunnelKind,
)

T = TypeVar("T")
_PATIENCE = 20.0


class Puppet:
    """One connection of an envoy. Pings are answered while it waits for something.

    Attributes:
        seen: Everything that arrived, oldest first.
    """

    def __init__(self, link: EnvoyLink, namespace: str = "default") -> None:
        self.link = link
        self.seen: list[ToEnvoy] = []
        self._namespace = namespace
        self._unread: deque[ToEnvoy] = deque()
        self._commands: deque[CommandEntry] = deque()
        self._requests = 0
        self._events: dict[tuple[str, int], int] = {}
        self._indices: dict[tuple[bytes, bytes], int] = {}

    # What arrives

    async def next(self, kind: type[T]) -> T:
        """The next message of a kind; others are kept for later."""
        for position, message in enumerate(self._unread):
            if isinstance(message, kind):
                del self._unread[position]
                return message
        async with SystemClock().timeout(_PATIENCE):
            while True:
                message = await self.receive()
                if isinstance(message, kind):
                    return message
                self._unread.append(message)

    async def receive(self) -> ToEnvoy:
        """Whatever arrives next, except pings, which are answered."""
        while True:
            message = await self.link.receive()
            self.seen.append(message)
            if not isinstance(message, Ping):
                return message
            self.link.send(Pong(message.ts))

    async def ready(self) -> EnvoyInit:
        """Introduce itself and wait until it is welcome."""
        self.link.send(Metadata({"counter": "{}"}, "{}"))
        return await self.next(EnvoyInit)

    async def command(self) -> CommandEntry:
        """The next command."""
        while not self._commands:
            self._commands.extend((await self.next(Commands)).entries)
        return self._commands.popleft()

    async def tunnel(self, kind: type[T]) -> tuple[MessageId, T]:
        """The next traffic of a client, which must be of this kind."""
        message = await self.next(ToEnvoyTunnel)
        found: ToEnvoyTunnelKind = message.kind
        assert isinstance(found, kind)
        return message.message_id, found

    # Actors

    async def start(self) -> Checkpoint:
        """Take the next command, which must be a start, and run the actor."""
        entry = await self.command()
        return self.run(entry)

    def run(self, entry: CommandEntry) -> Checkpoint:
        """Obey a start command."""
        assert isinstance(entry.command, StartActor)
        self.event(entry.checkpoint, Running())
        return entry.checkpoint

    async def stopping(self) -> StopActor:
        """The next command, which must be a stop."""
        entry = await self.command()
        assert isinstance(entry.command, StopActor)
        return entry.command

    async def stop(self, place: Checkpoint, code: StopCode = StopCode.OK) -> StopActor:
        """Wait for a stop command and obey it."""
        command = await self.stopping()
        self.event(place, Stopped(code))
        await self.kv_barrier(place.actor_id)
        return command

    def event(self, place: Checkpoint, event: ActorEvent, *, index: int | None = None) -> None:
        """Report of the generation at ``place``, with the next index unless one is given."""
        generation = place.actor_id, place.generation
        if index is None:
            index = self._events.get(generation, -1) + 1
            self._events[generation] = index
        self.link.send(Events((EventEntry(Checkpoint(*generation, index), event),)))

    # Storage

    async def kv(self, actor_id: str, data: KvRequestData) -> KvResponseData:
        self._requests += 1
        self.link.send(KvRequest(actor_id, self._requests, data))
        answer = await self.next(KvResponse)
        assert answer.request_id == self._requests
        return answer.data

    async def kv_barrier(self, actor_id: str) -> None:
        """Wait until the engine took everything that was sent so far."""
        await self.kv(actor_id, KvGet(()))

    async def execute(self, place: Checkpoint, sql: str, *params: SqlValue) -> SqlResult | SqlError:
        self._requests += 1
        request = SqlExecute(
            self._requests, self._namespace, place.actor_id, place.generation, SqlStatement(sql, params)
        )
        self.link.send(request)
        return (await self.next(SqlExecuteResponse)).result

    async def rows(self, place: Checkpoint, sql: str, *params: SqlValue) -> tuple[tuple[SqlValue, ...], ...]:
        """The rows of a statement that must succeed."""
        result = await self.execute(place, sql, *params)
        assert isinstance(result, SqlResult), result
        return result.rows

    async def script(self, place: Checkpoint, sql: str) -> SqlScriptResult | SqlError:
        self._requests += 1
        self.link.send(SqlExec(self._requests, self._namespace, place.actor_id, place.generation, sql))
        return (await self.next(SqlExecResponse)).result

    async def batch(self, place: Checkpoint, *statements: str) -> tuple[SqlResult, ...] | SqlError:
        self._requests += 1
        every = tuple(SqlStatement(sql) for sql in statements)
        request = SqlExecuteBatch(self._requests, self._namespace, place.actor_id, place.generation, every)
        self.link.send(request)
        return (await self.next(SqlExecuteBatchResponse)).result

    # Traffic

    def reply(self, to: MessageId, kind: ToRivetTunnelKind, *, index: int | None = None) -> None:
        """Send for a client, with the next index unless one is given."""
        stream = to.gateway_id, to.request_id
        if index is None:
            index = self._indices.get(stream, 0)
            self._indices[stream] = index + 1
        self.link.send(ToRivetTunnel(MessageId(*stream, index), kind))

    def respond(
        self, to: MessageId, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer a request with one message."""
        self.reply(to, ResponseStart(status, headers or {}, body))

    async def quiet(self, turns: int = 20) -> list[ToEnvoy]:
        """What is unread once the event loop had some turns."""
        for _ in range(turns):
            receiving = asyncio.ensure_future(self.receive())
            done, _pending = await asyncio.wait({receiving}, timeout=0)
            if done:
                self._unread.append(receiving.result())
            else:
                receiving.cancel()
                await asyncio.wait({receiving})
        return list(self._unread)
