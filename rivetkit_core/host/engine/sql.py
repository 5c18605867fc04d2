"""An actor's private SQLite database, executed by the engine (envoy-protocol 7.2, 7.3).

The engine has one SQLite connection for each generation, and every statement of the actor runs on it. It dies
with the connection to the engine, and what it had open is rolled back.

Invariants
    A statement whose answer was lost ends as ``sqlite.remote_indeterminate_result``, never as a success or a
    retry.
"""

from __future__ import annotations

from collections.abc import Sequence

from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.port import SqlResult, SqlStatement
from rivetkit_core.host.sql_failure import checked

_ALREADY = "within a transaction"


class RemoteDatabase:
    """``ActorDatabase`` of one generation; also raises ``storage.lost`` when this generation has ended."""

    joint = None
    """The engine keeps records and databases in services of their own."""

    def __init__(self, scope: RequestScope) -> None:
        self._scope = scope

    @property
    def session(self) -> int:
        return self._scope.session

    async def execute(self, statement: SqlStatement) -> SqlResult:
        return checked(await self._scope.execute(statement))

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        return [checked(result) for result in await self._scope.execute_batch(tuple(statements))]

    async def script(self, sql: str) -> None:
        await self._scope.script(sql)

    async def in_transaction(self) -> bool:
        # The engine does not say, but SQLite refuses to begin one inside of another.
        try:
            await self._scope.execute(SqlStatement("BEGIN"))
        except RivetError as failure:
            if _ALREADY in failure.message:
                return True
            raise
        await self._scope.execute(SqlStatement("ROLLBACK"))
        return False

    async def close(self) -> None:
        """Nothing to do: the engine rolls back and closes when it stops the actor."""
