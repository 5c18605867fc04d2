import pytest
from counter import Counter

from rivetkit.testing import RivetTest


@pytest.mark.rivet(actors=[Counter])
async def test_a_counter_goes_on_counting(rivet: RivetTest) -> None:
    counter = rivet.client.get_or_create(Counter, "global")
    assert await counter.call(Counter.increment, 5) == 5
    await rivet.clock.advance(days=30)  # it sleeps, for a month
    assert not await rivet.is_awake(counter)
    assert await counter.call(Counter.increment) == 6
