from counter import Counter, CounterState


async def test_increment_adds() -> None:
    counter = Counter()
    counter.state = CounterState(count=1)
    assert await counter.increment(2) == 3
