"""Plan reminders and wait for the first: ``python -m examples.scheduler.client [URL]``."""

import asyncio
import sys
from datetime import time, timedelta

from examples.scheduler.app import Reminders
from rivetkit import Client


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        mine = client.get_or_create(Reminders, "ada")
        await mine.call(Reminders.remind_daily, "standup", "stand up", time(9, 30), timezone="Europe/Berlin")
        await mine.call(Reminders.remind_in, "drink some tea", timedelta(seconds=1))
        for plan in await mine.call(Reminders.planned):
            print("planned:", plan.text)
        async with mine.connect() as conn, conn.events(Reminders.due) as due:
            print("due:", (await anext(due)).text)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
