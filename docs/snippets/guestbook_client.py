import json

from guestbook import Guestbook

from rivetkit import Client


async def visit(client: Client) -> list[str]:
    book = client.get_or_create(Guestbook, "wedding")
    response = await book.fetch("/names", method="POST", content="Ada")
    response.raise_for_status()  # an httpx.Response

    async with book.stream("/export") as export:
        async for name in export.aiter_lines():
            print(name)

    async with book.websocket("/search") as search:
        await search.send("A")
        found: list[str] = json.loads(await search.receive())
        return found
