"""An actor's private SQLite database, executed by the engine (envoy-protocol 7.2, 7.3).

The engine has one SQLite connection for each generation, and every statement of the actor runs on it. So
statements are serialised here, and a transaction keeps the others waiting: they would join it.

Invariants
    A transaction lives and dies with the connection it began on.
    A statement whose answer was lost ends as ``sqlite.indeterminate``, never as a success or a retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence

from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.wire.envoy.messages import SqlResult, SqlScriptResult, SqlStatement, SqlValue

log = logging.getLogger("rivetkit.envoy")


class RemoteDatabase:
    """The database of one generation.

    Every method raises RivetError: ``sqlite.failed`` with SQLite's own words; ``sqlite.indeterminate`` when
    the connection broke under the statement; ``storage.lost`` when this generation has ended.
    Cancelling leaves the outcome of the statement unknown.
    """

    def __init__(self, scope: RequestScope, session: Callable[[], int]) -> None:
        self._scope = scope
        self._session = session
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[object] | None = None

    async def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> SqlResult:
        """Run exactly one statement, which commits by itself."""
        async with self._turn():
            return await self._scope.execute(SqlStatement(sql, tuple(params)))

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> tuple[SqlResult, ...]:
        """Run statements in one transaction and one round trip: all of them, or none and an error."""
        async with self._turn():
            return await self._scope.execute_batch(tuple(statements))

    async def execute_script(self, sql: str) -> SqlScriptResult:
        """Run several statements without parameters. Those before one that fails stay applied."""
        async with self._turn():
            return await self._scope.script(sql)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """Run a block in one transaction: committed at its end, rolled back if it raises.

        Raises:
            RivetError: ``sqlite.nested_transaction``, or as for every method.
        """
        async with self._turn():
            transaction = Transaction(self._scope, self._session)
            await transaction.execute("BEGIN")
            try:
                yield transaction
            except BaseException:
                await _rolled_back(transaction)
                raise
            await transaction.execute("COMMIT")

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        task: asyncio.Task[object] | None = asyncio.current_task()
        if self._owner is not None and self._owner is task:
            raise error("sqlite.nested_transaction")
        async with self._lock:
            self._owner = task
            try:
                yield
            finally:
                self._owner = None


class Transaction:
    """Statements of one open transaction."""

    def __init__(self, scope: RequestScope, session: Callable[[], int]) -> None:
        self._scope = scope
        self._session = session
        self._began_in = session()

    async def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> SqlResult:
        """Run one statement inside the transaction.

        Raises:
            RivetError: ``sqlite.indeterminate``: the connection it began on is gone, and it was rolled back
                unless its COMMIT was already on the way.
        """
        if self._session() != self._began_in:
            raise error("sqlite.indeterminate")
        return await self._scope.execute(SqlStatement(sql, tuple(params)))


async def _rolled_back(transaction: Transaction) -> None:
    try:
        await asyncio.shield(transaction.execute("ROLLBACK"))
    except (
        RivetError
    ) as failure:  # the block's own failure matters more, and the engine rolls back in the end
        log.warning("a transaction could not be rolled back: %s", failure)
