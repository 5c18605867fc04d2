"""Two people write at the same time: ``python -m examples.collaborative_document.client [URL]``."""

import asyncio
import sys
from uuid import uuid4

from examples.collaborative_document.app import Author, Document
from examples.collaborative_document.editor import Editor
from rivetkit import Client


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        document = client.get_or_create(Document, str(uuid4()))
        async with (
            document.connect(params=Author(name="Ada")) as at_ada,
            document.connect(params=Author(name="Bob")) as at_bob,
            at_ada.events(Document.changed) as changes,
        ):
            ada, bob = await Editor.open(at_ada), await Editor.open(at_bob)
            await ada.write(0, "Hello world")
            await bob.write(0, "")  # hears of it
            await asyncio.gather(ada.write(5, ", dear"), bob.write(11, "!"))
            async for change in changes:
                await ada.hear(change)
                if change.version == 4:
                    break
            print(ada.text)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
