from rivetkit import Client, Contract, Event, LiveStub, Stub, action


class CounterContract(Contract):
    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        raise NotImplementedError


class Counter(Stub, CounterContract): ...


class LiveCounter(LiveStub, CounterContract): ...


async def count(client: Client) -> None:
    handle = client.get_or_create_by_name("counter", "global", CounterContract)
    print(await Counter(handle).increment(5))
    async with handle.connect() as conn:
        live = LiveCounter(conn)
        async with live.changed as changed:
            await live.increment()
            async for value in changed:
                print(value)
                break
