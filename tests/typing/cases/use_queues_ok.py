"""Queues, positive cases: all of this must type-check in strict mode."""

from __future__ import annotations

from typing import assert_type

from queue_app import Order, OtherShop, Receipt, Shop, ShopContract, ShopStub

from rivetkit import Job, LocalQueue, QueueRef, RemoteQueue, Sent
from rivetkit.client import Client, SyncClient


async def by_reference(client: Client) -> None:
    shop = client.get_or_create(Shop, "a")
    assert_type(Shop.orders, QueueRef[Shop, Order, Receipt])
    assert_type(Shop.notes, QueueRef[Shop, str, None])
    assert_type(await shop.send(Shop.orders, Order(id="1")), None)
    assert_type(await shop.send_and_wait(Shop.orders, Order(id="1"), timeout=5.0), Receipt)
    assert_type(await shop.send_and_wait(ShopContract.orders, Order(id="1")), Receipt)
    async with shop.connect() as conn:
        assert_type(await conn.send_and_wait(Shop.orders, Order(id="1")), Receipt)


def blocking(client: SyncClient) -> None:
    shop = client.get_or_create(Shop, "a")
    shop.send(Shop.notes, "hi")
    assert_type(shop.send_and_wait(Shop.orders, Order(id="1")), Receipt)


async def by_stub(client: Client) -> None:
    stub = ShopStub(client.get_or_create(Shop, "a"))
    assert_type(stub.orders, RemoteQueue[Order, Receipt])
    await stub.orders.send(Order(id="1"))
    assert_type(await stub.orders.send_and_wait(Order(id="1")), Receipt)


async def by_actor(shop: Shop) -> None:
    assert_type(shop.orders, LocalQueue[Order, Receipt])
    assert_type(await shop.notes.send("hi"), Sent[str])
    async for job in shop.orders:
        assert_type(job, Job[Order, Receipt])
        assert_type(job.body, Order)
        await job.complete(Receipt(total=1.0))
    for note in await shop.notes.next_batch(3, timeout=1.0, completable=False):
        assert_type(note.body, str)
        async with note:
            await note.complete()
    assert_type(await shop.safe.redrive(limit=3), int)
    assert_type(await shop.orders.inspect(), list[Sent[Order]])


async def several(shop: Shop) -> None:
    job = await shop.ctx.queue.next(Shop.orders, Shop.notes)
    assert_type(job, Job[Order, Receipt] | Job[str, None] | None)
    waited = await shop.ctx.queue.wait_for(Shop.orders, OtherShop.numbers, timeout=1.0)
    assert_type(waited.body, Order | int)
    if Shop.orders.owns(waited):
        assert_type(waited, Job[Order, Receipt])
    async for one in shop.ctx.queue.stream(Shop.notes):
        assert_type(one.body, str)
    await shop.ctx.queue.wait_available(Shop.orders, Shop.notes, timeout=1.0)
