"""Actors with something of everything, for what outlives a sleep and what does not outlive a destroy."""

from __future__ import annotations

import asyncio

from rivetkit import Actor, Conn, Event, Queue, action, actor


class _Bells:
    rang = asyncio.Event()


bells = _Bells()
"""Rung by scheduled actions; a test that listens makes a new one first."""


@actor(name="keeper", on_connect_timeout=2.0)
class Keeper(Actor):
    """Keeps things in every store it has; in ``on_sleep`` once more, if it was told to."""

    state: list[str]
    conn: Conn[str | None, None]

    jobs = Queue[str]()
    said = Event[str]()

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.execute("CREATE TABLE IF NOT EXISTS kept (text TEXT)")

    async def on_sleep(self) -> None:
        if "late" in self.state:
            self.state = ["slept"]
            await self._keep("slept")
            self.said.broadcast("good night")
            await self.ctx.schedule.after(0.2, Keeper.ring)
        if "doomed" in self.state:
            await self.ctx.destroy()

    @action
    async def keep(self, text: str) -> None:
        self.state.append(text)
        await self._keep(text)

    @action
    async def plan(self, seconds: float) -> None:
        await self.ctx.schedule.after(seconds, Keeper.ring)
        await self.ctx.schedule.cron.every("often", 3600.0, Keeper.ring)

    @action
    async def nap(self, note: str = "") -> None:
        if note:
            self.state.append(note)
        await self.ctx.sleep()

    @action
    async def ring(self) -> None:
        bells.rang.set()

    @action
    async def generation(self) -> int:
        return self.ctx.generation

    @action
    async def whoami(self) -> list[object]:
        return [self.ctx.actor_id]

    @action
    async def kept(self) -> list[object]:
        """What every store has: state, keys and values, database, queue, schedules."""
        rows = await self.ctx.db.fetch_all("SELECT text FROM kept ORDER BY rowid")
        planned = [one.action for one in self.ctx.schedule.list()]
        return [
            list(self.state),
            await self.ctx.kv.get("kept"),
            [row[0] for row in rows],
            await self.ctx.queue.size(),
            planned,
            len(self.ctx.schedule.cron.list()),
        ]

    @action
    async def nap_and_bye(self) -> None:
        await self.ctx.sleep()
        await self.ctx.destroy()

    @action
    async def bye(self) -> None:
        await self.ctx.destroy()

    async def _keep(self, text: str) -> None:
        await self.ctx.kv.put("kept", text)
        await self.ctx.db.execute("INSERT INTO kept VALUES (?)", [text])
        await self.jobs.send(text)
