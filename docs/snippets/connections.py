from dataclasses import dataclass, field

from pydantic import BaseModel

from rivetkit import Actor, Conn, UserError, action, actor


class Login(BaseModel):
    user: str
    token: str


@dataclass
class Session:
    user: str
    seen: list[str] = field(default_factory=list[str])


@actor
class Inbox(Actor):
    state: list[str] = []
    conn: Conn[Login, Session]

    async def on_before_connect(self, params: Login) -> None:
        if params.token != "letmein":
            raise UserError("wrong token", code="login_failed")

    async def create_conn_state(self, params: Login) -> Session:
        return Session(user=params.user)

    async def on_connect(self, conn: Conn[Login, Session]) -> None:
        self.ctx.log.info("%s came", conn.state.user)

    async def on_disconnect(self, conn: Conn[Login, Session]) -> None:
        self.ctx.log.info("%s left after %d calls", conn.state.user, len(conn.state.seen))

    @action
    def read(self) -> list[str]:
        self.conn.state.seen.append("read")
        return self.state
