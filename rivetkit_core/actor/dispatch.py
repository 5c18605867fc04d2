"""Accepted work of clients: connections and actions, from admission to an answer that may be seen.

Invariants
    Every accepted dispatch gets exactly one answer, and errors leave here as clients may see them.
    Actions run concurrently, with no lock: a lock would deadlock an action that another one must release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from rivetkit_core.actor.connections import Connection, Connections, ConnectionSink
from rivetkit_core.actor.factory import ActionSpec, ActorInstance
from rivetkit_core.actor.gate import Gate
from rivetkit_core.actor.outbox import Outbox
from rivetkit_core.actor.work import WorkKind, WorkRegistry
from rivetkit_core.clock import Clock, within
from rivetkit_core.config import ActorConfig
from rivetkit_core.errors import RivetError, error

_T = TypeVar("_T")


class Dispatch:
    """The work that comes to one generation from outside.

    Args:
        touched: Told that user code ran.
        sleeping: Whether the actor is going to sleep, and takes calls but nothing from sockets.
    """

    def __init__(
        self,
        *,
        config: ActorConfig,
        clock: Clock,
        actions: Mapping[str, ActionSpec],
        instance: Callable[[], ActorInstance],
        gate: Gate,
        work: WorkRegistry,
        outbox: Outbox,
        connections: Connections,
        touched: Callable[[], None],
        sleeping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._clock = clock
        self._actions = actions
        self._instance = instance
        self._gate = gate
        self._work = work
        self._outbox = outbox
        self._connections = connections
        self._touched = touched
        self._sleeping = sleeping

    async def open_connection(self, params: bytes | None, sink: ConnectionSink | None) -> Connection:
        """Run the connect hooks in the current task and admit the connection (9.2).

        Raises:
            RivetError: As a client may see it: refused, timed out, or the actor takes no connections.
        """
        if sink is not None:
            self._refuse_socket()
        with self._gate.accept("connect"):
            return await self._open(params, sink)

    async def run_action(self, name: str, args: bytes, conn: Connection) -> bytes:
        """Run an action in the current task and return its output when it may be seen (4.7).

        Raises:
            RivetError: As a client may see it. The traceback of anything unexpected is in the log. An actor
                that goes to sleep takes nothing more from sockets, which end with it: ``actor.stopping``.
        """
        self._refuse_socket()
        with self._gate.accept(name):
            return await self._act(name, args, conn)

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
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def fail(failure: RivetError) -> None:
            if not answer.done():
                answer.set_exception(failure)
                answer.exception()  # the caller may be gone

        async def run() -> None:
            try:
                output = await self.call(name, args, params)
            except RivetError as failure:
                fail(failure)
            else:
                if not answer.done():
                    answer.set_result(output)

        task = self._work.spawn(WorkKind.ACTION, run())
        task.add_done_callback(lambda _: fail(self._gate.stamped(error("actor.dropped_reply"))))
        return await answer

    async def _open(self, params: bytes | None, sink: ConnectionSink | None) -> Connection:
        conn = await self._shown(self._connections.open(params, sink))
        if self._instance().connection_hooks:  # otherwise nothing ran that anybody could see
            try:
                await self._outbox.settled()
            except BaseException:
                self._connections.remove(conn)
                raise
        return conn

    async def _act(self, name: str, args: bytes, conn: Connection) -> bytes:
        spec = self._actions.get(name)
        if spec is None:
            raise error("actor.action_not_found", name=name)
        if spec.durability is None:
            return await self._finished(name, args, conn, spec)
        with self._outbox.durability(spec.durability == "strict"):
            return await self._finished(name, args, conn, spec)

    async def _finished(self, name: str, args: bytes, conn: Connection, spec: ActionSpec) -> bytes:
        try:
            output = await self._shown(self._budgeted(name, args, conn, spec))
        finally:
            self._touched()
        await self._outbox.settled()
        return output

    async def _shown(self, work: Awaitable[_T]) -> _T:
        """Hold back a failure until it may be seen. A cancellation tells nobody anything, so it goes on."""
        try:
            return await work
        except Exception:
            self._touched()
            await self._outbox.settled()
            raise

    async def _budgeted(self, name: str, args: bytes, conn: Connection, spec: ActionSpec) -> bytes:
        budget = self._config.action_timeout if spec.timeout is None else spec.timeout
        work = self._instance().run_action(name, args, conn)
        return await within(self._clock, budget, work, lambda: error("actor.action_timed_out"))

    def _refuse_socket(self) -> None:
        if self._sleeping():
            raise self._gate.stamped(error("actor.stopping"))
