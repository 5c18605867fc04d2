"""An actor made of plain callables, and a world of fakes to run it in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from rivetkit_core.actor.connections import Connection, OutgoingEvent
from rivetkit_core.actor.context import ActorContext, ActorIdentity
from rivetkit_core.actor.factory import ActionSpec, ActorFactory, AdmittedMessage, QueueSpec
from rivetkit_core.actor.ports import ActorPorts
from rivetkit_core.actor.resources import Resource
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.asgi import AsgiApp, Receive, Scope, Send
from rivetkit_core.config import ActorConfig
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.embedded.databases import Databases
from rivetkit_core.host.port import ActorKey, ActorStorage, Link, RawAnswer, RawRequest, RawSocket, Target
from rivetkit_core.metrics.process import ProcessMetrics
from rivetkit_core.testing import FakeClock, MemoryStore
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, decode_actor

Hook = Callable[["Scripted"], Awaitable[None]]
ConnHook = Callable[["Scripted", Connection], Awaitable[None]]
Handler = Callable[["Scripted", list[object]], Awaitable[object]]


@dataclass
class Script:
    """What the actor does. Hooks that are absent do nothing."""

    actions: Mapping[str, Handler] = field(default_factory=dict[str, Handler])
    specs: Mapping[str, ActionSpec] = field(default_factory=dict[str, ActionSpec])
    hooks: Mapping[str, Hook] = field(default_factory=dict[str, Hook])
    conn_hooks: Mapping[str, ConnHook] = field(default_factory=dict[str, ConnHook])
    queues: Mapping[str, QueueSpec] = field(default_factory=dict[str, QueueSpec])
    on_request: AsgiApp | None = None
    on_websocket: AsgiApp | None = None
    config: ActorConfig = field(default_factory=ActorConfig)
    resources: Mapping[str, Callable[[Scripted], AbstractAsyncContextManager[object]]] = field(
        default_factory=dict[str, "Callable[[Scripted], AbstractAsyncContextManager[object]]"]
    )
    has_state: bool = True
    first_state: object = 0


class Scripted:
    """``ActorInstance`` over a ``Script``; ``log`` keeps the order in which things were called."""

    def __init__(self, script: Script, context: ActorContext, log: list[str]) -> None:
        self.script = script
        self.context = context
        self.log = log
        self.state: object = None
        self.encodings = 0

    @property
    def has_state(self) -> bool:
        return self.script.has_state

    @property
    def connection_hooks(self) -> frozenset[str]:
        return frozenset({"on_before_connect", "create_conn_state", "on_connect", "on_disconnect"})

    @property
    def observes_state(self) -> bool:
        return "on_state_change" in self.script.hooks

    async def create_state(self, input: bytes | None) -> None:
        given = None if input is None else cbor.decode(input)
        self.state = self.script.first_state if given is None else given
        await self._hook("create_state")

    def restore_state(self, state: bytes) -> None:
        self.log.append("restore_state")
        self.state = cbor.decode(state)

    def encode_state(self) -> bytes:
        self.encodings += 1
        return cbor.encode(self.state)

    @property
    def resources(self) -> Sequence[Resource]:
        made = self.script.resources.items()
        return [(name, partial(make, self)) for name, make in made]

    @property
    def runs(self) -> bool:
        return "run" in self.script.hooks

    async def on_migrate(self, is_new: bool) -> None:
        if "on_migrate" in self.script.hooks:
            self.log.append(f"is_new={is_new}")
            await self._hook("on_migrate")

    async def create_vars(self) -> None:
        await self._hook("create_vars")

    async def on_create(self, input: bytes | None) -> None:
        await self._hook("on_create")

    async def on_wake(self) -> None:
        await self._hook("on_wake")

    async def on_sleep(self) -> None:
        await self._hook("on_sleep")

    async def run(self) -> None:
        await self._hook("run")

    async def on_destroy(self) -> None:
        await self._hook("on_destroy")

    async def on_state_change(self) -> None:
        await self._hook("on_state_change")

    async def before_connect(self, conn: Connection) -> None:
        await self._conn_hook("before_connect", conn)

    async def create_conn_state(self, conn: Connection) -> None:
        await self._conn_hook("create_conn_state", conn)

    def encode_conn_state(self, conn: Connection) -> bytes:
        return cbor.encode(conn.attachment)

    def restore_conn(self, conn: Connection, state: bytes) -> None:
        self.log.append("restore_conn")
        conn.attachment = cbor.decode(state)

    async def on_connect(self, conn: Connection) -> None:
        await self._conn_hook("on_connect", conn)

    async def on_disconnect(self, conn: Connection) -> None:
        await self._conn_hook("on_disconnect", conn)

    @property
    def guards_subscriptions(self) -> bool:
        return "admit_subscription" in self.script.conn_hooks

    async def admit_subscription(self, event: str, conn: Connection) -> None:
        self.log.append(f"subscribe {event}")
        await self._conn_hook("admit_subscription", conn)

    async def run_action(self, name: str, args: bytes, conn: Connection | None) -> bytes:
        handler = self.script.actions[name]
        return cbor.encode(await handler(self, cast("list[object]", cbor.decode(args))))

    @property
    def serves_http(self) -> bool:
        return self.script.on_request is not None

    @property
    def serves_websockets(self) -> bool:
        return self.script.on_websocket is not None

    def can_hibernate(self, scope: Scope) -> bool:
        return self.script.config.can_hibernate_websocket is True

    async def on_request(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.append("on_request")
        assert self.script.on_request is not None
        await self.script.on_request(scope, receive, send)

    async def on_websocket(self, conn: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.append("on_websocket")
        assert self.script.on_websocket is not None
        await self.script.on_websocket(scope, receive, send)

    async def admit_message(self, queue: str, body: bytes, conn: Connection) -> AdmittedMessage:
        await self._conn_hook("admit_message", conn)
        return AdmittedMessage(body)

    async def _hook(self, name: str) -> None:
        self.log.append(name)
        if name in self.script.hooks:
            await self.script.hooks[name](self)

    async def _conn_hook(self, name: str, conn: Connection) -> None:
        self.log.append(name)
        if name in self.script.conn_hooks:
            await self.script.conn_hooks[name](self, conn)


class NoAccess:
    """An actor that calls nobody."""

    async def resolve(self, target: Target) -> str:
        raise error("actor.not_found")

    async def create(self, name: str, key: ActorKey, *, input: bytes | None, region: str | None) -> str:
        raise error("actor.not_found")

    async def call(self, target: Target, action: str, args: bytes, *, params: bytes | None) -> bytes:
        raise error("actor.not_found")

    async def enqueue(
        self, target: Target, queue: str, request: QueueSendRequest, *, params: bytes | None
    ) -> QueueSendResponse:
        raise error("actor.not_found")

    async def connect(self, target: Target, *, params: bytes | None) -> Link:
        raise error("actor.not_found")

    async def fetch(self, target: Target, request: RawRequest, *, params: bytes | None) -> RawAnswer:
        raise error("actor.not_found")

    async def websocket(
        self, target: Target, path: str, *, protocols: Sequence[str], params: bytes | None
    ) -> RawSocket:
        raise error("actor.not_found")

    async def aclose(self) -> None: ...


class RecordingSink:
    """A connection's transport that keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.closed: tuple[int, str] | None = None
        self.released = False

    def send_event(self, event: OutgoingEvent) -> None:
        self.events.append((event.message.name, cbor.decode(event.message.args)))

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def release(self) -> None:
        self.released = True


class RecordingAlarm:
    """A host's alarm that keeps what it was set to. While ``failure`` is set it refuses, and it waits for
    ``gate``."""

    def __init__(self) -> None:
        self.pushes: list[int | None] = []
        self.failure: RivetError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def set(self, at_ms: int | None) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.pushes.append(at_ms)


class RecordingHost:
    """A host that remembers what it was asked for."""

    def __init__(self) -> None:
        self.sleep_requests = 0
        self.destroy_requests = 0
        self.crashes: list[str] = []
        self.alarm = RecordingAlarm()

    def request_sleep(self) -> None:
        self.sleep_requests += 1

    def request_destroy(self) -> None:
        self.destroy_requests += 1

    def report_crash(self, message: str) -> None:
        self.crashes.append(message)

    async def set_alarm(self, at_ms: int | None) -> None:
        await self.alarm.set(at_ms)


_alive: list[ActorTask] = []


async def end_all() -> None:
    """End what the tests' worlds have started."""
    while _alive:
        await _alive.pop().kill()


class World:
    """One actor id with its storage, across any number of generations.

    Args:
        databases: Where its SQLite database is, if it has one.
    """

    ACTOR_ID = "actor1"

    def __init__(self, script: Script, *, databases: Databases | None = None) -> None:
        self.script = script
        self._databases = databases
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.log: list[str] = []
        self.generation = 0
        self.host = RecordingHost()
        self.alarm = self.host.alarm
        self.metrics = ProcessMetrics()
        self.storage: ActorStorage = self.store.storage(self.ACTOR_ID)
        self.instance: Scripted

    def task(self) -> ActorTask:
        """The next generation, not started."""
        self.generation += 1

        def create(context: ActorContext) -> Scripted:
            self.instance = Scripted(self.script, context, self.log)
            return self.instance

        names = {name: self.script.specs.get(name, ActionSpec()) for name in self.script.actions}
        factory = ActorFactory(
            name="scripted",
            create=create,
            actions=names,
            queues=self.script.queues,
            config=self.script.config,
        )
        task = ActorTask(
            factory,
            ActorIdentity(self.ACTOR_ID, "scripted", ("a", "b/c"), self.generation),
            ActorPorts(
                storage=self.storage,
                access=NoAccess(),
                clock=self.clock,
                entropy=SeededEntropy(self.generation),
                host=self.host,
                metrics=self.metrics,
                database=self._databases and self._databases.database(self.ACTOR_ID, self.storage),
            ),
        )
        _alive.append(task)
        return task

    async def started(self, input: object = None) -> ActorTask:
        """The next generation, started."""
        task = self.task()
        await task.start(None if input is None else cbor.encode(input))
        return task

    async def stored(self) -> ActorRecord | None:
        """What storage has now."""
        records = await self.store.storage(self.ACTOR_ID).load([ACTOR_KEY])
        return decode_actor(records[ACTOR_KEY]) if ACTOR_KEY in records else None

    async def stored_state(self) -> object:
        record = await self.stored()
        return None if record is None or not record.state else cbor.decode(record.state)


async def call(task: ActorTask, name: str, *args: object) -> object:
    """Call an action as an HTTP caller would."""
    return cbor.decode(await task.call(name, cbor.encode(list(args)), None))


async def failure_of(awaitable: Awaitable[object]) -> RivetError:
    """The error an awaitable raises."""
    try:
        await awaitable
    except RivetError as failure:
        return failure
    raise AssertionError("nothing was raised")
