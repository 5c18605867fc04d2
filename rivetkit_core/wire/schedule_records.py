"""Private records of schedules, for what the actor's snapshot has no room for.

    70 79 01 73                          ScheduleIndex    which recurring schedules there are
    70 79 01 6a + u32 slot (big)         Job              one recurring schedule
    70 79 01 68 + u32 slot + u64 row     HistoryRow       one of its runs
    70 79 01 72 + event id               RetryRecord      how often a one-shot was tried

Other RivetKit runtimes leave these keys alone and do not know what they mean. A value is a u16 version
(little-endian) and one CBOR array. Anything else is ``protocol.invalid_persisted_data``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, TypeVar, cast, get_args

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor

T = TypeVar("T")

_PREFIX = b"\x70\x79\x01"
SCHEDULE_INDEX_KEY = _PREFIX + b"s"
_JOB_PREFIX = _PREFIX + b"j"
_HISTORY_PREFIX = _PREFIX + b"h"
_RETRY_PREFIX = _PREFIX + b"r"

_VERSION = (1).to_bytes(2, "little")

JobKind = Literal["cron", "every"]
RunResult = Literal["running", "ok", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class ScheduleIndex:
    """The slots in use, and the next one; a slot is never used twice."""

    next_slot: int = 0
    slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One recurring schedule. Times and intervals are milliseconds; ``args`` is a CBOR array.

    Attributes:
        next_at: When it is due; None if it ended because its action is gone, and only its history is left.
        running: The history row of a run that has not ended.
        first_row: The oldest history row there is.
        next_row: The history row that comes next.
    """

    slot: int
    name: str
    kind: JobKind
    action: str
    args: bytes | None
    next_at: int | None
    expression: str | None = None
    timezone: str | None = None
    interval: int | None = None
    max_history: int = 100
    last_started_at: int | None = None
    running: int | None = None
    first_row: int = 0
    next_row: int = 0

    @property
    def id(self) -> str:
        return f"cron:{self.name}"


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed, as clients may see it; ``metadata`` is CBOR."""

    group: str
    code: str
    message: str
    metadata: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One run of a recurring schedule; times in milliseconds."""

    action: str
    scheduled_at: int
    fired_at: int
    finished_at: int | None = None
    result: RunResult = "running"
    error: RunError | None = None


@dataclass(frozen=True, slots=True)
class RetryRecord:
    """Tries begun so far, how many may follow the first, and the delays between them in milliseconds."""

    tries: int
    times: int
    delay: int
    max_delay: int


def job_key(slot: int) -> bytes:
    return _JOB_PREFIX + slot.to_bytes(4, "big")


def history_key(slot: int, row: int) -> bytes:
    return _HISTORY_PREFIX + slot.to_bytes(4, "big") + row.to_bytes(8, "big")


def job_slot(key: bytes) -> int | None:
    """The slot of a schedule's key; None of any other key."""
    if not key.startswith(_JOB_PREFIX) or len(key) != len(job_key(0)):
        return None
    return int.from_bytes(key[len(_JOB_PREFIX) :], "big")


def history_place(key: bytes) -> tuple[int, int] | None:
    """Slot and row of a run's key; None of any other key."""
    if not key.startswith(_HISTORY_PREFIX) or len(key) != len(history_key(0, 0)):
        return None
    numbers = key[len(_HISTORY_PREFIX) :]
    return int.from_bytes(numbers[:4], "big"), int.from_bytes(numbers[4:], "big")


def retry_key(event_id: str) -> bytes:
    return _RETRY_PREFIX + event_id.encode()


def encode_index(index: ScheduleIndex) -> bytes:
    return _encode([index.next_slot, list(index.slots)])


def decode_index(data: bytes) -> ScheduleIndex:
    def read(fields: Sequence[object]) -> ScheduleIndex:
        next_slot, slots = fields
        return ScheduleIndex(_whole(next_slot), tuple(_whole(slot) for slot in _listed(slots)))

    return _decode(data, "schedule index", read)


def encode_job(job: Job) -> bytes:
    return _encode(list(astuple(job)))


def decode_job(data: bytes) -> Job:
    def read(fields: Sequence[object]) -> Job:
        slot, name, kind, action, args, next_at, expression, timezone, interval, *rest = fields
        max_history, last_started_at, running, first_row, next_row = rest
        return Job(
            slot=_whole(slot),
            name=_text(name),
            kind=cast("JobKind", _chosen(kind, get_args(JobKind))),
            action=_text(action),
            args=_perhaps(args, _bytes),
            next_at=_perhaps(next_at, _whole),
            expression=_perhaps(expression, _text),
            timezone=_perhaps(timezone, _text),
            interval=_perhaps(interval, _whole),
            max_history=_whole(max_history),
            last_started_at=_perhaps(last_started_at, _whole),
            running=_perhaps(running, _whole),
            first_row=_whole(first_row),
            next_row=_whole(next_row),
        )

    return _decode(data, "recurring schedule", read)


def encode_history(row: HistoryRow) -> bytes:
    failure = row.error
    error = None if failure is None else [failure.group, failure.code, failure.message, failure.metadata]
    return _encode([row.action, row.scheduled_at, row.fired_at, row.finished_at, row.result, error])


def decode_history(data: bytes) -> HistoryRow:
    def read_error(value: object) -> RunError:
        group, code, message, metadata = _listed(value)
        return RunError(_text(group), _text(code), _text(message), _perhaps(metadata, _bytes))

    def read(fields: Sequence[object]) -> HistoryRow:
        action, scheduled_at, fired_at, finished_at, result, error = fields
        return HistoryRow(
            action=_text(action),
            scheduled_at=_whole(scheduled_at),
            fired_at=_whole(fired_at),
            finished_at=_perhaps(finished_at, _whole),
            result=cast("RunResult", _chosen(result, get_args(RunResult))),
            error=_perhaps(error, read_error),
        )

    return _decode(data, "schedule history", read)


def encode_retry(record: RetryRecord) -> bytes:
    return _encode([record.tries, record.times, record.delay, record.max_delay])


def decode_retry(data: bytes) -> RetryRecord:
    def read(fields: Sequence[object]) -> RetryRecord:
        tries, times, delay, max_delay = fields
        return RetryRecord(_whole(tries), _whole(times), _whole(delay), _whole(max_delay))

    return _decode(data, "retries of a schedule", read)


def _encode(fields: list[object]) -> bytes:
    return _VERSION + cbor.encode(fields)


def _decode(data: bytes, label: str, read: Callable[[Sequence[object]], T]) -> T:
    try:
        if data[:2] != _VERSION:
            raise ProtocolError(f"version {int.from_bytes(data[:2], 'little')} is unknown")
        return read(_listed(cbor.decode(data[2:])))
    except ProtocolError as failure:
        raise ProtocolError(failure.reason, code="invalid_persisted_data", label=label) from failure
    except ValueError as failure:  # fields that are missing or too many
        raise ProtocolError(str(failure), code="invalid_persisted_data", label=label) from failure


def _listed(value: object) -> list[object]:
    return _require(value, isinstance(value, list), cast("list[object]", value))


def _whole(value: object) -> int:
    return _require(value, type(value) is int, cast("int", value))


def _text(value: object) -> str:
    return _require(value, isinstance(value, str), cast("str", value))


def _bytes(value: object) -> bytes:
    return _require(value, isinstance(value, bytes), cast("bytes", value))


def _chosen(value: object, choices: tuple[object, ...]) -> object:
    return _require(value, value in choices, value)


def _perhaps(value: object, read: Callable[[object], T]) -> T | None:
    return None if value is None else read(value)


def _require(value: object, fits: bool, narrowed: T) -> T:
    if not fits:
        raise ProtocolError(f"{value!r} is in the wrong place")
    return narrowed
