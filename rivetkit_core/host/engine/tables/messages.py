"""Queued messages. What their table has no column for is a record of our own beside it:

    70 79 04 + u64 id (big)      the message's counts and times, as a message without name and body

Another runtime sees such a message as one that is ready and was never tried. The record counts for nothing
once its message is gone, because ids are not used twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rivetkit_core.host.engine.tables.statements import (
    NOTHING,
    Query,
    blob,
    marks,
    statement,
    text,
    upsert,
    whole,
)
from rivetkit_core.host.port import Records, SqlResult, SqlStatement, prefix_end
from rivetkit_core.wire.persisted import (
    QUEUE_MESSAGE_PREFIX,
    QueueMessage,
    decode_queue_message,
    encode_queue_message,
    queue_message_key,
)

_NOTES = b"\x70\x79\x04"
_LENGTH = len(queue_message_key(1))
_LAST = (1 << 63) - 1
_COLUMNS = "SELECT id, name, body, created_at FROM _rivet_queue"
_PUT = upsert("_rivet_queue", "id", "name", "body", "created_at")


class Messages:
    """A section. ``notes`` is the table of our own records."""

    def __init__(self, notes: str) -> None:
        self._notes = notes

    def owns(self, key: bytes) -> bool:
        return key.startswith(QUEUE_MESSAGE_PREFIX) and len(key) == _LENGTH

    def read(self, keys: Sequence[bytes]) -> Query:
        if not keys:
            return NOTHING
        ids = [_id(key) for key in keys]
        found = statement(f"{_COLUMNS} WHERE id IN ({marks(ids)})", *ids)
        noted = [_note_key(number) for number in ids]
        notes = f"SELECT key, value FROM {self._notes} WHERE key IN ({marks(noted)})"
        return Query((found, statement(notes, *noted)), _records)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        first, after = _ids(start, end)
        if first >= after:
            return NOTHING
        order = "DESC" if reverse else "ASC"
        found = statement(
            f"{_COLUMNS} WHERE id >= ? AND id < ? ORDER BY id {order} LIMIT ?", first, after, limit
        )
        notes = f"SELECT key, value FROM {self._notes} WHERE key >= ? AND key < ?"
        return Query((found, statement(notes, _note_key(first), _note_key(after))), _records)

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        statements: list[SqlStatement] = []
        for key, value in puts.items():
            number, message = _id(key), decode_queue_message(value)
            statements.append(statement(_PUT, number, message.name, message.body, message.created_at))
            note = replace(message, name="", body=b"", created_at=0)
            if note == QueueMessage("", b"", 0):
                statements.append(self._forget(number))
            else:
                put = upsert(self._notes, "key", "value")
                statements.append(statement(put, _note_key(number), encode_queue_message(note)))
        for number in map(_id, deletes):
            statements += [statement("DELETE FROM _rivet_queue WHERE id = ?", number), self._forget(number)]
        return statements

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        first, after = _ids(start, end)
        if first >= after:
            return ()
        notes = f"DELETE FROM {self._notes} WHERE key >= ? AND key < ?"
        return [
            statement("DELETE FROM _rivet_queue WHERE id >= ? AND id < ?", first, after),
            statement(notes, _note_key(first), _note_key(after)),
        ]

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        """Nothing is remembered."""

    def doubt(self) -> None:
        """Nothing is remembered."""

    def _forget(self, number: int) -> SqlStatement:
        return statement(f"DELETE FROM {self._notes} WHERE key = ?", _note_key(number))


def _records(results: Sequence[SqlResult]) -> Records:
    messages, notes = results
    noted = {blob(key): decode_queue_message(blob(value)) for key, value in notes.rows}
    records: Records = []
    for number, name, body, created_at in messages.rows:
        note = noted.get(_note_key(whole(number)), QueueMessage("", b"", 0))
        message = replace(note, name=text(name), body=blob(body), created_at=whole(created_at))
        records.append((queue_message_key(whole(number)), encode_queue_message(message)))
    return records


def _id(key: bytes) -> int:
    return int.from_bytes(key[len(QUEUE_MESSAGE_PREFIX) :], "big")


def _ids(start: bytes, end: bytes) -> tuple[int, int]:
    """The first number of a range of keys, and the one after its last."""
    return _at_least(start), _at_least(end)


def _at_least(key: bytes) -> int:
    if key <= QUEUE_MESSAGE_PREFIX:
        return 0
    if key >= prefix_end(QUEUE_MESSAGE_PREFIX):
        return _LAST
    number = key[len(QUEUE_MESSAGE_PREFIX) :]
    above = len(number) > 8  # it comes after the message with the same first eight bytes
    return min(_LAST, int.from_bytes(number[:8].ljust(8, b"\x00"), "big") + above)


def _note_key(number: int) -> bytes:
    return _NOTES + number.to_bytes(8, "big")
