"""Order some tea: ``python -m examples.order_queue.client [URL]``."""

import asyncio
import sys
from uuid import uuid4

from examples.order_queue.app import Order, Shop
from rivetkit import Client


async def main(endpoint: str) -> None:
    async with Client(endpoint) as client:
        shop = client.get_or_create(Shop, "main-street")
        before = await shop.call(Shop.books)
        for card in ("4000-1234", "declined"):
            order = Order(id=str(uuid4()), item="tea", price=4.5, card=card)
            receipt = await shop.send_and_wait(Shop.orders, order, timeout=10.0)
            print("accepted" if receipt.accepted else f"refused: {receipt.reason}")
        cake = Order(id=str(uuid4()), item="cake", price=3.5, card="4000-1234")
        await shop.send(Shop.orders, cake)  # stored; nobody waits
        await shop.send(Shop.orders, cake)  # the same order again is the same order
        scone = Order(id=str(uuid4()), item="scone", price=2.0, card="4000-1234")
        await shop.send_and_wait(Shop.orders, scone, timeout=10.0)  # comes after the cake
        print("sold for", (await shop.call(Shop.books)).turnover - before.turnover)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6420"))
