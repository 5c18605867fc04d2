"""What the tunnel remembers, and when it forgets."""

from __future__ import annotations

from rivetkit_core.host.engine.tunnel.memory import Answers, Recent
from rivetkit_core.testing import FakeClock
from rivetkit_core.wire.envoy.messages import ResponseStart
from tests.unit.host.engine.tunnel.fakes import request_id

MIB = 1024 * 1024


def of_size(size: int) -> ResponseStart:
    return ResponseStart(200, {}, b"x" * size)


def test_an_answer_is_kept_until_it_is_forgotten() -> None:
    answers = Answers(FakeClock())
    answers.keep(request_id(1), of_size(10))
    assert answers.get(request_id(1)) == of_size(10)
    answers.forget(request_id(1))
    assert answers.get(request_id(1)) is None


async def test_an_answer_is_kept_for_a_minute() -> None:
    clock = FakeClock()
    answers = Answers(clock)
    answers.keep(request_id(1), of_size(10))
    await clock.advance(59)
    assert answers.get(request_id(1)) is not None
    await clock.advance(1)
    assert answers.get(request_id(1)) is None


def test_a_long_answer_is_not_kept() -> None:
    answers = Answers(FakeClock())
    answers.keep(request_id(1), of_size(MIB))
    assert answers.get(request_id(1)) is None


def test_the_oldest_answers_make_room() -> None:
    answers = Answers(FakeClock())
    for number in range(17):
        answers.keep(request_id(number), of_size(MIB - 1024))
    assert answers.get(request_id(0)) is None
    assert answers.get(request_id(1)) is not None
    assert answers.get(request_id(16)) is not None


def test_empty_answers_take_room_too() -> None:
    answers = Answers(FakeClock())
    for number in range(40_000):
        answers.keep(request_id(number), of_size(0))
    assert answers.get(request_id(0)) is None


def test_a_newer_answer_replaces_the_older() -> None:
    answers = Answers(FakeClock())
    for size in range(100):
        answers.keep(request_id(1), of_size(size * 10_000))
    assert answers.get(request_id(1)) == of_size(990_000)


async def test_recent_things_are_forgotten_by_time_and_number() -> None:
    clock = FakeClock()
    recent: Recent[int] = Recent(clock, seconds=10, capacity=2)
    recent.add(1)
    await clock.advance(5)
    recent.add(2)
    recent.add(1)
    recent.add(3)
    assert [number in recent for number in (1, 2, 3)] == [True, False, True]
    await clock.advance(10)
    assert [number in recent for number in (1, 2, 3)] == [False, False, False]
