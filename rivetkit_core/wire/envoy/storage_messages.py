"""Storage over the envoy protocol: requests of a host and the engine's answers (envoy-protocol 4.3, 7)."""

from __future__ import annotations

from dataclasses import dataclass

# --- key-value storage ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KvMetadata:
    version: bytes
    update_ts: int


@dataclass(frozen=True, slots=True)
class KvGet:
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListAll:
    """Every key."""


@dataclass(frozen=True, slots=True)
class ListRange:
    """From ``start`` to ``end``; ``exclusive`` says whether ``end`` itself is left out."""

    start: bytes
    end: bytes
    exclusive: bool


@dataclass(frozen=True, slots=True)
class ListPrefix:
    key: bytes


@dataclass(frozen=True, slots=True)
class KvList:
    query: ListAll | ListRange | ListPrefix
    reverse: bool | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class KvPut:
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KvDelete:
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KvDeleteRange:
    """Delete from ``start`` up to, not including, ``end``."""

    start: bytes
    end: bytes


@dataclass(frozen=True, slots=True)
class KvDrop:
    """Delete everything."""


KvRequestData = KvGet | KvList | KvPut | KvDelete | KvDeleteRange | KvDrop


@dataclass(frozen=True, slots=True)
class KvError:
    message: str


@dataclass(frozen=True, slots=True)
class KvGot:
    """Existing keys only, in the order of the request; the three run in parallel."""

    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    metadata: tuple[KvMetadata, ...]


@dataclass(frozen=True, slots=True)
class KvListed:
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    metadata: tuple[KvMetadata, ...]


@dataclass(frozen=True, slots=True)
class KvPutDone:
    pass


@dataclass(frozen=True, slots=True)
class KvDeleteDone:
    pass


@dataclass(frozen=True, slots=True)
class KvDropDone:
    pass


KvResponseData = KvError | KvGot | KvListed | KvPutDone | KvDeleteDone | KvDropDone

# --- remote SQLite ----------------------------------------------------------------------------------

SqlValue = int | float | str | bytes | None
"""What a parameter or a column may be. ``bool`` is written as an integer."""


@dataclass(frozen=True, slots=True)
class SqlStatement:
    sql: str
    params: tuple[SqlValue, ...] | None = None


@dataclass(frozen=True, slots=True)
class SqlResult:
    """``changes`` and ``last_insert_row_id`` mirror the connection's counters."""

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...]
    changes: int = 0
    last_insert_row_id: int | None = None


@dataclass(frozen=True, slots=True)
class SqlScriptResult:
    """The rows of the last statement that had any."""

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...]


@dataclass(frozen=True, slots=True)
class SqlError:
    group: str
    code: str
    message: str


# --- requests and answers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KvRequest:
    actor_id: str
    request_id: int
    data: KvRequestData


@dataclass(frozen=True, slots=True)
class SqlExec:
    """Run a script without parameters. ``namespace`` is the name, not the id."""

    request_id: int
    namespace: str
    actor_id: str
    generation: int
    sql: str


@dataclass(frozen=True, slots=True)
class SqlExecute:
    request_id: int
    namespace: str
    actor_id: str
    generation: int
    statement: SqlStatement


@dataclass(frozen=True, slots=True)
class SqlExecuteBatch:
    """Run statements in one transaction."""

    request_id: int
    namespace: str
    actor_id: str
    generation: int
    statements: tuple[SqlStatement, ...]


@dataclass(frozen=True, slots=True)
class KvResponse:
    request_id: int
    data: KvResponseData


@dataclass(frozen=True, slots=True)
class SqlExecResponse:
    request_id: int
    result: SqlScriptResult | SqlError


@dataclass(frozen=True, slots=True)
class SqlExecuteResponse:
    request_id: int
    result: SqlResult | SqlError


@dataclass(frozen=True, slots=True)
class SqlExecuteBatchResponse:
    request_id: int
    result: tuple[SqlResult, ...] | SqlError
