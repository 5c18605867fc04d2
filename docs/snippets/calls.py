from chat import ChatRoom, Member

from rivetkit import Client


async def calls(client: Client) -> None:
    room = client.get_or_create(
        ChatRoom, ["org-1", "general"], input=ChatRoom.initial(title="General"), params=Member(name="Ada")
    )
    message = await room.call(ChatRoom.post, "hello")  # a Message
    await room.action(ChatRoom.post, timeout=3.0)("options come first, arguments second")
    print(message.text, await room.resolve())

    plain = await client.get_or_create_by_name("chatRoom", ["org-1", "general"]).call_by_name(
        "post", "untyped"
    )
    print(plain)  # plain data, typed object
