from typing import Any

from pydantic import BaseModel

from rivetkit import Actor, Conn, Event, EventRef, UserError, action, actor


class Guest(BaseModel):
    name: str
    password: str = ""


@actor
class Lounge(Actor):
    state: list[str]
    conn: Conn[Guest, str]

    posted = Event[str]()
    reported = Event[str]()

    async def on_before_connect(self, params: Guest) -> None:
        if params.name in self.state:
            raise UserError("You were asked to leave", code="banned")

    async def create_conn_state(self, params: Guest) -> str:
        return "moderator" if params.password == "letmein" else "guest"

    async def can_subscribe(self, event: EventRef[Any, Any]) -> bool:
        return event != Lounge.reported or self.conn.state == "moderator"

    async def on_disconnect(self, conn: Conn[Guest, str]) -> None:
        self.reported.broadcast(f"{conn.params.name}, a {conn.state}, left")

    @action
    def post(self, text: str) -> None:
        self.posted.broadcast(text)

    @action
    async def ban(self, name: str) -> int:
        if self.conn.state != "moderator":
            raise UserError("Moderators only", code="not_a_moderator")
        self.state.append(name)
        return await self.ctx.disconnect_conns(lambda conn: conn.params.name == name, reason="banned")
