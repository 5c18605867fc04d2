"""The signal that an actor is ending."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.abort import Abort
from rivetkit_core.errors import RivetError
from rivetkit_core.testing import FakeClock


async def test_waiting_ends_with_the_signal_or_with_the_time() -> None:
    clock = FakeClock()
    signal = Abort(clock)
    first = asyncio.create_task(signal.wait(5))
    await clock.advance(5)
    assert await first is False
    second = asyncio.create_task(signal.wait(5))
    third = asyncio.create_task(signal.wait())
    await clock.advance(1)
    signal.fire()
    assert [await second, await third, await signal.wait(1)] == [True, True, True]
    assert clock.pending() == []


async def test_callbacks_are_called_once_unless_taken_back() -> None:
    signal, called = Abort(FakeClock()), list[str]()
    signal.add_callback(lambda: called.append("kept"))
    signal.add_callback(lambda: called.append("taken back"))()
    signal.fire()
    signal.fire()
    signal.add_callback(lambda: called.append("late"))
    assert called == ["kept", "late"]


async def test_a_failing_callback_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    signal, called = Abort(FakeClock()), list[str]()

    def fail() -> None:
        raise RuntimeError("broken callback")

    signal.add_callback(fail)
    signal.add_callback(lambda: called.append("second"))
    signal.fire()
    assert called == ["second"]
    assert "broken callback" in caplog.text


async def test_a_computation_can_be_left() -> None:
    signal = Abort(FakeClock())
    signal.raise_if_aborted()
    signal.fire()
    with pytest.raises(RivetError) as caught:
        signal.raise_if_aborted()
    assert caught.value.code == "aborted"
