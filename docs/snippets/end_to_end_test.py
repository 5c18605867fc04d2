from counter import Counter

from rivetkit import Registry


async def test_two_clients_share_one_counter() -> None:
    registry = Registry(Counter, data_dir=":memory:")
    async with registry.lifespan():
        await registry.client.get_or_create(Counter, "a").call(Counter.increment, 2)
        assert await registry.client.get_or_create(Counter, "a").call(Counter.increment, 3) == 5
