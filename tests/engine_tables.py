"""The tables in which other RivetKit runtimes keep an actor (actor-runtime 2.8), as the engine has them."""

from __future__ import annotations

from dataclasses import replace

from rivetkit_core.errors import error
from rivetkit_core.host.engine.sql import RemoteDatabase
from rivetkit_core.host.engine.storage_requests import RequestScope
from rivetkit_core.host.engine.tables.storage import TableStorage
from rivetkit_core.host.port import ActorStorage, SqlResult, SqlStatement
from rivetkit_core.host.sql_failure import refused_by_engine
from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.engine.sql import ActorSql
from rivetkit_core.wire.envoy.messages import PreloadedKv, SqlError
from tests.engine_records import EngineRecords

IMPORTED = b"done"

_KEYED = "(key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"
TABLES = (
    "CREATE TABLE _rivet_meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE _rivet_runtime (id INTEGER PRIMARY KEY CHECK (id = 1), last_pushed_alarm INTEGER,"
    " inspector_token TEXT, queue_next_id INTEGER NOT NULL) STRICT",
    "CREATE TABLE _rivet_actor"
    " (id INTEGER PRIMARY KEY CHECK (id = 1), has_initialized INTEGER NOT NULL, input BLOB) STRICT",
    "CREATE TABLE _rivet_actor_state (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL) STRICT",
    "CREATE TABLE _rivet_schedule_events (event_id TEXT PRIMARY KEY, trigger_at INTEGER NOT NULL,"
    " action TEXT NOT NULL, args BLOB, kind INTEGER NOT NULL, cron_expression TEXT, timezone TEXT,"
    " interval_ms INTEGER, last_started_at INTEGER, max_history INTEGER NOT NULL, ray_id TEXT,"
    " traceparent TEXT, tracestate TEXT) STRICT, WITHOUT ROWID",
    "CREATE TABLE _rivet_schedule_history (id INTEGER PRIMARY KEY, schedule_id TEXT NOT NULL,"
    " action TEXT NOT NULL, scheduled_at INTEGER NOT NULL, fired_at INTEGER NOT NULL, finished_at INTEGER,"
    " result INTEGER NOT NULL, error_group TEXT, error_code TEXT, error_message TEXT, error_metadata BLOB)"
    " STRICT",
    "CREATE TABLE _rivet_conns (conn_id TEXT PRIMARY KEY, parameters BLOB NOT NULL, gateway_id BLOB NOT NULL,"
    " request_id BLOB NOT NULL, request_path TEXT NOT NULL, request_headers BLOB NOT NULL)"
    " STRICT, WITHOUT ROWID",
    "CREATE TABLE _rivet_conn_state (conn_id TEXT PRIMARY KEY, state BLOB NOT NULL,"
    " server_message_index INTEGER NOT NULL, client_message_index INTEGER NOT NULL,"
    " subscriptions BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE _rivet_queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL,"
    " created_at INTEGER NOT NULL, ray_id TEXT, traceparent TEXT, tracestate TEXT) STRICT",
    f"CREATE TABLE _rivet_wf_kv {_KEYED}",
    f"CREATE TABLE _rivet_user_kv {_KEYED}",
)


def setup(imported: bytes | None = IMPORTED, version: int = 2) -> tuple[SqlStatement, ...]:
    """What makes the tables, with ``kv_import_state`` and ``schema_version``."""
    put = "INSERT INTO _rivet_meta (key, value) VALUES (?, ?)"
    facts = {"schema_version": version.to_bytes(8, "little"), "kv_import_state": imported}
    noted = [SqlStatement(put, (key, value)) for key, value in facts.items() if value is not None]
    return (*map(SqlStatement, TABLES), *noted)


async def open_in_tables(
    scope: RequestScope, database: RemoteDatabase, _preloaded: PreloadedKv | None
) -> ActorStorage:
    """As ``open_storage``, for an actor that another runtime ran before, if only for a moment."""
    found = await scope.execute(SqlStatement("SELECT 1 FROM sqlite_schema WHERE name = '_rivet_meta'"))
    if not found.rows:
        await scope.execute_batch(setup())
    return await TableStorage.open(scope, database)


class EngineTables(EngineRecords):
    """Answers at once, also to SQL.

    Attributes:
        asked: The requests with SQL so far.
        lose: How many more answers to batches are lost, after they were carried out.
        closing: How many more batches come while the engine closes the database.
    """

    def __init__(self, statements: tuple[SqlStatement, ...] = (), *, generation: int = 2) -> None:
        super().__init__()
        self.generation = generation
        self.sql = ActorSql()
        self.asked: list[SqlStatement | tuple[SqlStatement, ...]] = []
        self.lose = 0
        self.closing = 0
        for statement in statements:
            assert not isinstance(self.sql.execute(statement), SqlError)

    async def execute(self, statement: SqlStatement) -> SqlResult:
        self.check()
        self.asked.append(statement)
        result = self.sql.execute(statement)
        if isinstance(result, SqlError):
            raise refused_by_engine(result.message)
        return _as_answered(result)

    async def execute_batch(self, statements: tuple[SqlStatement, ...]) -> tuple[SqlResult, ...]:
        self.check()
        self.asked.append(statements)
        if self.closing:
            self.closing -= 1
            raise refused_by_engine("rollback remote sqlite batch: sqlite worker is closing")
        results = self.sql.batch(statements)
        if isinstance(results, SqlError):
            raise refused_by_engine(results.message)
        if self.lose:
            self.lose -= 1
            raise error("sqlite.remote_indeterminate_result")
        return tuple(map(_as_answered, results))

    async def storage(self) -> TableStorage:
        """The storage of a new generation."""
        return await TableStorage.open(self, self.database())

    def database(self, clock: FakeClock | None = None) -> RemoteDatabase:
        return RemoteDatabase(self, clock or FakeClock())


def _as_answered(result: SqlResult) -> SqlResult:
    """The engine answers a stored blob of no length as NULL."""
    rows = (tuple(None if value == b"" else value for value in row) for row in result.rows)
    return replace(result, rows=tuple(rows))
