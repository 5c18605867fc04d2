"""An actor that sleeps while clients are connected to it."""

from __future__ import annotations

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, action, actor


class ParlourState(BaseModel):
    arrivals: int = 0
    left: int = 0


class Guest(BaseModel):
    calls: int = 0


@actor(name="parlour")
class Parlour(Actor):
    """Sleeps when it is told to, and knows its guests afterwards."""

    state: ParlourState
    conn: Conn[object, Guest]

    news = Event[object]()

    async def create_conn_state(self, params: object) -> Guest:
        self.state.arrivals += 1
        return Guest()

    async def on_disconnect(self, conn: Conn[object, Guest]) -> None:
        self.state.left += 1

    @action
    async def nap(self) -> None:
        await self.ctx.sleep()

    @action
    async def tell(self, what: object) -> None:
        self.news.broadcast(what)

    @action
    async def greet(self) -> list[object]:
        """Life, connection, its calls, and how many ever came."""
        self.conn.state.calls += 1
        return [self.ctx.generation, self.conn.id, self.conn.state.calls, self.state.arrivals]
