from retries import Billing, Payment

from rivetkit import Registry


async def test_a_payment_is_queued_once() -> None:
    registry = Registry(Billing, data_dir=":memory:")
    async with registry.lifespan():
        billing = registry.client.get_or_create(Billing, "main")
        payment = Payment(id="p-1", amount=9.5)
        await billing.send(Billing.payments, payment)
        assert not await billing.call(Billing.charge_later, payment)
