"""Tests of users, positive cases: all of this must type-check in strict mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type

from queue_app import Order, OtherShop, Receipt, Shop

from rivetkit import Client, Registry
from rivetkit.testing import RivetClock, RivetTest


async def test_with_the_fixture(rivet: RivetTest) -> None:
    assert_type(rivet.client, Client)
    assert_type(rivet.clock, RivetClock)
    assert_type(rivet.clock.now(), datetime)
    await rivet.clock.advance(days=30, hours=1.5)
    await rivet.clock.advance(timedelta(minutes=3))
    await rivet.clock.advance_to(datetime(2030, 1, 1, tzinfo=UTC))
    shop = rivet.client.get_or_create(Shop, "a")
    assert_type(await rivet.generation(shop), int)
    assert_type(await rivet.is_awake(shop), bool)
    await rivet.sleep(shop)
    await rivet.crash(shop)
    await rivet.restart()
    await rivet.restart(Registry(Shop))
    await rivet.restart(Shop, OtherShop)
    assert_type(await shop.send_and_wait(Shop.orders, Order(id="1")), Receipt)


async def test_without(registry: Registry) -> None:
    async with RivetTest(registry, seed=7, start=datetime(2030, 1, 1, tzinfo=UTC)) as rivet:
        assert_type(rivet, RivetTest)
    async with RivetTest(Shop, OtherShop, host="engine", max_wait=3.0):
        pass
