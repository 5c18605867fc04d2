"""The actor's SQLite database as its code uses it: whose turn it is, and what a transaction is.

A host runs statements on one connection. Whatever runs beside an open transaction would join it, so
everything takes turns here, and a transaction keeps its turn until it ends.

What strict code changes waits for the next save (``waiting``), if the host can commit both together.

Invariants
    Between BEGIN and its end only the statements of that transaction run.
    A transaction ends: by its block, at its deadline, or with the generation. Nothing of one that did not
    commit stays.
    After ``close`` no statement runs.
    Code that is not strict finds nothing waiting when it changes something: what waits is stored before.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import TypeVar

from rivetkit_core.actor.logs import ActorLog
from rivetkit_core.actor.saver import Saver
from rivetkit_core.actor.sql_params import SqlParams, bind
from rivetkit_core.actor.sql_text import Parsed, not_allowed, parse, split
from rivetkit_core.actor.transaction import CONTROLS as OUTER
from rivetkit_core.actor.transaction import PART, WHOLE, Transaction, counted, finished
from rivetkit_core.actor.waiting import WaitingSql
from rivetkit_core.clock import Clock
from rivetkit_core.errors import RivetError, error
from rivetkit_core.host.port import ActorDatabase, SqlResult, SqlStatement

TRANSACTION_TIMEOUT = 60.0
QUEUE_LIMIT = 128

_MARKS = frozenset({"SAVEPOINT", "RELEASE", "ROLLBACK TO"})
_CONTROLS = OUTER | _MARKS

_T = TypeVar("_T")

_open: contextvars.ContextVar[tuple[Transaction, ...]] = contextvars.ContextVar(
    "rivetkit_transactions", default=()
)


class Database:
    """The database of one generation. Every method raises what ``ActorDatabase`` says, and:

    ``sqlite.closed`` after the generation ended, ``sqlite.nested_transaction`` inside of a transaction of the
    caller's own, ``sqlite.writer_busy`` while another task has one open that it began with BEGIN,
    ``sqlite.transaction_queue_full``, ``sqlite.not_allowed`` and ``sqlite.invalid_bind_parameter``.

    Args:
        saver: Stores what waits; without one nothing does.
        gated: Whether the running code is strict.
    """

    def __init__(
        self,
        port: ActorDatabase | None,
        *,
        clock: Clock,
        log: ActorLog,
        saver: Saver | None = None,
        gated: Callable[[], bool] = lambda: False,
    ) -> None:
        self._port = port
        self._clock = clock
        self._log = log
        self._saver = saver
        self._gated = gated
        self._sql = WaitingSql(None) if saver is None else saver.sql
        self._turn = self._sql.turn
        self._waiting = 0
        self._begun_by: asyncio.Task[object] | None = None
        self._warned = False
        self._current: Transaction | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._waiting

    async def execute(self, sql: str, params: SqlParams = ()) -> SqlResult:
        """Run one statement, which commits by itself."""
        parsed = parse(sql)
        statement = bind(parsed, params)
        async with self._turn_for([parsed]) as port:
            if parsed.verb in _CONTROLS:
                return await self._control(port, parsed, statement)
            return await self._run(port, parsed, statement)

    async def execute_batch(self, statements: Sequence[tuple[str, SqlParams]]) -> list[SqlResult]:
        """Run statements in one transaction and one round trip: all of them, or none and an error."""
        parsed = [parse(sql) for sql, _ in statements]
        for each in parsed:
            if each.verb in _CONTROLS:
                raise not_allowed(f"{each.verb} in a batch, which is a transaction already")
        bound = [bind(each, params) for each, (_, params) in zip(parsed, statements, strict=True)]
        async with self._turn_for(parsed) as port:
            if self._begun_by is not None:
                raise error("sqlite.nested_transaction")
            results = await self._sent(port.execute_batch(bound))
        return [counted(each, result) for each, result in zip(parsed, results, strict=True)]

    async def script(self, sql: str) -> None:
        """Run several statements without parameters. Those before one that fails stay applied."""
        async with self._turn_for(check_script(sql)) as port:
            await self._sent(port.script(sql))

    @contextlib.asynccontextmanager
    async def transaction(self, timeout: float = TRANSACTION_TIMEOUT) -> AsyncGenerator[Transaction]:
        """Run a block in one transaction: committed at its end, rolled back if it raises or is cancelled.

        What a block of strict code did is committed with the next save, and saves wait for its end.

        Args:
            timeout: Seconds the block may take; waiting for its turn is not counted.

        Raises:
            RivetError: ``sqlite.transaction_expired``: the block took too long and was cancelled.
        """
        strict = self._gated()
        async with self._my_turn(alone=not strict) as port:
            if self._begun_by is not None:
                raise error("sqlite.nested_transaction")
            part = strict and await self._sql.begin()
            transaction = Transaction(port, PART if part else WHOLE, strict=strict, log=self._log)
            self._current = transaction
            self._sql.block = transaction if strict else None
            inside = _open.set((*_open.get(), transaction))
            bound = self._clock.timeout(timeout)
            try:
                await transaction.begin()
                async with bound:
                    yield transaction
            except BaseException as failure:
                await transaction.roll_back()
                await self._sql.look()
                if isinstance(failure, TimeoutError) and bound.expired():
                    raise error("sqlite.transaction_expired", timeout=timeout) from None
                raise
            else:
                await transaction.commit()
            finally:
                self._current = self._sql.block = None
                with contextlib.suppress(ValueError):  # the block was left in another context
                    _open.reset(inside)
        if strict:
            self._request_save()

    def would_wait_for_itself(self) -> bool:
        """Whether the caller is inside of a block that a save would wait for."""
        block = self._sql.block
        return block is not None and block in _open.get()

    async def settle(self) -> None:
        """Roll back what was begun with BEGIN and left open, once no code of the actor runs any more.

        Where a host keeps records in this database, the last save would wait for it. Never raises.
        """
        if self._begun_by is not None and self._port is not None and not self._closed:
            await self._roll_back_by_hand(self._port)

    async def close(self) -> None:
        """Refuse what comes from now on, roll back what is open, and let go. Idempotent; never raises."""
        if self._closed:
            return
        self._closed = True
        if self._current is not None:
            self._current.abandon()
        if self._port is not None:
            await self._port.close()

    # --- turns ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _turn_for(self, statements: Sequence[Parsed]) -> AsyncGenerator[ActorDatabase]:
        """The turn to run statements outside of blocks. In strict code, what they change waits afterwards."""
        reads = all(each.reads for each in statements)
        apart = any(each.apart for each in statements)
        strict = self._gated() and not apart
        async with self._my_turn(alone=not (reads or strict)) as port:
            if strict and not reads and self._begun_by is None:
                await self._sql.begin()
            yield port
        if strict and not reads:
            self._request_save()

    @contextlib.asynccontextmanager
    async def _my_turn(self, *, alone: bool) -> AsyncGenerator[ActorDatabase]:
        if self._current is not None and self._current in _open.get():
            raise error("sqlite.nested_transaction")
        self._available()
        if self._waiting >= QUEUE_LIMIT:
            raise error("sqlite.transaction_queue_full", limit=QUEUE_LIMIT)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            port = self._available()
            await self._take_over(port)
            if alone and self._saver is not None and self._sql.open:
                await finished(self._saver.save_beside())
            yield port
        finally:
            self._turn.release()

    def _available(self) -> ActorDatabase:
        if self._closed:
            raise error("sqlite.closed")
        if self._port is None:
            raise error("sqlite.not_configured")
        return self._port

    async def _take_over(self, port: ActorDatabase) -> None:
        """Give way to a transaction that another task began by hand, unless that task has ended."""
        owner = self._begun_by
        if owner is None or owner is asyncio.current_task():
            return
        if not owner.done():
            raise error("sqlite.writer_busy")
        await self._roll_back_by_hand(port)

    async def _roll_back_by_hand(self, port: ActorDatabase) -> None:
        self._begun_by = None
        self._log.warning("a task ended with a transaction open that it began with BEGIN; it is rolled back")
        with contextlib.suppress(RivetError):
            await port.execute(SqlStatement("ROLLBACK"))

    # --- statements -----------------------------------------------------------------------------

    async def _control(self, port: ActorDatabase, parsed: Parsed, statement: SqlStatement) -> SqlResult:
        if parsed.verb in _MARKS and self._begun_by is None:
            raise not_allowed(f"{parsed.verb} outside of a transaction")
        result = await self._run(port, parsed, statement)
        if parsed.verb == "BEGIN":
            self._begun_by = asyncio.current_task()
            if not self._warned:
                self._warned = True
                self._log.warning("BEGIN makes other tasks of the actor fail; use ctx.db.transaction()")
        elif parsed.verb in OUTER:
            self._begun_by = None
        return result

    async def _run(self, port: ActorDatabase, parsed: Parsed, statement: SqlStatement) -> SqlResult:
        if not parsed.verb:
            return SqlResult((), ())
        try:
            return counted(parsed, await self._sent(port.execute(statement)))
        except RivetError:
            if self._begun_by is not None and not await port.in_transaction():
                self._begun_by = None
            raise

    async def _sent(self, running: Coroutine[object, object, _T]) -> _T:
        if not self._sql.open:
            return await running
        try:
            # SQLite undoes the whole transaction if a statement is interrupted, and others have a part in it.
            return await finished(running)
        except RivetError:
            await self._sql.look()
            raise

    def _request_save(self) -> None:
        if self._saver is not None and self._sql.has_effects:
            self._saver.request()


def check_script(sql: str) -> list[Parsed]:
    """Refuse a script that an actor may not run, or that would leave a transaction open.

    Returns:
        Its statements.

    Raises:
        RivetError: ``sqlite.not_allowed``.
    """
    statements = [parse(statement) for statement in split(sql)]
    for parsed in statements:
        if parsed.slots:
            raise not_allowed("parameters in a script")
        if parsed.verb in _CONTROLS:
            raise not_allowed(f"{parsed.verb} in a script: run it inside of ctx.db.transaction()")
    return statements
