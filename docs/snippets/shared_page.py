from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, action, actor


class Cursor(BaseModel):
    line: int = 0


class Page(BaseModel):
    lines: list[str] = []


@actor(sleep_timeout=10.0)
class SharedPage(Actor):
    state: Page
    conn: Conn[str, Cursor]

    changed = Event[str]()

    async def create_conn_state(self, params: str) -> Cursor:
        return Cursor()

    async def on_disconnect(self, conn: Conn[str, Cursor]) -> None:
        self.changed.broadcast(f"{conn.params} left line {conn.state.line}")

    @action
    def write(self, text: str) -> int:
        self.state.lines.append(text)
        self.conn.state.line = len(self.state.lines)
        self.changed.broadcast(text)
        return self.conn.state.line

    @action
    def where(self) -> list[int]:
        """The own line, and in which life of the page."""
        return [self.conn.state.line, self.ctx.generation]

    @action
    async def rest(self) -> None:
        await self.ctx.sleep()
