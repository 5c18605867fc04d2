from chat import ChatRoom, Member

from rivetkit import Actor, action, actor


@actor
class Announcer(Actor):
    @action
    async def announce(self, text: str, rooms: list[str]) -> None:
        for name in rooms:
            room = self.ctx.client.get_or_create(ChatRoom, name, params=Member(name="announcer"))
            await room.call(ChatRoom.post, text)
