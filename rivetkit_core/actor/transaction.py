r"""One transaction of an actor's database, from BEGIN to its end.

    open --block ends--> committed
      \--block raises or is cancelled, deadline, end of the generation--> rolled back

Invariants
    Nothing runs after the end, so that no statement is applied outside of the transaction it was meant for.
    A part of a transaction that waits for a save is ended without touching the rest of it.
    A commit or rollback that began is finished, whoever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rivetkit_core.actor.logs import NO_ACTOR, ActorLog
from rivetkit_core.actor.sql_params import SqlParams, bind
from rivetkit_core.actor.sql_text import Parsed, not_allowed, parse, split
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorDatabase, SqlResult, SqlStatement

CONTROLS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
"""What begins and ends transactions; savepoints are for the inside of one."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The statements that begin and end a transaction."""

    begin: str
    commit: str
    undo: Sequence[str]


WHOLE = Bounds("BEGIN", "COMMIT", ("ROLLBACK",))
PART = Bounds(
    "SAVEPOINT _rivet_block", "RELEASE _rivet_block", ("ROLLBACK TO _rivet_block", "RELEASE _rivet_block")
)
"""Of a transaction that is open already, and commits with the next save."""


class Transaction:
    """Statements of one transaction; ``Database.transaction`` makes it, begins it and ends it.

    Every method raises what ``ActorDatabase`` says, and ``sqlite.transaction_closed`` after the end,
    ``sqlite.transaction_terminal`` after SQLite rolled back by itself, and
    ``sqlite.transaction_connection_lost``.

    Attributes:
        strict: Whether it is of strict code: a save waits for its end.
    """

    def __init__(
        self,
        port: ActorDatabase,
        bounds: Bounds = WHOLE,
        *,
        strict: bool = False,
        log: ActorLog = NO_ACTOR,
    ) -> None:
        self.strict = strict
        self._log = log
        self._port = port
        self._bounds = bounds
        self._session = port.session
        self._ended: RivetError | None = None

    async def execute(self, sql: str, params: SqlParams = ()) -> SqlResult:
        """Run one statement inside of the transaction."""
        parsed = parse(sql)
        if parsed.verb in CONTROLS:
            raise not_allowed(f"{parsed.verb} inside of a transaction, which ends with its block")
        if self._bounds is PART and parsed.verb == "PRAGMA" and "defer_foreign_keys" in sql.lower():
            raise not_allowed("PRAGMA defer_foreign_keys in strict code: the commit is not its own")
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
        running = self._port.execute(statement)
        try:
            # SQLite undoes the whole transaction if a statement is interrupted, and others have a part in it.
            return await (finished(running) if self._bounds is PART else running)
        except RivetError:
            self._check()
            if not await self._port.in_transaction():
                self._ended = error("sqlite.transaction_terminal")
            raise

    async def begin(self) -> None:
        await self._port.execute(SqlStatement(self._bounds.begin))

    async def commit(self) -> None:
        self._check()
        self._ended = error("sqlite.transaction_closed")
        try:
            await finished(self._port.execute(SqlStatement(self._bounds.commit)))
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
            for statement in self._bounds.undo:
                await finished(self._port.execute(SqlStatement(statement)))
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
