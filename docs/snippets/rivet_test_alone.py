import asyncio
from datetime import UTC, datetime

from trial import Trial

from rivetkit.testing import RivetTest


async def main() -> None:
    async with RivetTest(Trial, start=datetime(2026, 1, 1, tzinfo=UTC), seed=7) as rivet:
        trial = rivet.client.get_or_create(Trial, "ada")
        await trial.call(Trial.start, "ada@example.com")
        await rivet.clock.advance_to(datetime(2026, 1, 28, tzinfo=UTC))
        print(rivet.clock.now(), await trial.call(Trial.unsent))


asyncio.run(main())
