"""Storage requests to the engine, and their answers (envoy-protocol 7).

Invariants
    Every request ends: by its answer, by its deadline, or because its generation lost the right to ask.
    KV requests are idempotent: they are repeated on the next connection, in the order they were made.
    SQL requests are not: one that was on the way when the connection broke ends as indeterminate, and one
    that was not sent yet waits for the next connection.
    Nothing is sent, or repeated, for a generation that was closed here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from rivetkit_core.clock import Clock, within
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.sql_failure import refused_by_engine
from rivetkit_core.wire.envoy.messages import (
    KvError,
    KvRequest,
    KvRequestData,
    KvResponse,
    KvResponseData,
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
)

StorageRequest = KvRequest | SqlExec | SqlExecute | SqlExecuteBatch
StorageResponse = KvResponse | SqlExecResponse | SqlExecuteResponse | SqlExecuteBatchResponse

_TIMEOUT = 30.0
_U32 = 1 << 32
_T = TypeVar("_T")


@dataclass(slots=True)
class _Pending:
    scope: RequestScope
    request: StorageRequest
    answer: asyncio.Future[object]
    sent: bool = False


class Requests:
    """The requests of one envoy. ``send`` returns False while there is no connection."""

    def __init__(self, clock: Clock, namespace: str, send: Callable[[StorageRequest], bool]) -> None:
        self.namespace = namespace
        self._clock = clock
        self._send = send
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self.session = 0

    def scope(self, actor_id: str, generation: int, may_write: Callable[[], bool]) -> RequestScope:
        """The requests of one generation, for as long as ``may_write`` says so."""
        return RequestScope(self, actor_id, generation, may_write)

    async def ask(self, scope: RequestScope, make: Callable[[int], StorageRequest]) -> object:
        """Send a request and wait for its answer. Cancelling leaves the outcome unknown.

        Raises:
            RivetError: What the scope says, or ``storage.unavailable`` when no answer came in 30 s.
        """
        scope.check()
        request_id = next(self._ids) % _U32
        pending = _Pending(scope, make(request_id), asyncio.get_running_loop().create_future())
        self._pending[request_id] = pending
        try:
            pending.sent = self._send(pending.request)
            return await within(self._clock, _TIMEOUT, pending.answer, _late)
        finally:
            del self._pending[request_id]

    def answered(self, response: StorageResponse) -> None:
        """Hand an answer to whoever waits for it; others are late and dropped."""
        pending = self._pending.get(response.request_id)
        if pending is None or pending.answer.done():
            return
        pending.answer.set_result(response.data if isinstance(response, KvResponse) else response.result)

    def on_connected(self) -> None:
        """A new connection stands: send what waits."""
        for pending in tuple(self._pending.values()):
            if not pending.sent and not pending.answer.done() and pending.scope.is_open:
                pending.sent = self._send(pending.request)

    def on_link_lost(self) -> None:
        """No answer will come to what was sent."""
        self.session += 1
        for pending in self._pending.values():
            if not pending.sent:
                continue
            if isinstance(pending.request, KvRequest):
                pending.sent = False
            elif not pending.answer.done():
                pending.answer.set_exception(error("sqlite.remote_indeterminate_result"))

    def close(self, scope: RequestScope, failure: RivetError) -> None:
        """Fail every request of one generation."""
        for pending in self._pending.values():
            if pending.scope is scope and not pending.answer.done():
                pending.answer.set_exception(failure)

    def __len__(self) -> int:
        return len(self._pending)


class RequestScope:
    """What one generation may ask of the engine's storage, until it is closed.

    The engine does not know which generation a KV request is from, so this is where old ones are stopped.

    Attributes:
        on_fenced: Called when the engine says that a newer generation has the database.
    """

    def __init__(
        self, requests: Requests, actor_id: str, generation: int, may_write: Callable[[], bool]
    ) -> None:
        self.actor_id = actor_id
        self.generation = generation
        self._requests = requests
        self._may_write = may_write
        self.is_open = True
        self.on_fenced: Callable[[], None] = lambda: None

    @property
    def session(self) -> int:
        """Counts the connections to the engine that were lost."""
        return self._requests.session

    def check(self) -> None:
        """Refuse to ask for a generation that may run elsewhere by now.

        Raises:
            StorageError: ``storage.lost``.
        """
        if not (self.is_open and self._may_write()):
            raise error("storage.lost", actor_id=self.actor_id, generation=self.generation)

    def close(self) -> None:
        """Let nothing more out: the generation has ended, or was lost. Idempotent."""
        self.is_open = False
        lost = error("storage.lost", actor_id=self.actor_id, generation=self.generation)
        self._requests.close(self, lost)

    async def kv(self, data: KvRequestData) -> KvResponseData:
        """One KV operation.

        Raises:
            StorageError: The engine refused or did not answer, or this generation has ended here.
        """
        answer = await self._requests.ask(self, lambda number: KvRequest(self.actor_id, number, data))
        response = cast("KvResponseData", answer)
        if isinstance(response, KvError):
            raise error("storage.unavailable", f"The engine refused: {response.message}")
        return response

    async def script(self, sql: str) -> SqlScriptResult:
        """Several statements without parameters; see ``RemoteDatabase``."""
        fields = (self._requests.namespace, self.actor_id, self.generation)
        answer = await self._requests.ask(self, lambda number: SqlExec(number, *fields, sql))
        return self._unwrap(answer, SqlScriptResult)

    async def execute(self, statement: SqlStatement) -> SqlResult:
        """One statement; see ``RemoteDatabase``."""
        fields = (self._requests.namespace, self.actor_id, self.generation)
        answer = await self._requests.ask(self, lambda number: SqlExecute(number, *fields, statement))
        return self._unwrap(answer, SqlResult)

    async def execute_batch(self, statements: tuple[SqlStatement, ...]) -> tuple[SqlResult, ...]:
        """Statements in one transaction; see ``RemoteDatabase``."""
        fields = (self._requests.namespace, self.actor_id, self.generation)
        answer = await self._requests.ask(self, lambda number: SqlExecuteBatch(number, *fields, statements))
        return cast("tuple[SqlResult, ...]", self._unwrap(answer, tuple))

    def _unwrap(self, answer: object, kind: type[_T]) -> _T:
        if isinstance(answer, SqlError):
            refusal = refused_by_engine(answer.message)
            if refusal.code == "remote_fence_mismatch":
                self.on_fenced()
            raise refusal
        if not isinstance(answer, kind):
            raise error("storage.unavailable", "The engine answered with something else than was asked for")
        return answer


def _late() -> RivetError:
    return error("storage.unavailable", f"The engine did not answer within {_TIMEOUT:.0f} s")
