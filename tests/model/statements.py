"""The nine crash-consistency statements (actor-runtime 2.6), each a check that raises ``Broken``.

``ALWAYS`` holds for what is stored at every moment; ``AFTER_A_LIFE`` once a generation has ended, however it
did. Statement 8 is asked where code for clients begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.promises import Broken, Promises, is_retried
from tests.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended.

    Attributes:
        at: Virtual seconds.
        lossless_until: Changes made before this moment must be stored; None when storage failed meanwhile.
        alarm: What the host would wake the actor at.
    """

    at: float
    now_ms: int
    lossless_until: float | None
    alarm: int | None


def statement_1_what_a_returned_save_covered_is_stored(
    promised: Promises, found: Snapshot, _ending: Ending
) -> None:
    missing = promised.covered - set(found.log)
    _require(not missing, f"saved numbers {sorted(missing)} are missing")
    for key, value in promised.keys.items():
        stored = found.keys.get(key)
        _require(
            stored is not None and value <= stored <= promised.tried[key],
            f"key {key!r} holds {stored}, but {value} was acknowledged",
        )


def statement_2_a_snapshot_is_never_torn(promised: Promises, found: Snapshot) -> None:
    _require(found.count == len(found.log), "the count of a state does not fit its numbers")
    _require(
        list(found.log) == promised.history[: len(found.log)],
        f"the stored {found.log} is no earlier moment of {promised.history}",
    )


def statement_2_only_the_last_interval_is_lost(promised: Promises, found: Snapshot, ending: Ending) -> None:
    if ending.lossless_until is None:
        return
    for number in promised.history[len(found.log) :]:
        at = promised.changed_at[number]
        _require(at >= ending.lossless_until, f"number {number} of {at} is lost, the end came at {ending.at}")


def statement_3_what_one_save_carries_is_visible_together(_promised: Promises, found: Snapshot) -> None:
    keys = frozenset(int(key[1:]) for key in found.keys if key.startswith(b"p"))
    _require(keys == found.pairs, f"state has {sorted(found.pairs)}, keys have {sorted(keys)}")


def statement_4_a_returned_send_is_durable(promised: Promises, found: Snapshot, _ending: Ending) -> None:
    missing = promised.sent.keys() - found.messages.keys() - promised.gone
    _require(
        len(missing) <= promised.receiving,
        f"messages {sorted(missing)} are missing, and {promised.receiving} were being received",
    )
    for message_id, number in found.messages.items():
        promised.stood_for(message_id, number)
        _require(number in promised.attempted, f"nobody sent message {message_id}")


def statement_5_what_was_handed_over_or_completed_is_deleted(promised: Promises, found: Snapshot) -> None:
    back = found.messages.keys() & (promised.taken | promised.completed)
    _require(not back, f"messages {sorted(back)} are stored after they were delivered for good")


def statement_6_a_fired_one_shot_is_deleted(promised: Promises, found: Snapshot) -> None:
    again = {one for one in found.events if promised.rang[one] and not is_retried(one)}
    again |= found.events.keys() & promised.cancelled
    _require(not again, f"one-shots {sorted(again)} are stored after they ran or were cancelled")


def a_planned_one_shot_is_stored(promised: Promises, found: Snapshot, ending: Ending) -> None:
    for one, due in promised.pending.items():
        claimed = due <= ending.now_ms and not is_retried(one)
        _require(
            one in found.events or claimed, f"one-shot {one}, due in {due - ending.now_ms} ms, is missing"
        )


def a_sleeping_actor_is_woken_for_its_one_shots(promised: Promises, found: Snapshot, ending: Ending) -> None:
    for one, due in promised.pending.items():
        if one in found.events:
            due = max(due, found.events[one].timestamp)
            woken = ending.alarm is not None and ending.alarm <= max(due, ending.now_ms)
            _require(
                woken, f"at {ending.now_ms} one-shot {one} is due at {due}, and the alarm at {ending.alarm}"
            )


def statement_7_the_size_counts_the_messages(_promised: Promises, found: Snapshot) -> None:
    if found.metadata is None:
        _require(not found.messages, "there are messages and no metadata")
        return
    _require(
        found.metadata.size == len(found.messages),
        f"the size is {found.metadata.size} of {len(found.messages)} messages",
    )
    _require(
        all(message_id < found.metadata.next_id for message_id in found.messages),
        "an id would be given again",
    )


def statement_8_an_actor_is_initialized_before_it_serves(found: Snapshot) -> None:
    _require(found.initialized, "client code runs in an actor that is not initialized")


def statement_9_the_noted_alarm_is_one_the_host_agreed_to(
    found: Snapshot, noted_before: int | None, alarm: int | None
) -> None:
    _require(
        found.noted_alarm in (noted_before, alarm),
        f"the noted alarm is {found.noted_alarm}, the host knows {alarm}",
    )


ALWAYS = (
    statement_2_a_snapshot_is_never_torn,
    statement_3_what_one_save_carries_is_visible_together,
    statement_5_what_was_handed_over_or_completed_is_deleted,
    statement_6_a_fired_one_shot_is_deleted,
    statement_7_the_size_counts_the_messages,
)

AFTER_A_LIFE = (
    statement_1_what_a_returned_save_covered_is_stored,
    statement_2_only_the_last_interval_is_lost,
    statement_4_a_returned_send_is_durable,
    a_planned_one_shot_is_stored,
    a_sleeping_actor_is_woken_for_its_one_shots,
)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
