"""Warnings that would come by the thousand."""

from __future__ import annotations

from rivetkit_core.repeated import ALL, Repeated
from rivetkit_core.testing import FakeClock


def test_three_of_an_actor_are_shown() -> None:
    repeated = Repeated(FakeClock())
    assert [repeated.admit("a") for _ in range(5)] == [0, 0, 0, None, None]
    assert repeated.admit("b") == 0


async def test_the_next_window_tells_how_many_were_not() -> None:
    clock = FakeClock()
    repeated = Repeated(clock)
    for _ in range(10):
        repeated.admit("a")
    await clock.advance(30.0)
    assert [repeated.admit("a") for _ in range(4)] == [7, 0, 0, None]


async def test_all_actors_together_have_a_limit() -> None:
    clock = FakeClock()
    repeated = Repeated(clock)
    assert [repeated.admit(str(number)) for number in range(ALL)] == [0] * ALL
    assert repeated.admit("one more") is None
    await clock.advance(30.0)
    assert repeated.admit("one more") == 1


def test_actors_that_were_long_silent_are_forgotten() -> None:
    repeated = Repeated(FakeClock())
    for number in range(5000):
        repeated.admit(str(number))
    assert repeated.admit("0") is None  # counted anew, and silent for the sake of the others
