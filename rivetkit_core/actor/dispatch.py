"""Accepted work of clients: connections, actions and messages, from admission to an answer that may be seen.

Invariants
    Every accepted dispatch gets exactly one answer, and errors leave here as clients may see them.
    Actions run concurrently, with no lock: a lock would deadlock an action that another one must release.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from rivetkit_core.actor.connections import Connection, Connections, ConnectionSink
from rivetkit_core.actor.context import ActorContext
from rivetkit_core.actor.factory import ActionSpec, ActorFactory, ActorInstance
from rivetkit_core.actor.firing import current_fire
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.hibernation import SocketKeeper
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.queue_sends import accept_message
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import within
from rivetkit_core.errors import error
from rivetkit_core.metrics.recorder import Recorder
from rivetkit_core.wire.messages import QueueSendRequest, QueueSendResponse

_T = TypeVar("_T")

Done = Callable[[Exception | None], None]
"""Told how code ended; None is a success."""


class Dispatch:
    """The work that comes to one generation from outside.

    Args:
        began: Told that user code starts that may change state long before it ends.
        touched: Told that user code ran.
        sleeping: Whether the actor is going to sleep, and takes calls but nothing from sockets.
    """

    def __init__(
        self,
        *,
        factory: ActorFactory,
        context: ActorContext,
        instance: Callable[[], ActorInstance],
        gate: Gate,
        work: WorkRegistry,
        outbox: Outbox,
        connections: Connections,
        began: Callable[[], None],
        touched: Callable[[], None],
        sleeping: Callable[[], bool],
        metrics: Recorder,
    ) -> None:
        self._factory = factory
        self._context = context
        self._instance = instance
        self._gate = gate
        self._work = work
        self._outbox = outbox
        self._connections = connections
        self._began = began
        self._touched = touched
        self._sleeping = sleeping
        self._metrics = metrics

    async def open_connection(
        self, params: bytes | None, sink: ConnectionSink | None, keeper: SocketKeeper | None = None
    ) -> Connection:
        """Run the connect hooks in the current task and admit the connection (9.2).

        ``keeper``: keeps its websocket while the actor sleeps.

        Raises:
            RivetError: As a client may see it: refused, timed out, or the actor takes no connections.
        """
        if sink is not None:
            self._refuse_socket()
        with self._gate.accept("connect"):
            return await self._open(params, sink, keeper)

    async def run_action(
        self, name: str, args: bytes, conn: Connection, *, done: Done | None = None
    ) -> bytes:
        """Run an action in the current task and return its output when it may be seen (4.7).

        ``done``: told, before what strict code did is stored, that nothing but the answer is left to do.

        Raises:
            RivetError: As a client may see it. The traceback of anything unexpected is in the log. An actor
                that goes to sleep takes nothing more from sockets, which end with it: ``actor.stopping``.
        """
        self._refuse_socket()
        with self._gate.accept(name):
            return await self._act(name, args, conn, done)

    async def call(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """Run an action over a connection of its own, as HTTP and in-process callers do.

        Raises:
            RivetError: As a client may see it.
        """
        with self._gate.accept(name):  # one admission: what was accepted is not refused halfway
            conn = await self._open(params, None)
            try:
                return await self._act(name, args, conn)
            finally:
                self._connections.remove(conn)

    async def call_detached(self, name: str, args: bytes, params: bytes | None) -> bytes:
        """``call`` in a task of this actor: cancelling the caller does not stop the action."""
        self._gate.admit(name)
        return await self._work.detached(
            WorkKind.ACTION,
            lambda: self.call(name, args, params),
            dropped=lambda: self._gate.stamped(error("actor.dropped_reply")),
        )

    async def enqueue(self, name: str, request: QueueSendRequest, params: bytes | None) -> QueueSendResponse:
        """Send a client's message, over a connection of its own, and wait for its reply if it says so (7.8).

        Raises:
            RivetError: As a client may see it.
        """
        with self._gate.accept("dispatch_queue_send"):
            conn = await self._open(params, None)
            try:
                sending = accept_message(self._factory, self._instance(), self._context, conn, name, request)
                answer = await self._shown(sending)
                self._touched()
                await self._outbox.settled()
                return answer
            finally:
                self._connections.remove(conn)

    async def open_for_request(self, params: bytes | None) -> Connection:
        """A connection for work that was admitted: the connect hooks run, and nobody is refused halfway."""
        return await self._open(params, None)

    async def run_scheduled(self, name: str, args: bytes) -> bytes:
        """Run an action without a connection, as work that was admitted when it was planned."""
        return await self._act(name, args, None)

    async def _open(
        self, params: bytes | None, sink: ConnectionSink | None, keeper: SocketKeeper | None = None
    ) -> Connection:
        conn = await self._shown(self._connections.open(params, sink, keeper))
        if self._instance().connection_hooks:  # otherwise nothing ran that anybody could see
            try:
                await self._outbox.settled()
            except BaseException:
                self._connections.remove(conn)
                raise
        return conn

    async def _act(self, name: str, args: bytes, conn: Connection | None, done: Done | None = None) -> bytes:
        if conn is not None:
            current_fire.set(None)  # a call that a scheduled action made is a call like any other
        spec = self._factory.actions.get(name)
        if spec is None:
            raise error("actor.action_not_found", name=name)
        if spec.durability is None:
            return await self._finished(name, args, conn, spec, done)
        with self._outbox.durability(spec.durability == "strict"):
            return await self._finished(name, args, conn, spec, done)

    async def _finished(
        self, name: str, args: bytes, conn: Connection | None, spec: ActionSpec, done: Done | None
    ) -> bytes:
        self._began()
        meter = self._metrics.action(name, scheduled=conn is None)
        began, failed = meter.began(), True
        try:
            with self._outbox.whole():
                output = await self._shown(self._budgeted(name, args, conn, spec), done)
            failed = False
        finally:
            took = meter.ended(began, failed=failed)
            if self._context.log.verbose:
                fields = {"operation": name, "outcome": "error" if failed else "ok"}
                self._context.log.debug("action ended", extra={**fields, "elapsed_us": round(took * 1e6)})
            self._touched()
        if done is not None and self._outbox.gated:
            done(None)
        await self._outbox.settled()
        return output

    async def _shown(self, work: Awaitable[_T], done: Done | None = None) -> _T:
        """Hold back a failure until it may be seen. A cancellation tells nobody anything, so it goes on."""
        try:
            return await work
        except Exception as failure:
            self._touched()
            if done is not None and self._outbox.gated:
                done(failure)
            await self._outbox.settled()
            raise

    async def _budgeted(self, name: str, args: bytes, conn: Connection | None, spec: ActionSpec) -> bytes:
        budget = self._factory.config.action_timeout if spec.timeout is None else spec.timeout
        work = self._instance().run_action(name, args, conn)
        return await within(self._context.clock, budget, work, lambda: error("actor.action_timed_out"))

    def _refuse_socket(self) -> None:
        if self._sleeping():
            raise self._gate.stamped(error("actor.stopping"))
