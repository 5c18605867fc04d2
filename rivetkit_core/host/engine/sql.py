"""An actor's private SQLite database, executed by the engine (envoy-protocol 7.2, 7.3).

The engine has one SQLite connection for each generation, and every statement of the actor runs on it. It dies
with the connection to the engine, and what it had open is rolled back.

The actor's records may be in the same database. They must not become part of a transaction that the actor's
code has open and may roll back, so whoever writes them waits for its end.

Invariants
    A statement whose answer was lost ends as ``sqlite.remote_indeterminate_result``, never as a success or a
    retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.port import SqlResult, SqlStatement
from rivetkit_core.host.sql_failure import checked

T = TypeVar("T")

_ALREADY = "within a transaction"
_LOOK_AGAIN = 1.0
"""Seconds: the end of a connection ends a transaction too, and no statement tells of it."""


class RemoteDatabase:
    """``ActorDatabase`` of one generation; also raises ``storage.lost`` when this generation has ended."""

    joint = None
    """The engine keeps records and databases in services of their own."""

    def __init__(self, scope: RequestScope, clock: Clock) -> None:
        self._scope = scope
        self.clock = clock
        self._ran = 0
        self._running = asyncio.Event()

    @property
    def session(self) -> int:
        return self._scope.session

    async def execute(self, statement: SqlStatement) -> SqlResult:
        return checked(await self._execute(statement))

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        return [checked(result) for result in await self._scope.execute_batch(tuple(statements))]

    async def script(self, sql: str) -> None:
        await self._scope.script(sql)

    async def in_transaction(self) -> bool:
        # The engine does not say, but SQLite refuses to begin one inside of another.
        try:
            await self._execute(SqlStatement("BEGIN"))
        except RivetError as failure:
            if is_in_transaction(failure):
                return True
            raise
        await self._execute(SqlStatement("ROLLBACK"))
        return False

    async def _execute(self, statement: SqlStatement) -> SqlResult:
        try:
            return await self._scope.execute(statement)
        finally:
            self._ran += 1
            self._running.set()

    async def between_transactions(self, run: Callable[[], Awaitable[T]], patience: float) -> T:
        """Run what begins a transaction of its own, as soon as none of the actor's code is open.

        Raises:
            RivetError: What ``run`` raised; after ``patience`` seconds, that there is still one open.
        """
        deadline = self.clock.monotonic() + patience
        while True:
            ran = self._ran
            try:
                return await run()
            except RivetError as failure:
                if not is_in_transaction(failure) or self.clock.monotonic() >= deadline:
                    raise
            await self._statement_after(ran)

    async def _statement_after(self, ran: int) -> None:
        try:
            async with self.clock.timeout(_LOOK_AGAIN):
                while self._ran == ran:
                    self._running.clear()
                    await self._running.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Nothing to do: the engine rolls back and closes when it stops the actor."""


def is_in_transaction(failure: RivetError) -> bool:
    """Whether it was refused because a transaction is open."""
    return _ALREADY in failure.message
