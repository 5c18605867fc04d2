"""A core context and connections that remember what actors did with them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from rivetkit import Actor
from rivetkit._compiler import compile_actor
from rivetkit._context import ClientFactory
from rivetkit_core.actor.factory import ActorInstance
from rivetkit_core.clock import Bound, SystemClock
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import error
from rivetkit_core.wire import cbor

if TYPE_CHECKING:
    from rivetkit_core.actor.connections import Connection
    from rivetkit_core.actor.context import ActorContext

NULL = b"\xf6"


class ImpatientClock(SystemClock):
    """Every deadline has already passed."""

    def timeout(self, delay: float | None) -> Bound:
        return asyncio.timeout(0)


@dataclass
class FakeConnection:
    id: str = "conn-1"
    params: bytes = NULL
    attachment: object = None
    sent: list[tuple[str, object]] = field(default_factory=list[tuple[str, object]])
    closed: list[str | None] = field(default_factory=list[str | None])

    def send(self, event: str, args: bytes) -> None:
        self.sent.append((event, cbor.decode(args)))

    async def disconnect(self, reason: str | None = None) -> None:
        self.closed.append(reason)

    def lend_state(self) -> None: ...

    @property
    def core(self) -> Connection:
        return cast("Connection", self)


@dataclass
class FakeContext:
    actor_id: str = "actor-1"
    name: str = "room"
    key: tuple[str, ...] = ("a", "b")
    generation: int = 1
    region: str = "local"
    input: bytes | None = None
    config: ActorConfig = field(default_factory=ActorConfig)
    clock: SystemClock = field(default_factory=SystemClock)
    aborted: bool = False
    connections: dict[str, FakeConnection] = field(default_factory=dict[str, FakeConnection])
    broadcasts: list[tuple[str, object]] = field(default_factory=list[tuple[str, object]])
    calls: list[str] = field(default_factory=list[str])
    in_state_change: bool = False

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(logging.getLogger("rivetkit.test"))

    def broadcast(self, event: str, args: bytes) -> None:
        self.broadcasts.append((event, cbor.decode(args)))

    def request_save(self, *, immediate: bool = False, max_wait: float | None = None) -> None:
        self.calls.append(f"request_save {max_wait}")

    async def save_state(self) -> None:
        self.calls.append("save_state")

    async def destroy(self) -> None:
        self.calls.append("destroy")

    async def wait_aborted(self) -> None:
        self.calls.append("wait_aborted")

    def check_state_assignment(self) -> None:
        if self.in_state_change:
            raise error("actor.state_mutation_reentrant")

    @property
    def core(self) -> ActorContext:
        return cast("ActorContext", self)


def start(
    cls: type[Actor], context: FakeContext | None = None, *, client_factory: ClientFactory | None = None
) -> ActorInstance:
    """A compiled instance of ``cls`` over a fake context."""
    return compile_actor(cls, client_factory=client_factory).create((context or FakeContext()).core)


async def call(
    instance: ActorInstance, name: str, *args: object, conn: FakeConnection | None = None
) -> object:
    """Run an action with plain arguments and return its plain result."""
    output = await instance.run_action(name, cbor.encode(list(args)), conn.core if conn else None)
    return cbor.decode(output)


async def admit(instance: ActorInstance, conn: FakeConnection) -> FakeConnection:
    """Take a connection through every connect hook."""
    await instance.before_connect(conn.core)
    await instance.create_conn_state(conn.core)
    await instance.on_connect(conn.core)
    return conn
