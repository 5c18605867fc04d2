from chat import ChatRoom, Member

from rivetkit import Client


async def listen(client: Client) -> None:
    room = client.get_or_create(ChatRoom, "general")
    async with room.connect(params=Member(name="Ada")) as conn, conn.events(ChatRoom.posted) as posted:
        await conn.call(ChatRoom.post, "live")
        async for message in posted:  # a Message
            print(message.author, message.text)
