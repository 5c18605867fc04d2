"""The lease: how long this process may believe that its actors are its own."""

from __future__ import annotations

import pytest

from rivetkit_core.host.engine.lease import Lease
from rivetkit_core.testing import FakeClock


class Watched:
    """A lease of ten seconds that counts how often it expired."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.expired = 0
        self.lease = Lease(self.clock, duration=10.0, on_expired=self._count)

    def _count(self) -> None:
        self.expired += 1


@pytest.fixture
async def watched() -> Watched:
    return Watched()


async def test_nothing_may_be_written_before_the_engine_was_heard(watched: Watched) -> None:
    assert not watched.lease.valid()


async def test_it_is_valid_until_its_duration_is_over(watched: Watched) -> None:
    watched.lease.renew()
    await watched.clock.advance(9.9)
    assert watched.lease.valid()
    await watched.clock.advance(0.1)
    assert not watched.lease.valid()
    assert watched.expired == 1


async def test_renewing_prolongs_it(watched: Watched) -> None:
    watched.lease.renew()
    for _ in range(5):
        await watched.clock.advance(9.0)
        watched.lease.renew()
    assert watched.lease.valid()
    assert watched.expired == 0
    await watched.clock.advance(10.0)
    assert watched.expired == 1


async def test_expiry_is_told_once(watched: Watched) -> None:
    watched.lease.renew()
    await watched.clock.advance(60.0)
    assert watched.expired == 1


async def test_an_ended_lease_never_expires(watched: Watched) -> None:
    watched.lease.renew()
    watched.lease.end()
    await watched.clock.advance(60.0)
    assert watched.expired == 0
    assert not watched.lease.valid()


class PausedClock(FakeClock):
    """Time passes while nothing runs, as when the process was stopped: no timer fires meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.paused_for = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.paused_for


async def test_a_process_that_was_paused_knows_before_any_timer_fires() -> None:
    clock = PausedClock()
    expired: list[None] = []
    lease = Lease(clock, duration=10.0, on_expired=lambda: expired.append(None))
    lease.renew()
    clock.paused_for = 11.0
    assert not lease.valid()
    assert expired == []


async def test_a_ping_after_the_pause_does_not_hide_it() -> None:
    clock = PausedClock()
    expired: list[None] = []
    lease = Lease(clock, duration=10.0, on_expired=lambda: expired.append(None))
    lease.renew()
    clock.paused_for = 11.0
    lease.renew()
    assert len(expired) == 1
