import asyncio

from counter import Counter

from rivetkit import Client


async def main() -> None:
    async with Client("http://127.0.0.1:6420") as client:
        counter = client.get_or_create(Counter, "global")
        print(await counter.call(Counter.increment, 5))  # an int, for your type checker too
        async with counter.connect() as conn, conn.events(Counter.changed) as changed:
            await conn.call(Counter.increment)
            async for value in changed:
                print("changed to", value)
                break


asyncio.run(main())
