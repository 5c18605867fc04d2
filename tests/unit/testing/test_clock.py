from __future__ import annotations

import asyncio
import contextvars

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from rivetkit_core.clock import time_ms
from rivetkit_core.testing import FakeClock, settle


async def test_time_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock()
    before = clock.now(), clock.monotonic()
    await settle()
    assert (clock.now(), clock.monotonic()) == before


async def test_advancing_moves_both_clocks() -> None:
    clock = FakeClock(start=1000.0)
    await clock.advance(1.5, minutes=1, hours=1, days=1)
    assert clock.monotonic() == 1.5 + 60 + 3600 + 86400
    assert clock.now() == 1000.0 + clock.monotonic()


async def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        await FakeClock().advance(-1.0)


async def test_a_timer_fires_when_its_time_has_come() -> None:
    clock, fired = FakeClock(), list[float]()
    clock.call_later(10.0, lambda: fired.append(clock.monotonic()))
    await clock.advance(9.999)
    assert fired == []
    await clock.advance(0.001)
    assert fired == [10.0]


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    clock, fired = FakeClock(), list[str]()
    clock.call_later(2.0, lambda: fired.append("second"))
    clock.call_later(1.0, lambda: fired.append("first"))
    clock.call_later(2.0, lambda: fired.append("third"))
    await clock.advance(5.0)
    assert fired == ["first", "second", "third"]


async def test_a_timer_set_by_a_timer_fires_on_the_same_way() -> None:
    clock, fired = FakeClock(), list[float]()

    def again() -> None:
        fired.append(clock.monotonic())
        if len(fired) < 3:
            clock.call_later(1.0, again)

    clock.call_later(1.0, again)
    await clock.advance(10.0)
    assert fired == [1.0, 2.0, 3.0]


async def test_a_cancelled_timer_does_not_fire() -> None:
    clock, fired = FakeClock(), list[float]()
    clock.call_later(1.0, lambda: fired.append(1.0)).cancel()
    await clock.advance(2.0)
    assert fired == []


async def test_a_timer_cancelled_by_one_of_the_same_moment_does_not_fire() -> None:
    clock, fired = FakeClock(), list[str]()
    clock.call_later(1.0, lambda: victim.cancel())
    victim = clock.call_later(1.0, lambda: fired.append("victim"))
    await clock.advance(1.0)
    assert fired == []


async def test_a_timer_without_delay_fires_without_advancing() -> None:
    clock, fired = FakeClock(), list[str]()
    clock.call_later(0.0, lambda: fired.append("now"))
    await settle()
    assert fired == ["now"]


async def test_a_timer_runs_in_the_context_it_was_set_in() -> None:
    variable = contextvars.ContextVar[str]("variable", default="outside")
    clock, seen = FakeClock(), list[str]()
    contextvars.copy_context().run(
        lambda: (variable.set("inside"), clock.call_later(1.0, lambda: seen.append(variable.get())))
    )
    await clock.advance(1.0)
    assert seen == ["inside"]


async def test_pending_lists_deadlines_in_order() -> None:
    clock = FakeClock()
    await clock.advance(1.0)
    clock.call_later(3.0, lambda: None)
    clock.call_later(2.0, lambda: None)
    clock.call_later(1.0, lambda: None).cancel()
    assert clock.pending() == [2.0, 3.0]


async def test_sleepers_wake_at_their_own_times() -> None:
    clock, woken = FakeClock(), list[float]()

    async def sleeper(delay: float) -> None:
        await clock.sleep(delay)
        woken.append(clock.monotonic())

    async with asyncio.TaskGroup() as tasks:
        for delay in (3.0, 1.0, 2.0):
            tasks.create_task(sleeper(delay))
        await clock.advance(3.0)
    assert woken == [1.0, 2.0, 3.0]


async def test_a_cancelled_sleep_leaves_no_timer() -> None:
    clock = FakeClock()
    sleeping = asyncio.ensure_future(clock.sleep(10.0))
    await settle()
    sleeping.cancel()
    await settle()
    assert clock.pending() == []


async def test_a_timeout_ends_its_block_in_virtual_time() -> None:
    clock = FakeClock()

    async def wait_for_ever() -> float:
        try:
            async with clock.timeout(30.0):
                await asyncio.Event().wait()
        except TimeoutError:
            return clock.monotonic()
        return -1.0

    waiting = asyncio.ensure_future(wait_for_ever())
    await clock.advance(29.0)
    assert not waiting.done()
    await clock.advance(hours=1)
    assert await waiting == 30.0


async def test_a_block_that_ends_in_time_leaves_no_timer() -> None:
    clock = FakeClock()
    async with clock.timeout(30.0) as timeout:
        await checkpoint()
    await clock.advance(60.0)
    assert not timeout.expired()
    assert clock.pending() == []


@pytest.mark.parametrize("delay", [0.0, -1.0])
async def test_a_timeout_without_delay_ends_at_the_first_wait(delay: float) -> None:
    timeout = FakeClock().timeout(delay)
    with pytest.raises(TimeoutError):
        async with timeout:
            await asyncio.Event().wait()
    assert timeout.expired()


async def test_a_timeout_of_none_never_ends_its_block() -> None:
    clock = FakeClock()
    async with clock.timeout(None):
        await clock.advance(days=1000)
    assert clock.pending() == []


async def test_advances_of_two_tasks_add_up() -> None:
    clock = FakeClock()
    await asyncio.gather(clock.advance(1.0), clock.advance(2.0))
    assert clock.monotonic() == 3.0


async def test_settling_runs_long_chains_of_tasks() -> None:
    events = [asyncio.Event() for _ in range(500)]

    async def link(number: int) -> None:
        await events[number].wait()
        events[number + 1].set()

    async with asyncio.TaskGroup() as tasks:
        for number in range(499):
            tasks.create_task(link(number))
        await settle()
        events[0].set()
        await settle()
        assert events[-1].is_set()


async def test_a_task_that_never_waits_is_reported() -> None:
    async def spin() -> None:
        while True:
            await checkpoint()

    spinning = asyncio.ensure_future(spin())
    with pytest.raises(RuntimeError, match="never waits"):
        await settle()
    spinning.cancel()


async def test_a_double_below_a_millisecond_does_not_lose_it() -> None:
    clock = FakeClock(start=1000.0)
    await clock.advance(24.003)  # 1024.003 * 1000 is 1024002.9999999999 in doubles
    assert time_ms(clock) == 1_024_003


@given(st.lists(st.integers(min_value=1, max_value=10_000), min_size=1, max_size=20))
def test_milliseconds_add_up_exactly(steps: list[int]) -> None:
    async def advance() -> None:
        clock = FakeClock()
        start = time_ms(clock)
        for step in steps:
            await clock.advance(step / 1000)
        assert time_ms(clock) - start == sum(steps)

    asyncio.run(advance())
