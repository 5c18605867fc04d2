"""Talk to a running counter: ``python -m examples.counter.client [URL]``."""

import asyncio
import sys

from examples.counter.app import Counter
from rivetkit import Client


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        counter = client.get_or_create(Counter, "global")
        async with counter.connect() as conn, conn.events(Counter.changed) as changed:
            print("now", await conn.call(Counter.increment, 5))
            async for value in changed:
                print("event", value)
                break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
