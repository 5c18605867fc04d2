from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from examples.order_queue.app import Order, Receipt, Shop, registry
from examples.order_queue.bank import bank
from rivetkit import ActorHandle, Registry, RivetError, ValidationError
from rivetkit.testing import RivetTest


@pytest.fixture
def rivet_registry() -> Registry:
    return registry


@pytest.fixture(autouse=True)
def open_bank() -> Iterator[None]:
    yield
    bank.is_open = True
    bank.booked.clear()


@pytest.fixture
def shop(rivet: RivetTest) -> ActorHandle[Shop]:
    return rivet.client.get_or_create(Shop, "main-street")


def order(number: int = 1, card: str = "4000") -> Order:
    return Order(id=f"o-{number}", item="tea", price=4.5, card=card)


async def test_an_order_is_sold_and_answered(shop: ActorHandle[Shop]) -> None:
    assert await shop.send_and_wait(Shop.orders, order()) == Receipt(order_id="o-1", accepted=True)
    assert (await shop.call(Shop.books)).turnover == 4.5


async def test_a_declined_card_is_an_answer_and_not_a_failure(shop: ActorHandle[Shop]) -> None:
    receipt = await shop.send_and_wait(Shop.orders, order(card="declined"))
    assert (receipt.accepted, receipt.reason) == (False, "the card was declined")
    assert (await shop.call(Shop.books)).sold == {}


async def test_an_order_waits_for_the_bank(rivet: RivetTest, shop: ActorHandle[Shop]) -> None:
    bank.is_open = False
    waiting = asyncio.create_task(shop.send_and_wait(Shop.orders, order(), timeout=30.0))
    await rivet.clock.advance(2)
    bank.is_open = True
    assert (await waiting).accepted


async def test_an_order_that_cannot_be_charged_is_put_aside_and_tried_again(
    rivet: RivetTest, shop: ActorHandle[Shop]
) -> None:
    bank.is_open = False
    with pytest.raises(RivetError, match=r"queue.retries_exhausted"):
        await shop.send_and_wait(Shop.orders, order(), timeout=30.0)
    bank.is_open = True
    await rivet.clock.advance(days=1)
    assert (await shop.call(Shop.books)).turnover == 0
    assert await shop.call(Shop.try_failed_again) == 1
    await rivet.clock.advance()
    assert (await shop.call(Shop.books)).turnover == 4.5


async def test_the_same_order_is_sold_once(rivet: RivetTest, shop: ActorHandle[Shop]) -> None:
    for _ in range(3):
        await shop.send(Shop.orders, order())
    await rivet.clock.advance()
    assert (await shop.call(Shop.books)).sold == {"tea": 1}


async def test_orders_survive_crashes_and_are_sold_once(rivet: RivetTest, shop: ActorHandle[Shop]) -> None:
    bank.is_open = False
    for number in range(5):
        await shop.send(Shop.orders, order(number))
        await rivet.crash(shop)
    bank.is_open = True
    await shop.call(Shop.books)
    await rivet.clock.advance(hours=1)
    assert (await shop.call(Shop.books)).turnover == 5 * 4.5
    assert len(bank.booked) == 5


async def test_a_shop_without_orders_sleeps(rivet: RivetTest, shop: ActorHandle[Shop]) -> None:
    await shop.send_and_wait(Shop.orders, order())
    await rivet.clock.advance(minutes=1)
    assert not await rivet.is_awake(shop)
    assert (await shop.send_and_wait(Shop.orders, order(2))).accepted
    assert await rivet.generation(shop) == 2


async def test_what_is_no_order_is_refused(shop: ActorHandle[Shop]) -> None:
    with pytest.raises(ValidationError, match="price"):
        await shop.send_by_name("orders", {"id": "o-0", "item": "tea", "price": 0, "card": "4000"})
