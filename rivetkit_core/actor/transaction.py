r"""One transaction of an actor's database, from BEGIN to its end.

    open --block ends--> committed
      \--block raises or is cancelled, deadline, end of the generation--> rolled back

Invariants
    Nothing runs after the end, so that no statement is applied outside of the transaction it was meant for.
    A commit or rollback that began is finished, whoever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.sql_params import SqlParams, bind
from rivetkit_core.actor.sql_text import Parsed, not_allowed, parse, split
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorDatabase, SqlResult, SqlStatement

CONTROLS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
"""What begins and ends transactions; savepoints are for the inside of one."""

_T = TypeVar("_T")


class Transaction:
    """Statements of one transaction; ``Database.transaction`` makes it, begins it and ends it.

    Every method raises what ``ActorDatabase`` says, and ``sqlite.transaction_closed`` after the end,
    ``sqlite.transaction_terminal`` after SQLite rolled back by itself, and
    ``sqlite.transaction_connection_lost``.
    """

    def __init__(self, port: ActorDatabase, log: ActorLog = NO_ACTOR) -> None:
        self._log = log
        self._port = port
        self._session = port.session
        self._ended: RivetError | None = None

    async def execute(self, sql: str, params: SqlParams = ()) -> SqlResult:
        """Run one statement inside of the transaction."""
        parsed = parse(sql)
        if parsed.verb in CONTROLS:
            raise not_allowed(f"{parsed.verb} inside of a transaction, which ends with its block")
        statement = bind(parsed, params)
        if not parsed.verb:
            return SqlResult((), ())
        return counted(parsed, await self.run(statement))

    async def script(self, sql: str) -> None:
        """Run several statements without parameters inside of the transaction."""
        for statement in split(sql):
            await self.execute(statement)

    async def run(self, statement: SqlStatement) -> SqlResult:
        """Run a statement as it is: for the runtime's own tables."""
        self._check()
        try:
            return await self._port.execute(statement)
        except RivetError:
            self._check()
            if not await self._port.in_transaction():
                self._ended = error("sqlite.transaction_terminal")
            raise

    async def begin(self) -> None:
        await self._port.execute(SqlStatement("BEGIN"))

    async def commit(self) -> None:
        self._check()
        self._ended = error("sqlite.transaction_closed")
        try:
            await finished(self._port.execute(SqlStatement("COMMIT")))
        except RivetError:  # a deferred constraint, for one: the transaction is still open then
            await self._undo()
            raise

    async def roll_back(self) -> None:
        """Undo everything. Never raises a RivetError: what the database cannot undo now, it undoes later."""
        terminal = self._ended is not None
        self._ended = error("sqlite.transaction_closed")
        if not terminal:
            await self._undo()

    def abandon(self) -> None:
        """Refuse everything from now on: the generation is over, and its connection goes."""
        self._ended = error("sqlite.closed")

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended
        if self._port.session != self._session:
            self._ended = error("sqlite.transaction_connection_lost")
            raise self._ended

    async def _undo(self) -> None:
        if self._port.session != self._session:
            return
        try:
            await finished(self._port.execute(SqlStatement("ROLLBACK")))
        except RivetError as failure:
            self._log.debug("nothing was left to roll back: %s", failure)


def counted(parsed: Parsed, result: SqlResult) -> SqlResult:
    """A result whose counters speak of this statement; SQLite's stay what an earlier one made them."""
    return SqlResult(
        result.columns,
        result.rows,
        result.changes if parsed.changes_rows else 0,
        result.last_insert_row_id if parsed.inserts and result.changes else None,
    )


async def finished(work: Coroutine[object, object, _T]) -> _T:
    """Await work to its end, also when cancelled; the cancellation goes on then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
