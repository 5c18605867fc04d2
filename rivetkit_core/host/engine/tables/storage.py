"""``ActorStorage`` over the tables that other RivetKit runtimes use (actor-runtime 2.8).

    key --> section --> statements --> one batch --> the engine

Records that have no table of their own (retries, deduplication keys) are kept in one more, which other
runtimes leave alone.

Invariants
    ``apply`` is one batch, which SQLite commits whole or not at all.
    A write never becomes part of a transaction that the actor's code has open: it waits for its end.
    A batch whose answer was lost is run again: running it twice is running it once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from rivetkit_core.errors import RivetError
from rivetkit_core.host.engine.sql import RemoteDatabase, is_in_transaction
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.engine.tables.connections import Connections
from rivetkit_core.host.engine.tables.failures import in_storage
from rivetkit_core.host.engine.tables.messages import Messages
from rivetkit_core.host.engine.tables.recurring import OPENING, Recurring
from rivetkit_core.host.engine.tables.runtime import TOKEN_KEY, Runtime
from rivetkit_core.host.engine.tables.section import KeyedTable, Section
from rivetkit_core.host.engine.tables.snapshot import Snapshot
from rivetkit_core.host.engine.tables.statements import Query, statement
from rivetkit_core.host.port import Records, SqlResult, SqlStatement, prefix_end
from rivetkit_core.wire.envoy.messages import KvPut

T = TypeVar("T")

PRIVATE_TABLE = "_rivet_py_records"
TRANSACTION_PATIENCE = 30.0
"""Seconds that a write waits for a transaction of the actor's code."""

_USER = b"\x04"
_WORKFLOW = b"\x06\x01"
_CREATE = statement(
    f"CREATE TABLE IF NOT EXISTS {PRIVATE_TABLE}"
    " (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"
)
_CLOSING = "worker is closing"
"""So the engine ends what runs when it asks an actor to stop. The next statement opens the database anew."""

_PAUSES = (0.05, 0.25, 1.0)
"""Seconds between tries."""

_KEYS = 100
"""Keys that one statement asks for."""


class TableStorage:
    """The records of one generation. Made by ``open``."""

    def __init__(self, scope: RequestScope, database: RemoteDatabase, sections: Sequence[Section]) -> None:
        self._scope = scope
        self._database = database
        self._sections = sections

    @classmethod
    async def open(cls, scope: RequestScope, database: RemoteDatabase) -> TableStorage:
        """For an actor whose tables are the truth.

        Raises:
            StorageError: They cannot be read.
        """
        with in_storage(scope):
            _, events, rows = await scope.execute_batch((_CREATE, *OPENING))
        sections: tuple[Section, ...] = (
            Snapshot(),
            Connections(),
            Runtime(),
            Messages(PRIVATE_TABLE),
            KeyedTable("_rivet_user_kv", _USER),
            KeyedTable("_rivet_wf_kv", _WORKFLOW),
            Recurring(events, rows),
            KeyedTable(PRIVATE_TABLE, b""),
        )
        return cls(scope, database, sections)

    async def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        queries: list[Query] = []
        for section, mine in self._by_section(keys):
            queries += [section.read(mine[at : at + _KEYS]) for at in range(0, len(mine), _KEYS)]
        return dict(await self._records(queries))

    async def apply(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        kept = {key: value for key, value in puts.items() if key not in deletes}
        changes = [
            (
                section,
                {key: kept[key] for key in mine if key in kept},
                [key for key in mine if key not in kept],
            )
            for section, mine in self._by_section([*kept, *deletes])
        ]
        statements = [one for section, put, gone in changes for one in section.change(put, gone)]
        if TOKEN_KEY in kept:  # tools read it there, whatever the layout
            await self._scope.kv(KvPut((TOKEN_KEY,), (kept[TOKEN_KEY],)))
        await self._write(statements)
        for section, put, gone in changes:
            section.changed(put, gone)

    async def list_range(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Records:
        if start >= end or limit == 0:
            self._scope.check()
            return []
        most = -1 if limit is None else limit
        queries = [section.scan(start, end, reverse=reverse, limit=most) for section in self._sections]
        found = sorted(await self._records(queries), reverse=reverse)
        return [(key, value) for key, value in found if start <= key < end][:limit]

    async def list(self, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Records:
        return await self.list_range(prefix, prefix_end(prefix), reverse=reverse, limit=limit)

    async def delete_range(self, start: bytes, end: bytes) -> None:
        if start < end:
            await self._write([one for section in self._sections for one in section.wipe(start, end)])

    # --- inside ---------------------------------------------------------------------------------

    def _by_section(self, keys: Sequence[bytes]) -> Sequence[tuple[Section, Sequence[bytes]]]:
        mine: dict[int, dict[bytes, None]] = {}
        for key in keys:
            place = next(number for number, section in enumerate(self._sections) if section.owns(key))
            mine.setdefault(place, {})[key] = None
        return [(self._sections[place], tuple(found)) for place, found in sorted(mine.items())]

    async def _records(self, queries: Sequence[Query]) -> Records:
        statements = tuple(one for query in queries for one in query.statements)
        results = await self._read(statements)
        found: Records = []
        for query in queries:
            count = len(query.statements)
            found += query.records(results[:count])
            results = results[count:]
        return found

    async def _read(self, statements: tuple[SqlStatement, ...]) -> Sequence[SqlResult]:
        self._scope.check()
        with in_storage(self._scope):
            if not statements:
                return ()
            if len(statements) == 1:
                return [await self._again(lambda: self._scope.execute(statements[0]))]
            try:
                return await self._again(lambda: self._scope.execute_batch(statements))
            except RivetError as failure:
                if not is_in_transaction(failure):
                    raise
            return [await self._scope.execute(one) for one in statements]  # reading disturbs no transaction

    async def _write(self, statements: Sequence[SqlStatement]) -> None:
        self._scope.check()
        if not statements:
            return
        batch = tuple(statements)
        try:
            with in_storage(self._scope):
                await self._database.between_transactions(
                    lambda: self._again(lambda: self._scope.execute_batch(batch)), TRANSACTION_PATIENCE
                )
        except BaseException:
            for section in self._sections:
                section.doubt()
            raise

    async def _again(self, run: Callable[[], Awaitable[T]]) -> T:
        for pause in _PAUSES:
            try:
                return await run()
            except RivetError as failure:
                if _CLOSING in failure.message:
                    await self._database.clock.sleep(pause)
                elif failure.code != "remote_indeterminate_result":
                    raise
        return await run()
