"""An actor that both runtimes know: the other one's is in ``nomad.mjs``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, Queue, action, actor, create_state

FAR_AWAY = datetime(2100, 1, 1, tzinfo=UTC)


class Life(BaseModel):
    origin: str
    words: list[str] = []
    remembered: list[str] = []


class Guest(BaseModel):
    calls: int


@actor(name="nomad")
class Nomad(Actor):
    """Moves from one runtime to the other and back."""

    state: Life

    conn: Conn[object, Guest]

    letters = Queue[object]()
    wrote = Event[str]()

    @create_state
    def initial(self, origin: str) -> Life:
        return Life(origin=origin)

    async def on_migrate(self, is_new: bool) -> None:
        await self.ctx.db.execute("CREATE TABLE IF NOT EXISTS notes (word TEXT)")

    @action
    async def write(self, word: str) -> None:
        self.state.words.append(word)
        await self.ctx.kv.put(word, f"value of {word}")
        await self.letters.send({"word": word, "bytes": b"\x00\xff"})
        await self.ctx.db.execute("INSERT INTO notes VALUES (?)", [word])
        schedule = self.ctx.schedule
        await schedule.at(FAR_AWAY, Nomad.remember, word)
        await schedule.cron.every(word, 3600.0, Nomad.remember, word)
        await schedule.cron.set(f"{word}, yearly", "0 0 1 1 *", Nomad.remember)
        await self.ctx.save_state()
        self.wrote.broadcast(word)

    async def create_conn_state(self, params: object) -> Guest:
        return Guest(calls=0)

    @action
    async def me(self) -> list[object]:
        """Which connection this is, and how often it asked."""
        self.conn.state.calls += 1
        return [self.conn.id, self.conn.state.calls]

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def read(self) -> dict[str, object]:
        schedule = self.ctx.schedule
        return {
            **self.state.model_dump(),
            "kv": [list(entry) for entry in await self.ctx.kv.list()],
            "notes": [word for (word,) in await self.ctx.db.fetch_all("SELECT word FROM notes")],
            "planned": [
                [round(one.at.timestamp() * 1000), one.action, list(one.args)] for one in schedule.list()
            ],
            "recurring": [[one.name, one.action, list(one.args)] for one in schedule.cron.list()],
        }

    @action
    async def take(self) -> object:
        letter = await self.letters.try_next()
        return None if letter is None else letter.body

    @action
    async def forget(self, word: str) -> None:
        self.state.words.remove(word)
        await self.ctx.kv.delete(word)
        schedule = self.ctx.schedule
        planned = next(one for one in schedule.list() if one.args == (word,))
        await schedule.cancel(planned.id)
        await schedule.cron.delete(word)

    @action
    async def soon(self, delay: int, word: str) -> None:
        await self.ctx.schedule.after(timedelta(milliseconds=delay), Nomad.remember, word)

    @action
    async def remember(self, word: str = "nothing") -> None:
        self.state.remembered.append(word)

    @action
    async def grow(self, size: int) -> None:
        self.state.words = ["x" * size]
