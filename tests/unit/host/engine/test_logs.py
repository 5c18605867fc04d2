"""What is remembered of commands and events until both sides agree on them."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.host.engine.commands import CommandLog
from rivetkit_core.host.engine.events import EventLog
from rivetkit_core.wire.envoy.messages import (
    Checkpoint,
    Events,
    Running,
    SetAlarm,
    SleepIntent,
    StopCode,
    Stopped,
)

STOPPED = Stopped(StopCode.OK)


def indices(message: Events | None) -> list[int]:
    return [] if message is None else [entry.checkpoint.index for entry in message.entries]


def event_log() -> EventLog:
    return EventLog(lambda: None)


# --- commands ---------------------------------------------------------------------------------------


def test_a_repeated_command_is_not_new() -> None:
    log = CommandLog()
    assert log.accept(Checkpoint("a", 1, 1))
    assert log.accept(Checkpoint("a", 1, 2))
    assert not log.accept(Checkpoint("a", 1, 1))
    assert not log.accept(Checkpoint("a", 1, 2))


def test_a_later_generation_begins_anew() -> None:
    log = CommandLog()
    log.accept(Checkpoint("a", 1, 2))
    assert log.accept(Checkpoint("a", 2, 1))


def test_the_newest_command_of_each_generation_is_acknowledged_once() -> None:
    log = CommandLog()
    for checkpoint in (Checkpoint("a", 1, 1), Checkpoint("a", 1, 2), Checkpoint("b", 4, 1)):
        log.accept(checkpoint)
    message = log.acknowledgement()
    assert message is not None
    assert message.last_command_checkpoints == (Checkpoint("a", 1, 2), Checkpoint("b", 4, 1))
    assert log.acknowledgement() is None


def test_a_repeated_command_is_acknowledged_again() -> None:
    log = CommandLog()
    log.accept(Checkpoint("a", 1, 1))
    log.acknowledgement()
    log.accept(Checkpoint("a", 1, 1))
    assert log.acknowledgement() is not None


def test_a_finished_generation_is_forgotten_when_its_acknowledgement_has_arrived() -> None:
    log = CommandLog()
    log.accept(Checkpoint("a", 1, 1))
    log.finish("a", 1)
    log.on_ping()
    log.on_ping()
    assert len(log) == 1  # not acknowledged yet
    log.acknowledgement()
    log.on_ping()
    assert len(log) == 1
    log.on_ping()
    assert len(log) == 0


def test_a_lost_connection_keeps_a_finished_generation_in_mind() -> None:
    log = CommandLog()
    log.accept(Checkpoint("a", 1, 1))
    log.finish("a", 1)
    log.acknowledgement()
    log.on_ping()
    log.on_link_lost()
    log.on_ping()
    assert not log.accept(Checkpoint("a", 1, 1))


def test_a_living_generation_is_never_forgotten() -> None:
    log = CommandLog()
    log.accept(Checkpoint("a", 1, 1))
    log.acknowledgement()
    for _ in range(10):
        log.on_ping()
    assert not log.accept(Checkpoint("a", 1, 1))


# --- events -----------------------------------------------------------------------------------------


def test_events_of_one_turn_travel_together() -> None:
    log = event_log()
    log.report("a", 1, Running(), SetAlarm(None))
    log.report("b", 7, Running())
    message = log.fresh()
    assert message is not None
    assert [(entry.checkpoint.actor_id, entry.checkpoint.index) for entry in message.entries] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]
    assert log.fresh() is None


def test_what_is_not_acknowledged_is_repeated_in_order() -> None:
    log = event_log()
    log.report("a", 1, Running())
    log.fresh()
    log.report("a", 1, SleepIntent())
    assert indices(log.unacknowledged()) == [0, 1]
    log.acknowledge([Checkpoint("a", 1, 0)])
    assert indices(log.unacknowledged()) == [1]
    assert log.fresh() is None


def test_only_the_newest_alarm_is_repeated() -> None:
    log = event_log()
    log.report("a", 1, Running(), SetAlarm(5))
    log.report("a", 1, SetAlarm(6))
    log.report("a", 1, SetAlarm(None))
    assert indices(log.unacknowledged()) == [0, 3]


def test_nothing_follows_the_end() -> None:
    log = event_log()
    log.report("a", 1, STOPPED)
    log.report("a", 1, SleepIntent())
    assert indices(log.fresh()) == [0]


def test_a_finished_generation_is_forgotten_when_its_end_has_arrived() -> None:
    log = event_log()
    log.report("a", 1, STOPPED)
    log.on_ping()
    log.fresh()
    log.on_ping()
    log.on_link_lost()
    log.on_ping()
    assert len(log) == 1
    log.on_ping()
    assert len(log) == 0


def test_a_newer_generation_ends_the_memory_of_an_older_one() -> None:
    log = event_log()
    log.report("a", 1, STOPPED)
    log.report("b", 1, STOPPED)
    log.supersede("a", 2)
    assert [entry.checkpoint.actor_id for entry in (log.unacknowledged() or Events(())).entries] == ["b"]


@given(st.lists(st.sampled_from(["event", "alarm", "flush", "ack", "reconnect"]), max_size=40))
def test_the_engine_sees_growing_indices_and_every_event_but_old_alarms(steps: list[str]) -> None:
    log = event_log()
    seen: list[int] = []
    meant: list[int] = []
    number = 0

    def arrive(arrived: Iterable[int]) -> None:
        for index in arrived:
            if not seen or index > seen[-1]:
                seen.append(index)

    for step in steps:
        match step:
            case "event":
                log.report("a", 1, SleepIntent())
                meant.append(number)
                number += 1
            case "alarm":
                log.report("a", 1, SetAlarm(number))
                number += 1
            case "flush":
                fresh = indices(log.fresh())
                assert fresh == sorted(fresh)
                arrive(fresh)
            case "ack" if seen:
                log.acknowledge([Checkpoint("a", 1, seen[-1])])
            case "reconnect":
                log.on_link_lost()
                arrive(indices(log.unacknowledged()))
            case _:
                pass
    arrive(indices(log.fresh()))
    assert set(meant) <= set(seen)
