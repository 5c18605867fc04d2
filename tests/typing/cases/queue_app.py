"""Actors with queues that the cases use."""

from __future__ import annotations

from pydantic import BaseModel

from rivetkit import Actor, Contract, Deduplicate, Queue, Retry, Stub


class Order(BaseModel):
    id: str


class Receipt(BaseModel):
    total: float


class ShopContract(Contract):
    orders = Queue[Order, Receipt]()


class Shop(Actor, ShopContract):
    notes = Queue[str](completable=True)
    dead = Queue[Order]()
    safe = Queue[Order](
        retries=Retry(attempts=2), dead_letter=dead, deduplicate=Deduplicate(by=lambda order: order.id)
    )


class OtherShop(Actor):
    numbers = Queue[int]()


class ShopStub(Stub, ShopContract): ...
