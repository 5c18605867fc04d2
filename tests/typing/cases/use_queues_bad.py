"""Queues, negative cases: every line marked ``# E`` must be reported, and no other line."""

from __future__ import annotations

from queue_app import Order, OtherShop, Receipt, Shop, ShopStub

from rivetkit import Deduplicate, Queue, Retry
from rivetkit.client import Client, SyncClient


async def bad_sends(client: Client) -> None:
    shop = client.get_or_create(Shop, "a")
    await shop.send(Shop.orders, "1")  # E: wrong body
    await shop.send("orders", Order(id="1"))  # E: a bare name is not a reference
    await shop.send(OtherShop.numbers, 1)  # E: queue of another actor
    reply: str | None = await shop.send_and_wait(Shop.orders, Order(id="1"))  # E: wrong reply type
    await shop.send_and_wait(Shop.orders, Order(id="1"), timeout="5")  # E: seconds are a number
    shop.call(Shop.orders)  # E: a queue is not an action
    stub = ShopStub(shop)
    await stub.orders.send(1)  # E: wrong body
    stub.orders.next()  # E: a client does not receive
    print(reply)


def bad_blocking(client: SyncClient) -> None:
    client.get_or_create(Shop, "a").send(Shop.notes, 1)  # E: wrong body


async def bad_jobs(shop: Shop) -> None:
    await shop.orders.send("1")  # E: wrong body
    await shop.orders.send(Order(id="1"), delay="5")  # E: seconds are a number
    async for job in shop.orders:
        await job.complete()  # E: the reply is missing
        await job.complete("done")  # E: wrong reply
        await job.complete(Receipt(total=1.0), 2)  # E: one reply
        text: str = job.body  # E: wrong body type
        print(text)
    await shop.ctx.queue.next("orders")  # E: a bare name is not a reference


def bad_declarations() -> None:
    Queue[int](retries=3)  # E: retries are a Retry
    Queue[int](dead_letter=Queue[str]())  # E: dead letters carry the same type
    Queue[int](deduplicate=Deduplicate(by=lambda number: number))  # E: a key is text
    Retry(5)  # E: options are named
