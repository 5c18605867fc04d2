"""``self.ctx.db``: the actor's private SQLite database, with rows by name and by type.

Statements are text, or expressions of SQLAlchemy. Turns, transactions and errors are the core's business.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from rivetkit._rows import Result, Row, rows_as
from rivetkit._sqlalchemy import Expression, rendered
from rivetkit_core.actor import migrations
from rivetkit_core.actor.database import TRANSACTION_TIMEOUT
from rivetkit_core.actor.database import Database as CoreDatabase
from rivetkit_core.actor.sql_params import SqlParams
from rivetkit_core.actor.transaction import Transaction as CoreTransaction
from rivetkit_core.host.port import SqlResult

_T = TypeVar("_T")

Statement = str | Expression
"""SQL, or a statement of SQLAlchemy Core (``rivetkit[sqlalchemy]``), which brings its parameters along."""


class _Executes(Protocol):
    async def execute(self, sql: str, params: SqlParams = ()) -> SqlResult: ...


class Statements:
    """What runs on a database and inside of a transaction alike.

    Parameters are a list or tuple for ``?``, or a mapping for ``:name``. Values are None, int (64 bits),
    float, str, bytes and bool, which SQLite keeps as an integer.

    Every method raises RivetError: ``sqlite.constraint_failed`` and ``sqlite.failed`` with SQLite's own
    words, ``sqlite.invalid_bind_parameter``, ``sqlite.not_allowed``, ``sqlite.result_too_large``,
    ``sqlite.unavailable``; on the engine ``sqlite.remote_indeterminate_result``.
    Cancelling leaves the outcome of the statement unknown, except inside of a transaction, which is undone.
    """

    def __init__(self, executes: _Executes) -> None:
        self._executes = executes

    async def execute(self, statement: Statement, params: SqlParams = ()) -> Result:
        """Run one statement."""
        return Result(await self._executes.execute(*rendered(statement, params)))

    @overload
    async def fetch_all(self, statement: Statement, params: SqlParams = ()) -> list[Row]: ...
    @overload
    async def fetch_all(
        self, statement: Statement, params: SqlParams = (), *, into: type[_T]
    ) -> list[_T]: ...
    async def fetch_all(
        self, statement: Statement, params: SqlParams = (), *, into: type[object] | None = None
    ) -> Any:
        """The rows of a statement.

        Args:
            into: What each row is made into and checked as: a model or TypedDict by column names, or the
                type of a single column.
        """
        rows = (await self.execute(statement, params)).rows
        return rows if into is None else rows_as(rows, into)

    @overload
    async def fetch_one(self, statement: Statement, params: SqlParams = ()) -> Row | None: ...
    @overload
    async def fetch_one(
        self, statement: Statement, params: SqlParams = (), *, into: type[_T]
    ) -> _T | None: ...
    async def fetch_one(
        self, statement: Statement, params: SqlParams = (), *, into: type[object] | None = None
    ) -> Any:
        """The first row of a statement, as ``fetch_all`` gives it; None if there is none."""
        rows = (await self.execute(statement, params)).rows[:1]
        made = rows if into is None else rows_as(rows, into)
        return made[0] if made else None


class Transaction(Statements):
    """The statements of one transaction: use it for everything inside of the block."""

    def __init__(self, core: CoreTransaction) -> None:
        super().__init__(core)
        self._core = core

    async def script(self, sql: str) -> None:
        """Run several statements without parameters."""
        await self._core.script(sql)


Migration = str | Callable[[Transaction], Awaitable[None]]
"""A script, or a function that gets the transaction of its step."""


class Database(Statements):
    """The actor's own database, kept as long as the actor. One statement, batch or transaction at a time.

    What returned is durable: a crash may leave the database ahead of a state that was not saved yet, never
    behind an answer that left. In a strict action, on the embedded host, it becomes durable together with the
    state and everything else the action did, before the answer leaves.
    """

    def __init__(self, core: CoreDatabase) -> None:
        super().__init__(core)
        self._core = core

    async def execute_batch(self, statements: Sequence[Statement | tuple[str, SqlParams]]) -> list[Result]:
        """Run statements in one transaction and one round trip: all of them, or none and an error."""
        _require_list("execute_batch", statements)
        batch = [each if isinstance(each, tuple) else rendered(each, ()) for each in statements]
        return [Result(result) for result in await self._core.execute_batch(batch)]

    async def script(self, sql: str) -> None:
        """Run several statements without parameters. Those before one that fails stay applied."""
        await self._core.script(sql)

    @contextlib.asynccontextmanager
    async def transaction(self, *, timeout: float = TRANSACTION_TIMEOUT) -> AsyncGenerator[Transaction]:
        """Run a block in one transaction: committed at its end, rolled back if it raises or is cancelled.

        Everything else that uses the database waits meanwhile. A second transaction inside of the block, or
        a statement beside it, is ``sqlite.nested_transaction``. In strict code nothing may leave from inside:
        calls to other actors and ``save_state`` are ``sqlite.transaction_open``.

        Args:
            timeout: Seconds the block may take; then it is cancelled: ``sqlite.transaction_expired``.
        """
        async with self._core.transaction(timeout) as core:
            yield Transaction(core)

    async def migrate(self, steps: Sequence[Migration]) -> int:
        """Bring the database to the version of the last step; returns how many steps ran.

        Step n leads to version n and runs once, in a transaction of its own, which also counts it. Steps
        that have run stay in the list for ever; new ones are added at its end. Call it in ``on_migrate``.

        Raises:
            RivetError: ``sqlite.migration_missing``: the database has seen more steps than there are.
        """
        _require_list("migrate", steps)
        return await migrations.migrate(self._core, [partial(_step, step) for step in steps])


async def _step(step: Migration, core: CoreTransaction) -> None:
    if isinstance(step, str):
        await core.script(step)
        return
    if not callable(step) or not inspect.isawaitable(running := step(Transaction(core))):
        raise TypeError(f"a migration is a script or an `async def` that takes the transaction, not {step!r}")
    await running


def _require_list(method: str, given: object) -> None:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{method} takes a list, not {type(given).__name__}")
