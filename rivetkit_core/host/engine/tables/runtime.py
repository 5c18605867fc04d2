"""What there is one of for each actor: last alarm, inspector token, and the queue's next number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rivetkit_core.host.engine.tables.statements import (
    NOTHING,
    Query,
    statement,
    text_or_none,
    upsert,
    whole,
    whole_or_none,
)
from rivetkit_core.host.port import Records, SqlResult, SqlStatement, SqlValue
from rivetkit_core.wire.persisted import (
    LAST_ALARM_KEY,
    QUEUE_METADATA_KEY,
    QueueMetadata,
    decode_last_alarm,
    decode_queue_metadata,
    encode_last_alarm,
    encode_queue_metadata,
)

TOKEN_KEY = b"\x03"

_COLUMNS = {
    TOKEN_KEY: "inspector_token",
    QUEUE_METADATA_KEY: "queue_next_id",
    LAST_ALARM_KEY: "last_pushed_alarm",
}
_READ = statement("SELECT last_pushed_alarm, inspector_token, queue_next_id FROM _rivet_runtime WHERE id = 1")
_COUNT = statement("SELECT count(*), max(id) FROM _rivet_queue")


class Runtime:
    """A section of three records. The queue's size is counted, never stored."""

    def owns(self, key: bytes) -> bool:
        return key in _COLUMNS

    def read(self, keys: Sequence[bytes]) -> Query:
        counting = QUEUE_METADATA_KEY in keys

        def records(results: Sequence[SqlResult]) -> Records:
            rows = results[0].rows
            alarm, token, next_id = rows[0] if rows else (None, None, None)
            found = {
                TOKEN_KEY: None if token is None else (text_or_none(token) or "").encode(),
                QUEUE_METADATA_KEY: _metadata(next_id, results[1]) if counting else None,
                LAST_ALARM_KEY: None if alarm is None else encode_last_alarm(whole_or_none(alarm)),
            }
            return [(key, value) for key, value in found.items() if key in keys and value is not None]

        return Query((_READ, _COUNT) if counting else (_READ,), records)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        keys = _within(start, end)
        return self.read(keys) if keys else NOTHING

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        values: dict[bytes, SqlValue] = dict.fromkeys(deletes)
        values.update((key, _decoded(key, value)) for key, value in puts.items())
        return [_set(key, value) for key, value in values.items()]

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        return self.change({}, _within(start, end))

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Nothing is remembered."""

    def doubt(self) -> None:
        """Nothing is remembered."""


def _within(start: bytes, end: bytes) -> list[bytes]:
    return [key for key in _COLUMNS if start <= key < end]


def _decoded(key: bytes, value: bytes) -> SqlValue:
    if key == TOKEN_KEY:
        return value.decode()
    return decode_last_alarm(value) if key == LAST_ALARM_KEY else decode_queue_metadata(value).next_id


def _set(key: bytes, value: SqlValue) -> SqlStatement:
    if key == QUEUE_METADATA_KEY:
        return statement(upsert("_rivet_runtime", "id", "queue_next_id"), 1, value or 1)
    column = _COLUMNS[key]
    sql = f"INSERT INTO _rivet_runtime (id, queue_next_id, {column}) VALUES (1, 1, ?)"
    return statement(f"{sql} ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}", value)


def _metadata(next_id: SqlValue, counted: SqlResult) -> bytes | None:
    [(size, last)] = counted.rows
    if next_id is None and not size:
        return None
    following = max(whole_or_none(next_id) or 1, (whole_or_none(last) or 0) + 1)
    return encode_queue_metadata(QueueMetadata(following, whole(size)))
