from order_queue import Order, Receipt, Shop

from rivetkit import Client


async def order(client: Client) -> Receipt:
    shop = client.get_or_create(Shop, "main-street")
    await shop.send(Shop.visits, "Ada")  # stored on return
    return await shop.send_and_wait(Shop.orders, Order(id="o-1", item="tea"), timeout=5.0)
