"""An actor's records as a crash would leave them at this moment, decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import (
    ACTOR_KEY,
    LAST_ALARM_KEY,
    QUEUE_MESSAGE_PREFIX,
    QUEUE_METADATA_KEY,
    QueueMetadata,
    ScheduleEvent,
    decode_actor,
    decode_last_alarm,
    decode_queue_message,
    decode_queue_metadata,
)

_KV_PREFIX = b"\x04"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is stored.

    Attributes:
        log: The numbers the state holds; ``count`` is how many there are, as the state itself says.
        pairs: Those numbers of the state that were written together with a key of the same number.
        messages: Numbers of queued messages, by id.
        keys: Values of the actor's keys.
    """

    initialized: bool
    log: tuple[int, ...]
    count: int
    pairs: frozenset[int]
    events: Mapping[str, ScheduleEvent]
    messages: Mapping[int, int]
    metadata: QueueMetadata | None
    keys: Mapping[bytes, int]
    noted_alarm: int | None

    @classmethod
    def of(cls, records: Mapping[bytes, bytes]) -> Snapshot:
        actor = decode_actor(records[ACTOR_KEY]) if ACTOR_KEY in records else None
        state = cast("dict[str, object]", cbor.decode(actor.state) if actor and actor.state else {})
        return cls(
            initialized=actor is not None and actor.has_initialized,
            log=tuple(cast("list[int]", state.get("log", []))),
            count=cast("int", state.get("count", 0)),
            pairs=frozenset(cast("list[int]", state.get("pairs", []))),
            events={event.event_id: event for event in (actor.scheduled_events if actor else ())},
            messages={
                int.from_bytes(key[len(QUEUE_MESSAGE_PREFIX) :], "big"): cast(
                    "int", cbor.decode(decode_queue_message(value).body)
                )
                for key, value in sorted(records.items())
                if key.startswith(QUEUE_MESSAGE_PREFIX)
            },
            metadata=decode_queue_metadata(records[QUEUE_METADATA_KEY])
            if QUEUE_METADATA_KEY in records
            else None,
            keys={
                key[1:]: cast("int", cbor.decode(value))
                for key, value in records.items()
                if key.startswith(_KV_PREFIX)
            },
            noted_alarm=decode_last_alarm(records[LAST_ALARM_KEY]) if LAST_ALARM_KEY in records else None,
        )
