from counter import Counter

from rivetkit.testing import RivetTest


async def test_two_clients_share_one_counter(rivet: RivetTest) -> None:
    await rivet.client.get_or_create(Counter, "a").call(Counter.increment, 2)
    await rivet.clock.advance(days=30)  # the actor slept
    assert await rivet.client.get_or_create(Counter, "a").call(Counter.increment, 3) == 5
