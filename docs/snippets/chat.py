from pydantic import BaseModel, Field

from rivetkit import Actor, Conn, Event, UserError, action, actor, create_state


class Message(BaseModel):
    author: str
    text: str


class RoomState(BaseModel):
    title: str = "untitled"
    messages: list[Message] = []


class Member(BaseModel):
    name: str = Field(min_length=1)


@actor(name="chatRoom", durability="strict", action_timeout=10.0)
class ChatRoom(Actor):
    state: RoomState
    conn: Conn[Member, None]

    posted = Event[Message]()

    @create_state
    def initial(self, title: str = "untitled") -> RoomState:
        return RoomState(title=title)

    @action
    async def post(self, text: str) -> Message:
        if not text:
            raise UserError("say something", code="empty_message")
        message = Message(author=self.conn.params.name, text=text)
        self.state.messages.append(message)
        self.posted.broadcast(message)
        return message
