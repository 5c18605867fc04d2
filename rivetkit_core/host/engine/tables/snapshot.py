"""The actor's snapshot, record ``01``: input, initialization, state and one-shots in a table each.

A save that changes only the state writes only that. What it changes is known from the snapshot that storage
holds; where nobody can be sure of that, everything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rivetkit_core.host.engine.tables.statements import (
    Query,
    blob,
    blob_or_none,
    marks,
    statement,
    text,
    upsert,
    whole,
)
from rivetkit_core.host.port import Records, SqlResult, SqlStatement
from rivetkit_core.wire.persisted import ACTOR_KEY, ActorRecord, ScheduleEvent, decode_actor, encode_actor

_ACTOR = statement(
    "SELECT a.has_initialized, a.input, s.state"
    " FROM _rivet_actor a LEFT JOIN _rivet_actor_state s ON s.id = a.id WHERE a.id = 1"
)
_EVENTS = statement(
    "SELECT event_id, trigger_at, action, args FROM _rivet_schedule_events"
    " WHERE kind = 0 ORDER BY trigger_at, event_id"
)
_PUT_ACTOR = upsert("_rivet_actor", "id", "has_initialized", "input")
_PUT_STATE = upsert("_rivet_actor_state", "id", "state")
_PUT_EVENT = upsert(
    "_rivet_schedule_events", "event_id", "trigger_at", "action", "args", "kind", "max_history"
)
_DELETE_EVENTS = "DELETE FROM _rivet_schedule_events WHERE kind = 0 AND event_id"
_DELETE = (
    statement("DELETE FROM _rivet_actor"),
    statement("DELETE FROM _rivet_actor_state"),
    statement("DELETE FROM _rivet_schedule_events WHERE kind = 0"),
)


class Snapshot:
    """A section with one record."""

    def __init__(self) -> None:
        self._stored: ActorRecord | None = None

    def owns(self, key: bytes) -> bool:
        return key == ACTOR_KEY

    def read(self, keys: Sequence[bytes]) -> Query:
        return Query((_ACTOR, _EVENTS), self._decode)

    def scan(self, start: bytes, end: bytes, *, reverse: bool, limit: int) -> Query:
        return self.read(()) if start <= ACTOR_KEY < end else Query((), lambda _: [])

    def change(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> Sequence[SqlStatement]:
        if ACTOR_KEY in deletes:
            return _DELETE
        record, stored = decode_actor(puts[ACTOR_KEY]), self._stored
        statements: list[SqlStatement] = []
        if stored is None or (record.has_initialized, record.input) != (stored.has_initialized, stored.input):
            statements.append(statement(_PUT_ACTOR, 1, int(record.has_initialized), record.input))
        if stored is None or record.state != stored.state:
            statements.append(statement(_PUT_STATE, 1, record.state))
        return statements + _changed_events(record, stored)

    def wipe(self, start: bytes, end: bytes) -> Sequence[SqlStatement]:
        if not start <= ACTOR_KEY < end:
            return ()
        self._stored = None
        return _DELETE

    def changed(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
        self._stored = None if ACTOR_KEY in deletes else decode_actor(puts[ACTOR_KEY])

    def doubt(self) -> None:
        self._stored = None

    def _decode(self, results: Sequence[SqlResult]) -> Records:
        actor, events = results
        if not actor.rows:
            return []
        [(has_initialized, actor_input, state)] = actor.rows
        record = ActorRecord(
            blob_or_none(actor_input),
            bool(whole(has_initialized)),
            blob(state),
            tuple(
                ScheduleEvent(text(event_id), whole(at), text(action), blob_or_none(args))
                for event_id, at, action, args in events.rows
            ),
        )
        self._stored = record
        return [(ACTOR_KEY, encode_actor(record))]


def _changed_events(record: ActorRecord, stored: ActorRecord | None) -> list[SqlStatement]:
    after = {event.event_id: event for event in record.scheduled_events}
    if stored is None:
        before = dict[str, ScheduleEvent]()
        gone = [statement(f"{_DELETE_EVENTS} NOT IN ({marks(list(after))})", *after)]
    else:
        before = {event.event_id: event for event in stored.scheduled_events}
        gone = [statement(f"{_DELETE_EVENTS} = ?", event_id) for event_id in before if event_id not in after]
    return gone + [
        statement(_PUT_EVENT, event.event_id, event.timestamp, event.action, event.args, 0, 0)
        for event in after.values()
        if event != before.get(event.event_id)
    ]
