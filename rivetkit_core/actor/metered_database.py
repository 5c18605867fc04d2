"""A host's database that counts and times what it is asked. Statements are known by their first word only."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from rivetkit_core.errors import RivetError
from rivetkit_core.host.port import ActorDatabase, JointCommit, SqlResult, SqlStatement
from rivetkit_core.metrics.recorder import Recorder

T = TypeVar("T")

_KINDS = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "CREATE", "DROP", "ALTER", "PRAGMA"}
)
_ENDS = frozenset({"COMMIT", "END", "ROLLBACK"})


class MeteredDatabase:
    """Implements ``ActorDatabase`` over another one.

    Attributes:
        in_use: Whether it was asked anything and is not closed.
    """

    def __init__(self, port: ActorDatabase, metrics: Recorder) -> None:
        self._port = port
        self._metrics = metrics
        self._in_transaction = False
        self.in_use = False

    @property
    def session(self) -> int:
        return self._port.session

    @property
    def joint(self) -> JointCommit | None:
        return self._port.joint

    async def execute(self, statement: SqlStatement) -> SqlResult:
        word = first_word(statement.sql)
        if word == "BEGIN":
            self._in_transaction = True
        try:
            return await self._timed("execute", word, self._port.execute(statement))
        finally:
            if word in _ENDS:
                self._in_transaction = False

    async def execute_batch(self, statements: Sequence[SqlStatement]) -> Sequence[SqlResult]:
        return await self._timed("execute_batch", "", self._port.execute_batch(statements))

    async def script(self, sql: str) -> None:
        await self._timed("script", "", self._port.script(sql))

    async def in_transaction(self) -> bool:
        return await self._port.in_transaction()

    async def close(self) -> None:
        used, self.in_use = self.in_use, False
        began = self._metrics.clock.monotonic()
        await self._port.close()
        if used:
            took = self._metrics.clock.monotonic() - began
            self._metrics.observe("sqlite_worker_close_duration_seconds", seconds=took)

    async def _timed(self, operation: str, word: str, work: Awaitable[T]) -> T:
        self.in_use = True
        metrics, began = self._metrics, self._metrics.clock.monotonic()
        inside = "true" if self._in_transaction else "false"
        kind = word.lower() if word in _KINDS else "other"
        try:
            return await work
        except RivetError as failure:
            code = f"{failure.group}.{failure.code}"
            metrics.count("sqlite_worker_command_error_total", operation, code)
            raise
        finally:
            took = metrics.clock.monotonic() - began
            metrics.observe("sqlite_worker_command_duration_seconds", operation, inside, kind, seconds=took)


def first_word(sql: str) -> str:
    """The word a statement begins with, in capitals; perhaps a comment's, which no statement is."""
    words = sql.split(None, 1)
    return words[0].upper().rstrip(";") if words else ""
