"""One actor per room. Members connect with a name, post messages and see everybody else's at once."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rivetkit import Actor, Conn, Event, Registry, UserError, action, actor, create_state

KEPT_MESSAGES = 200
MAX_LENGTH = 4000


class Message(BaseModel):
    author: str
    text: str
    at: datetime


class RoomState(BaseModel):
    title: str = "untitled"
    messages: list[Message] = []


class Member(BaseModel):
    """Connection parameters: who is calling, validated before anything of the room runs."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=40)


@actor(name="chatRoom", durability="strict")
class ChatRoom(Actor):
    """``strict``: a message that anybody has seen survives a crash."""

    state: RoomState
    conn: Conn[Member, None]

    posted = Event[Message]()
    members_changed = Event[list[str]](name="membersChanged")

    @create_state
    def initial(self, title: str = "untitled") -> RoomState:
        return RoomState(title=title)

    @action
    async def post(self, text: str) -> Message:
        """Add a message and show it to everybody in the room."""
        text = text.strip()
        if not text:
            raise UserError("say something", code="empty_message")
        if len(text) > MAX_LENGTH:
            raise UserError(f"at most {MAX_LENGTH} characters, not {len(text)}", code="message_too_long")
        message = Message(author=self.conn.params.name, text=text, at=self.ctx.now())
        self.state.messages.append(message)
        del self.state.messages[:-KEPT_MESSAGES]
        self.posted.broadcast(message)
        return message

    @action
    def history(self) -> list[Message]:
        return self.state.messages

    @action
    def members(self) -> list[str]:
        return self.member_names()

    async def on_connect(self, conn: Conn[Member, None]) -> None:
        self.members_changed.broadcast(self.member_names())

    async def on_disconnect(self, conn: Conn[Member, None]) -> None:
        self.members_changed.broadcast(self.member_names())

    def member_names(self) -> list[str]:
        names = {conn.params.name for conn in self.ctx.conns if isinstance(conn.params, Member)}
        return sorted(names)


registry = Registry(ChatRoom)
