import pytest
from retries import Billing, Payment

from rivetkit.testing import RivetTest


@pytest.mark.rivet(actors=[Billing])
async def test_a_payment_is_queued_once(rivet: RivetTest) -> None:
    billing = rivet.client.get_or_create(Billing, "main")
    payment = Payment(id="p-1", amount=9.5)
    await billing.send(Billing.payments, payment)
    assert not await billing.call(Billing.charge_later, payment)
